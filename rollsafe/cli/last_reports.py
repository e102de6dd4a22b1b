"""The reports of a command that ended before there was a run: a pipeline that waits for its JUnit file finds one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REPORTING = frozenset({"run", "resume", "recover"})
_OPTIONS = ("html", "markdown", "junit", "json")


def last_reports(arguments: Sequence[str], event: Mapping[str, Any]) -> list[str]:
    """Write the reports that the bare words ask for, from `run.finished` alone; the problems, one sentence each.

    The words are read as they are, because they may be what is wrong.
    """
    wanted = {name: path for name in _OPTIONS if (path := _value(arguments, f"--{name}"))}
    if not wanted or not arguments or arguments[0] not in REPORTING:
        return []
    from rollsafe.model.record import Record
    from rollsafe.reporting.reports import ReportPaths, write_reports

    fields = ("time", "run", "seq", "type", "message")
    data = {name: value for name, value in event.items() if name not in fields}
    began = Record(event["run"], 0, "run.started", event["time"], 0.0, data={"mode": arguments[0]})
    ended = Record(
        event["run"], event["seq"], "run.finished", event["time"], event["duration_s"], event["message"], data=data
    )
    paths = ReportPaths(**{name: Path(path) for name, path in wanted.items()})
    return write_reports(paths, [began, ended]) if not paths.problems() else paths.problems()


def _value(arguments: Sequence[str], option: str) -> str:
    for index, word in enumerate(arguments):
        if word == option and index + 1 < len(arguments):
            return arguments[index + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""
