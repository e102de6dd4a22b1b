"""Attempts: a run's name may be used again where the run before ended without having touched the cluster.

A pipeline keeps its --run-id when it tries again after a closed gate. Nothing that was written is changed by that: the
first attempt is stored under the run's name, later ones as `NAME~2`, `NAME~3`. To people the name alone means the
latest, and `NAME~1` the first. A run's own name never holds a `~`.
"""

from collections.abc import Iterable, Sequence

from rollsafe.journal.database import Connection
from rollsafe.model.record import Record

_MARK = "~"
_BEHIND = chr(ord(_MARK) + 1)  # sorts behind every attempt's name

# What a run may have on record that looked, and touched nothing: every other event counts as a touch.
_ONLY_LOOKS = frozenset(
    {"run.started", "gate.checked", "step.waiting", "probe.failed", "probe.recovered", "probe.samples"}
    | {"signal", "warning", "run.stopping", "run.finished"}
)


def touched_nothing(records: Iterable[Record]) -> bool:
    """Did the run end, and leave the cluster as it was, claims included? A run that did not end may still live."""
    last = None
    for record in records:
        if record.type not in _ONLY_LOOKS:
            return False
        last = record.type
    return last == "run.finished"


def attempts_of(connection: Connection, run: str) -> list[str]:
    """The stored names of a run's attempts, first to last."""
    question = "SELECT id, run FROM runs WHERE run = ? OR (run > ? AND run < ?)"
    found = connection.execute(question, (run, run + _MARK, run + _BEHIND)).fetchall()
    return [str(name) for _, name in sorted(found)]


def next_name(run: str, before: Sequence[str]) -> str:
    """The stored name of the attempt that comes after those."""
    return f"{run}{_MARK}{len(before) + 1}" if before else run


def stored_name(connection: Connection, told: str) -> str:
    """The stored name of what people call `NAME` (its latest attempt) or `NAME~1`; what is not there, as it is."""
    run, _, number = told.partition(_MARK)
    if number:
        return run if number == "1" else told
    return next(reversed(attempts_of(connection, told)), told)


def told_name(connection: Connection, stored: str) -> str:
    """What people call it: `NAME` for the latest attempt, `NAME~1` for an earlier one."""
    run, _, number = stored.partition(_MARK)
    return run if stored_name(connection, run) == stored else f"{run}{_MARK}{number or 1}"


def names_that_begin(connection: Connection, prefix: str, limit: int) -> list[str]:
    """What people call the runs that begin so, latest first. All attempts of a run are one."""
    question = "SELECT substr(run, 1, instr(run || ?, ?) - 1) FROM runs WHERE substr(run, 1, ?) = ?"
    question += " GROUP BY 1 ORDER BY max(id) DESC LIMIT ?"
    rows = connection.execute(question, (_MARK, _MARK, len(prefix), prefix, limit)).fetchall()
    return [name for (name,) in rows if isinstance(name, str)]
