"""Reports as files: whole or not at all, and never a reason for a run to fail."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from rollsafe.model.record import Record
from rollsafe.reporting.account import Account
from rollsafe.reporting.fold import account_of
from rollsafe.reporting.opening import DATABASE, hold, is_database, is_stream, write_into


@dataclass(frozen=True, slots=True)
class ReportPaths:
    """Which reports are wanted, and where."""

    html: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    json: Path | None = None

    @property
    def any(self) -> bool:
        """Is one wanted at all?"""
        return any((self.html, self.markdown, self.junit, self.json))

    def problems(self) -> list[str]:
        """What would keep them from being written, asked before a run begins. Leaves nothing behind."""
        told = [(option, path, unwritable(path)) for option, path in self._named()]
        return [f"--{option} {path}: {why}" for option, path, why in told if why]

    def _named(self) -> list[tuple[str, Path]]:
        named = (("html", self.html), ("markdown", self.markdown), ("junit", self.junit), ("json", self.json))
        return [(option, path) for option, path in named if path is not None]


def unwritable(path: Path) -> str:
    """Why `replace_file` could not write there; empty where it could. A pipe is held open for it from now on."""
    if path.is_dir():
        return "is a folder; name a file in it"
    if is_stream(path):
        return _unwritable_stream(path)
    if is_database(path):
        return f"{DATABASE}; name another file"
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist; make it first"
    return "" if os.access(folder, os.W_OK | os.X_OK) else f"the folder {folder} can't be written to"


def _unwritable_stream(path: Path) -> str:
    try:
        hold(path)
    except OSError as error:
        return f"can't be written: {error.strerror or error}"
    return ""


def write_reports(paths: ReportPaths, records: Iterable[Record]) -> list[str]:
    """Write each report that is wanted, by atomic rename; the problems, one sentence each. Never raises."""
    if not paths.any:
        return []
    try:
        account = account_of(records)
    except Exception as error:  # noqa: BLE001 - a report may never fail a run that went well
        return [f"no report was written: the records make no sense: {error!r}"]
    problems = []
    for option, path in sorted(
        paths._named(), key=lambda one: one[0] == "html"
    ):  # the slow one last: time may be short
        problem = _write_one(path, _RENDERERS[option], account)
        if problem:
            problems.append(f"--{option} {path}: the report was not written: {problem}")
    return problems


def replace_file(path: Path, text: str) -> None:
    """Put `text` into the file so that a reader sees the old or the new one, whole. Raises OSError.

    What is there and no regular file (`/dev/stdout`, a pipe) is written to as it is.
    """
    if is_stream(path):
        write_into(path, text)
        return
    target = Path(os.path.realpath(path))  # a link stays a link
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".new")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), _mode(target))
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise


def _mode(target: Path) -> int:
    """The rights of the file that is replaced, else readable for all: CI servers read reports, which hold no secret."""
    try:
        return target.stat().st_mode & 0o777
    except OSError:
        return 0o644


def _write_one(path: Path, render: Callable[[Account], str], account: Account) -> str:
    try:
        replace_file(path, render(account))
    except OSError as error:
        return error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - as above
        return repr(error)
    return ""


def _html(account: Account) -> str:
    from rollsafe.reporting.html import html

    return html(account)


def _markdown(account: Account) -> str:
    from rollsafe.reporting.markdown import markdown

    return markdown(account)


def _junit(account: Account) -> str:
    from rollsafe.reporting.junit import junit

    return junit(account)


def _json(account: Account) -> str:
    from rollsafe.reporting.summary_json import summary_json

    return summary_json(account)


_RENDERERS: dict[str, Callable[[Account], str]] = {
    "html": _html,
    "markdown": _markdown,
    "junit": _junit,
    "json": _json,
}
