"""A run as an account that reads well: a head, one line a record with its moment, and the end."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rollsafe.model.record import Record
from rollsafe.reporting.closing import closing_lines
from rollsafe.reporting.sentences import sentence
from rollsafe.reporting.words import clean, clock_face

if TYPE_CHECKING:
    from rollsafe.journal.store import RunRow

# What the journal needs and a reader does not, unless every record is asked for.
_QUIET = frozenset({"claim.changed", "probe.samples"})
_ENDS_OF_WRITES = frozenset({"write.done", "write.failed"})


def story(row: "RunRow", nodes: Sequence[str], records: Sequence[Record], named: str, *, whole: bool) -> Iterator[str]:
    """The account's lines. `nodes` are those of the plan, `named` is the ` -i FILE` of a command to be typed; `whole`
    leaves no record out."""
    yield from _head(row, nodes)
    last = records[-1] if records and records[-1].type == "run.finished" else None
    for record in records if whole else _worth(records):
        if record.type == "node.started":
            yield ""
        if record is not last:
            yield f"[{clock_face(record.at_s):>7}] {sentence(record)}"
    yield from _in_doubt(records)
    yield from closing_lines(last) if last else _no_end(row, named)


def _head(row: "RunRow", nodes: Sequence[str]) -> Iterator[str]:
    who = row.who
    yield f"run      {clean(row.run)} of {clean(row.cluster)}"
    yield f"started  {clean(row.started)} by {clean(who.who)} on {clean(who.host)} (pid {who.pid})"
    if who.reason:
        yield f"reason   {clean(who.reason)}"
    if who.url:
        yield f"job      {clean(who.url)}"
    if nodes:
        yield f"nodes    {', '.join(clean(node) for node in nodes)}"
    yield ""


def _worth(records: Sequence[Record]) -> Iterator[Record]:
    """Without the quiet ones; of waits for one thing only the last reading before something else happens; of a gate
    that says the same again only the first."""
    gates: dict[tuple[str | None, str], str] = {}
    for place, record in enumerate(records):
        if record.type in _QUIET:
            continue
        after = records[place + 1] if place + 1 < len(records) else None
        if record.type == "step.waiting" and after is not None and _same_wait(record, after):
            continue
        if record.type == "gate.checked":
            gate, answer = (record.node, str(record.data.get("gate"))), str(record.data.get("allowed"))
            if gates.get(gate) == answer:
                continue
            gates[gate] = answer
        yield record


def _same_wait(one: Record, other: Record) -> bool:
    return other.type == one.type and (one.node, one.service) == (other.node, other.service)


def _in_doubt(records: Sequence[Record]) -> Iterator[str]:
    """Intents whose outcome is not on record: what they did is only known by looking."""
    open_intents: dict[tuple[str, ...], Record] = {}
    for record in records:
        if record.type == "write.intent":
            open_intents[_member(record)] = record
        elif record.type in _ENDS_OF_WRITES:
            open_intents.pop(_member(record), None)
    for record in open_intents.values():
        yield f"[in doubt] {sentence(record)}: no outcome is on record"


def _member(record: Record) -> tuple[str, ...]:
    keys = (record.node, record.service, record.balancer, record.endpoint)
    return (*(key or "" for key in keys), str(record.data.get("pool")), str(record.data.get("seat")))


def _no_end(row: "RunRow", named: str) -> Iterator[str]:
    words = f"{named} --run-id {clean(row.run)}"
    yield ""
    yield (
        f"No end is on record: the process was killed, or it still goes on. Look with `rollsafe status{named}`; "
        f"`rollsafe resume{words}` goes on, `rollsafe recover{words}` puts back."
    )
