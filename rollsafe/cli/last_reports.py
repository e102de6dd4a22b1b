"""The reports and the last event of a command that ended before there was a run: a pipeline that waits for its JUnit
file, or reads the end of its events, finds how this one ended, and not how the one before it did."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rollsafe.cli.clashes import clashes_of_words
from rollsafe.cli.words import value

if TYPE_CHECKING:
    from rollsafe.model.record import Record

REPORTING = frozenset({"run", "resume", "recover"})
ACTING = REPORTING | {"drain", "ready", "restart"}
_OPTIONS = ("html", "markdown", "junit", "json")


def last_reports(arguments: Sequence[str], event: Mapping[str, Any]) -> list[str]:
    """Write the reports and the line of --events that the bare words ask for, from `run.finished` alone; the problems,
    one sentence each.

    The words are read as they are, because they may be what is wrong.
    """
    wanted = {name: path for name in _OPTIONS if (path := value(arguments, f"--{name}"))}
    command, events = (arguments[0] if arguments else ""), value(arguments, "--events")
    if (wanted or events) and (problems := clashes_of_words(arguments)):
        return problems
    problems = []
    if events and command in ACTING:
        problems += _append(events, _ended(event))
    if wanted and command in REPORTING:
        problems += _write(wanted, command, event)
    return problems


def _write(wanted: Mapping[str, str], command: str, event: Mapping[str, Any]) -> list[str]:
    from rollsafe.model.record import Record
    from rollsafe.reporting.reports import ReportPaths, write_reports

    began = Record(event["run"], 0, "run.started", event["time"], 0.0, data={"mode": command})
    paths = ReportPaths(**{name: Path(path) for name, path in wanted.items()})
    return write_reports(paths, [began, _ended(event)]) if not paths.problems() else paths.problems()


def _append(events: str, ended: "Record") -> list[str]:
    """The last line, behind those of earlier runs, as a run's own lines are."""
    from rollsafe.errors import InvalidInput
    from rollsafe.reporting.jsonl import JsonLines

    try:
        lines = JsonLines.to_file(events)
    except InvalidInput as error:
        return list(error.problems)
    lines.hear(ended)
    lines.close()
    return [f"--events {events}: the last line could not be written"] if lines.dropped else []


def _ended(event: Mapping[str, Any]) -> "Record":
    from rollsafe.model.record import Record

    fields = ("time", "run", "seq", "type", "message")
    data = {name: value for name, value in event.items() if name not in fields}
    return Record(
        event["run"], event["seq"], "run.finished", event["time"], event["duration_s"], event["message"], data=data
    )
