"""What `plan` shows: the exact writes in order, the gates' verdicts, what could not be checked, and the times.

The JSON object (`-o json`) has `type` "plan"; `writes` in the order of the run, each with `node`, `service`,
`balancer`, `endpoint`, `pool`, `member`, `found`, `wanted`, `condition` (empty: it surely comes); `verdicts`, each
with `node` (null: the whole run), `gate`, `allowed`, `reason`, `remedy`, `warning`; `warnings`; `unchecked`;
`expected_s` and `longest_s` for the whole run; `estimates`, each with `node`, `expected_s` and `runs` (how many of its
turns it is the median of; 0: a preset); `outcome`, `exit_code`, `message`; `file` of `--out`, or null.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from shlex import quote
from typing import Any

from rollsafe.model.plan import Forecast, PlannedWrite
from rollsafe.model.reading import AdminState, Member
from rollsafe.model.verdict import Verdict
from rollsafe.reporting.words import clean, took

Paint = Callable[[str, str], str]  # (text, good | bad | warn | dim | head) -> the same text, coloured or not
_RANK = {AdminState.READY: 0, AdminState.DRAIN: 1, AdminState.MAINT: 2}


@dataclass(frozen=True, slots=True)
class PlanShown:
    """A forecast with its ending. `restarts` says for each node what restarts it."""

    forecast: Forecast
    restarts: Mapping[str, str]
    outcome: str
    exit_code: int
    message: str
    time: str
    file: str | None = None
    named: str = ""  # ` -i FILE`, where the inventory is not the usual one


def plan_json(shown: PlanShown) -> dict[str, Any]:
    """The object of `-o json`, as the module's text says."""
    told = shown.forecast
    plan = told.plan
    return {
        "time": shown.time,
        "run": "",
        "seq": 1,
        "type": "plan",
        "cluster": plan.cluster,
        "nodes": [node.name for node in plan.nodes],
        "steps": [step.name for step in plan.each_node],
        "writes": [_write(write) for write in told.writes],
        "verdicts": [_verdict(node, verdict) for node, verdict in told.verdicts],
        "warnings": [clean(text) for text in told.warnings],
        "unchecked": [clean(text) for text in told.unchecked],
        "expected_s": round(told.expected_s, 1),
        "estimates": [
            {"node": e.node, "expected_s": round(e.expected_s, 1), "runs": e.runs} for e in told.plan.estimates
        ],
        "longest_s": round(told.longest_s, 1),
        "outcome": shown.outcome,
        "exit_code": shown.exit_code,
        "message": shown.message,
        "file": shown.file,
    }


def _write(write: PlannedWrite) -> dict[str, str]:
    member = write.member
    return {
        **member.place,
        "pool": member.pool,
        "member": member.seat,
        "found": write.found.admin.value,
        "wanted": write.to.admin.value,
        "condition": write.condition,
    }


def _verdict(node: str, verdict: Verdict) -> dict[str, Any]:
    return {
        "node": node or None,
        "gate": verdict.gate,
        "allowed": verdict.allowed,
        "reason": clean(verdict.reason),
        "remedy": "" if verdict.allowed else clean(verdict.remedy),
        "warning": clean(verdict.warning),
    }


def plan_lines(shown: PlanShown, paint: Paint) -> Iterator[str]:
    """The plan for people."""
    told = shown.forecast
    names = ", ".join(node.name for node in told.plan.nodes)
    yield (
        paint(f"Restart {names} of {told.plan.cluster}, one at a time.", "head")
        + " This is a plan: nothing is written."
    )
    yield from _section("before the run", _shared(told), paint)
    shared = {verdict for _, verdict in _shared(told)}
    for node in told.plan.nodes:
        verdicts = [("", v) for n, v in told.verdicts if n == node.name and v not in shared]
        yield from _section(node.name, verdicts, paint)
        yield from _turn(told, node.name, shown.restarts.get(node.name, ""), paint)
    yield from _list("warnings", told.warnings, "warn", paint)
    yield from _list("could not be checked", told.unchecked, "bad", paint)
    yield ""
    yield f"Expected {took(told.expected_s)}, at most {took(told.longest_s)} where every wait uses its limit up."
    yield f"  {_estimated(told)}"
    if shown.file:
        yield f"Written to {shown.file}; to run exactly this: rollsafe run{shown.named} --plan {quote(shown.file)}"


