"""The account as Markdown, for a ticket or a pipeline's job summary (GitHub cuts one at 1 MiB)."""

import re

from rollsafe.reporting.account import PHASES, Account
from rollsafe.reporting.closing import service_words
from rollsafe.reporting.sentences import mode_words
from rollsafe.reporting.words import clock_face, moment, took

MOST_ROWS = 200
_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~])")


def markdown(account: Account) -> str:
    """The whole report as Markdown."""
    parts = [
        _head(account),
        _mend(account),
        _nodes(account),
        _services(account),
        _gates(account),
        _writes(account),
        _notes(account),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _safe(text: object) -> str:
    """Text that can't become markup: names and products' answers come from elsewhere."""
    return _SPECIAL.sub(r"\\\1", str(text)).replace("@", "&#64;")


def _table(head: list[str], rows: list[list[str]]) -> str:
    shown = rows[:MOST_ROWS]
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in shown]
    if len(rows) > len(shown):
        lines += ["", f"{len(rows) - len(shown)} more rows are in the journal."]
    return "\n".join(lines)


def _head(account: Account) -> str:
    code = "" if account.exit_code is None else f" (exit {account.exit_code})"
    facts = [
        ("Run", account.run),
        ("Started", moment(account.started)),
        ("Took", took(account.duration_s)),
        ("By", "@".join(part for part in (account.who, account.host) if part)),
        ("Reason", account.reason),
        ("Job", account.url),
    ]
    outcome = _safe(account.outcome or "no end on record")
    of = f" of {_safe(account.cluster)}" if account.cluster else ""
    title = f"## rollsafe: {mode_words(account.mode)}{of}: **{outcome}**{code}"
    lines = [
        title,
        "",
        "\n\n".join(_safe(one) for one in account.said),
        "",
        *[f"- {name}: {_safe(value)}" for name, value in facts if value],
    ]
    return "\n".join(lines)


def _mend(account: Account) -> str:
    if not account.left_out:
        return ""
    lines = [
        f"- {_safe(one.get('node', '?'))} {_safe(one.get('service', ''))}: {_safe(one.get('state', ''))} "
        f"on {_safe(one.get('endpoint', '?'))}"
        for one in account.left_out[:MOST_ROWS]
    ]
    commands = [f"    {mend}" for mend in account.mends]
    return "\n".join(["### Left out of service", "", *lines, *(["", "To mend it:", "", *commands] if commands else [])])


def _nodes(account: Account) -> str:
    rows = [
        [
            _safe(node.name),
            _safe(node.outcome or "not begun"),
            took(node.out_of_service_s) if node.out_of_service_s else "",
            _safe(account.landed(node)),
            *[took(seconds) if (seconds := node.phase_s(step)) is not None else "" for step in PHASES],
        ]
        for node in account.nodes.values()
    ]
    return (
        "### Nodes\n\n" + _table(["Node", "Outcome", "Out of service", "Requests after it was back", *PHASES], rows)
        if rows
        else ""
    )


def _services(account: Account) -> str:
    rows = [[_safe(name), _safe(service_words(one))] for name, one in account.probes.items()]
    outages = [
        f"- {_safe(o.probe)}: out from {clock_face(o.start_s)} for "
        f"{took(o.end_s - o.start_s) if o.end_s is not None else 'the rest of the run'} ({_safe(o.detail)})"
        for o in account.outages[:50]
    ]
    if not rows:
        return ""
    rhythms = [f"- Rhythm of {_safe(probe)}: {_safe(told)}" for probe, told in list(account.rhythms.items())[:50]]
    listed = "\n\n" + "\n".join([*outages, *rhythms]) if outages or rhythms else ""
    return "### Reachability, seen through the balancers\n\n" + _table(["Service", "Seen"], rows) + listed


def _gates(account: Account) -> str:
    closed = [gate for gate in account.gates if not gate.allowed]
    rows = [[clock_face(g.at_s), _safe(g.node), _safe(g.name), _safe(g.reason), _safe(g.remedy)] for g in closed]
    return "### Gates that said no\n\n" + _table(["At", "Node", "Gate", "Reason", "Remedy"], rows) if rows else ""


def _writes(account: Account) -> str:
    rows = [
        [
            clock_face(w.at_s),
            _safe(w.node),
            _safe(w.service),
            _safe(w.endpoint),
            _safe(w.to),
            _safe(w.found),
            w.outcome,
        ]
        for w in account.writes
    ]
    if not rows:
        return "No write was made to any balancer."
    table = _table(["At", "Node", "Service", "Endpoint", "Set to", "Found as", "Outcome"], rows)
    return f"<details><summary>{len(rows)} writes to the balancers</summary>\n\n{table}\n\n</details>"


def _notes(account: Account) -> str:
    notes = [note for note in account.notes if note.kind != "gate.checked"]  # these have a table of their own
    rows = [f"- {clock_face(note.at_s)} {_safe(note.text)}" for note in notes[:MOST_ROWS]]
    return "### Notes\n\n" + "\n".join(rows) if rows else ""
