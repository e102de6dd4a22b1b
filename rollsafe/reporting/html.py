"""The account as one HTML file that needs no network and no script: for the change manager, and for print."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, TypeVar

from jinja2 import Environment, StrictUndefined, Template

from rollsafe.reporting.account import PHASES, Account, Gate, Write
from rollsafe.reporting.closing import percent, service_words
from rollsafe.reporting.sentences import mode_words
from rollsafe.reporting.timeline import latency, sessions, span, timeline
from rollsafe.reporting.words import clock_face, moment, number, took

MOST_ROWS = 400  # of one table; the journal has them all
MOST_TILES = 6

Row = TypeVar("Row")


def html(account: Account) -> str:
    """The whole report. Every text in it is escaped."""
    gates, gates_left = _bounded(account.gates, [gate for gate in account.gates if not gate.allowed])
    writes, writes_left = _bounded(account.writes, [write for write in account.writes if write.outcome != "done"])
    return _template().render(
        account=account,
        tone=_tone(account),
        tiles=tiles(account),
        mode=mode_words(account.mode),
        timeline=timeline(account),
        sessions=sessions(account),
        latency=latency(account),
        gates=gates,
        gates_left=gates_left,
        writes=writes,
        writes_left=writes_left,
        phases=PHASES,
        thousands=len(account.nodes) > MOST_ROWS,  # a browser takes its time with so long a table: only when asked to
        astray=[node for node in account.nodes.values() if not (account.well(node) or node.untouched)],
    )


@dataclass(frozen=True, slots=True)
class Tile:
    """One number that a reader looks for first."""

    name: str
    value: str
    note: str = ""
    tone: str = ""  # good, bad, or nothing


def tiles(account: Account) -> list[Tile]:
    """The run in a few numbers."""
    nodes = list(account.nodes.values())
    done = sum(node.restarted for node in nodes)
    out = max(nodes, key=lambda node: node.out_of_service_s or 0.0, default=None)
    found = []
    if nodes and account.mode in ("run", "resume", "restart", ""):
        found.append(Tile("Restarted", f"{done} of {len(nodes)}", "nodes", "good" if done == len(nodes) else "bad"))
    found += [_reached(name, one) for name, one in list(account.probes.items())[:MOST_TILES] if number(one, "probes")]
    if out is not None and out.out_of_service_s:
        found.append(Tile("Longest out of service", took(out.out_of_service_s), out.name))
    expected = f"expected {took(account.estimate_s)}" if account.estimate_s else ""
    return [*found, Tile("Took", took(account.duration_s), expected)]


def _reached(name: str, one: Mapping[str, Any]) -> Tile:
    """How reachable a service was."""
    failed, share = number(one, "failed") or 0.0, number(one, "availability")
    note = f"{number(one, 'probes') or 0:.0f} probes, " + (
        f"{failed:.0f} failed, longest outage {took(number(one, 'longest_outage_s'))}" if failed else "none failed"
    )
    return Tile(f"{name} reachable", percent(share) if share is not None else "?", note, "bad" if failed else "good")


def _tone(account: Account) -> str:
    """Which colour the verdict has; its words say the same."""
    return {"done": "good", "stopped": "warn", "refused": "warn", "invalid": "warn"}.get(account.outcome, "bad")


def _bounded(rows: Sequence[Row], weighty: Sequence[Row]) -> tuple[list[Row], int]:
    """The first and last rows and those that went wrong; and how many are left out."""
    if len(rows) <= MOST_ROWS:
        return list(rows), 0
    half = MOST_ROWS // 4
    kept = {id(row) for row in [*rows[:half], *rows[-half:], *weighty[: MOST_ROWS // 2]]}
    shown = [row for row in rows if id(row) in kept]
    return shown, len(rows) - len(shown)


def _gate_times(gate: Gate) -> str:
    return f" (asked {gate.times} times)" if gate.times > 1 else ""


def _write_words(write: Write) -> str:
    return write.outcome + (f" in {span(write.took_s)}" if write.took_s is not None else "")


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = {
        "took": took,
        "clock": clock_face,
        "moment": moment,
        "seen": service_words,
        "gate_times": _gate_times,
        "write_words": _write_words,
    }
    environment.filters.update(filters)
    source = files("rollsafe.reporting").joinpath("templates", "report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source)