def _estimated(told: Forecast) -> str:
    """Where the expected time comes from."""
    known = [e for e in told.plan.estimates if e.runs]
    guessed = [e.node for e in told.plan.estimates if not e.runs]
    parts = []
    if known:
        each = ", ".join(f"{e.node} {took(e.expected_s)} (of {e.runs})" for e in known)
        parts.append(f"By the median of the last turns in this machine's journal: {each}")
    if guessed:
        parts.append(
            f"{'by' if known else 'By'} the product's usual start: the journal has no turn of {', '.join(guessed)}"
        )
    return f"{'; '.join(parts)}."


def _shared(told: Forecast) -> list[tuple[str, Verdict]]:
    """What concerns the whole run: verdicts of no node that is restarted, and those that all of them share."""
    nodes = [node.name for node in told.plan.nodes]
    of = {node: {v for n, v in told.verdicts if n == node} for node in nodes}
    alike = set.intersection(*of.values()) if len(nodes) > 1 else set()
    shared: dict[tuple[str, Verdict], None] = {}
    for node, verdict in told.verdicts:
        if verdict in alike:
            shared["", verdict] = None
        elif node not in of:
            shared[node, verdict] = None
    return list(shared)


def _section(title: str, verdicts: list[tuple[str, Verdict]], paint: Paint) -> Iterator[str]:
    yield ""
    yield paint(title, "head")
    for node, verdict in verdicts:
        mark = paint("ok", "good") if verdict.allowed else paint("NO", "bad")
        where = f"{node}: " if node else ""
        yield f"  {mark}  {verdict.gate:<9}  {where}{clean(verdict.reason)}"
        if not verdict.allowed and verdict.remedy:
            yield f"                 to change it: {clean(verdict.remedy)}"


def _turn(told: Forecast, node: str, restart: str, paint: Paint) -> Iterator[str]:
    """One node's writes, numbered over the whole run, with the restart in its place."""
    rows = _rows([write for write in told.writes if write.member.node == node])
    first = next((n for n, write in enumerate(told.writes, 1) if write.member.node == node), 1)
    widths = [max((len(cells[i]) for _, cells, _ in rows), default=0) for i in range(4)]
    between = f"       {paint(_restart_line(told, restart), 'dim')}"
    restarted = False
    for count, (back, row, condition) in enumerate(rows, first):
        if back and not restarted:
            yield between
            restarted = True
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {count:>3}  {cells}  {paint(condition, 'dim')}".rstrip()
    if not restarted:
        yield between


def _rows(writes: list[PlannedWrite]) -> list[tuple[bool, tuple[str, str, str, str], str]]:
    """Each write: does it put something back, its columns, its condition."""
    shown: dict[Member, AdminState] = {}
    rows = []
    for write in writes:
        member, wanted = write.member, write.to.admin
        before = shown.get(member, write.found.admin)
        shown[member] = wanted
        cells = (member.service, member.endpoint, f"{member.pool}/{member.seat}", f"{before.value} → {wanted.value}")
        rows.append((_RANK[wanted] < _RANK[before], cells, write.condition))
    return rows


def _restart_line(told: Forecast, restart: str) -> str:
    services = " and ".join(service.name for service in told.plan.services)
    names = [step.name for step in told.plan.each_node]
    if "restart" not in names:
        return "(no restart)"
    return (
        f"restart: {clean(restart)}; then {services} healthy for {took(told.plan.policy.healthy_for_s)} without a break"
    )


def _list(title: str, texts: tuple[str, ...], style: str, paint: Paint) -> Iterator[str]:
    if texts:
        yield ""
        yield paint(title, "head")
        for text in texts:
            yield f"  {paint('!', style)}  {clean(text)}"
