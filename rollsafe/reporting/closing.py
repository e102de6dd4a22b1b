"""The end of a run, for people: what became of each node, what the probes saw, what to mend and how."""

from collections.abc import Mapping
from typing import Any

from rollsafe.model.record import Record
from rollsafe.reporting.words import clean, number, text, took, whole

MOST_ROWS = 60


def closing_lines(run_finished: Record) -> list[str]:
    """The summary's lines. The last one is the run's own last sentence, which the contract promises."""
    data = run_finished.data
    lines = ["", *_nodes(data), *_services(data), *_left_out(data), *_others(data)]
    long = number(data, "duration_s")
    outcome = text(data, "outcome")
    if outcome:
        code = number(data, "exit_code")
        lines.append(_row("outcome", outcome + (f" (exit {code:.0f})" if code is not None else "") + _after(long)))
    return [*lines, whole(run_finished.message) or f"The run ended: {outcome or 'unknown'}."]


def _row(name: str, words: str) -> str:
    return f"  {name:<14} {words}"


def _after(seconds: float | None) -> str:
    return f" after {took(seconds)}" if seconds is not None else ""


def _maps(data: Mapping[str, Any], key: str) -> list[tuple[str, Mapping[str, Any]]]:
    found = data.get(key)
    if not isinstance(found, Mapping):
        return []
    return [(clean(name, 80), one) for name, one in found.items() if isinstance(one, Mapping)]


def _nodes(data: Mapping[str, Any]) -> list[str]:
    rows = _maps(data, "nodes")
    shown = rows
    if len(rows) > MOST_ROWS:  # whatever did not go as wanted is worth more than the rest
        bad = [row for row in rows if text(row[1], "outcome") != "restarted"]
        shown = bad[:MOST_ROWS] or rows[:MOST_ROWS]
    lines = []
    for name, one in shown:
        out = number(one, "out_of_service_s")
        lines.append(_row(name, text(one, "outcome") + (f", out of service for {took(out)}" if out else "")))
    if len(shown) < len(rows):
        lines.append(_row("", f"… and {len(rows) - len(shown)} more nodes"))
    return lines


def _services(data: Mapping[str, Any]) -> list[str]:
    return [_row(name, service_words(one)) for name, one in _maps(data, "services")]


def service_words(one: Mapping[str, Any]) -> str:
    """What a service's probes saw: `412 probes, 0 failed, availability 100 %`."""
    probes = number(one, "probes")
    if not probes:
        return "not probed"
    failed, longest, share = number(one, "failed"), number(one, "longest_outage_s"), number(one, "availability")
    rejected = number(one, "rejected")
    parts = [f"{probes:.0f} probes", f"{failed or 0:.0f} failed"]
    parts += [f"{rejected:.0f} of them with an unexpected 401, 403 or 404"] if rejected else []
    parts += [f"longest outage {took(longest)}"] if failed and longest is not None else []
    parts += [f"availability {percent(share)}"] if share is not None else []
    missed = number(one, "missed")
    were = "was" if missed == 1 else "were"
    parts += [f"{missed:.0f} more {were} due and NOT sent: the prober stalled"] if missed else []
    return ", ".join(parts)


def percent(share: float) -> str:
    """A share for people; never rounded up to 100 %."""
    value = share * 100
    shown = f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{'99.999' if shown == '100' and share < 1 else shown} %"


def _left_out(data: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in _list(data, "left_out"):
        where = " ".join(part for part in (text(one, "node"), text(one, "service")) if part)
        on = text(one, "endpoint") or text(one, "balancer")
        lines.append(_row("LEFT OUT", f"{where}: {text(one, 'state')}" + (f" on {on}" if on else "")))
    mends = dict.fromkeys(text(one, "mend") for one in _list(data, "left_out"))
    return lines + [_row("to mend", mend) for mend in mends if mend]


def _others(data: Mapping[str, Any]) -> list[str]:
    lines = []
    for one in _list(data, "others"):
        where = " ".join(part for part in (text(one, "node"), text(one, "service")) if part)
        said = text(one, "state") or text(one, "reason")
        on = text(one, "endpoint") or text(one, "balancer")
        lines.append(_row("by others", f"{where}: {said}" + (f" on {on}" if on else "")))
    return lines


def _list(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The maps of a list; a bare text counts as a node's name."""
    found = data.get(key)
    if not isinstance(found, list | tuple):
        return []
    return [one if isinstance(one, Mapping) else {"node": one} for one in found[:MOST_ROWS]]
