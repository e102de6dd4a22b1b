"""Logging: to stderr for the person who watches, to --log-file in detail. Never to stdout, never a secret."""

import logging
import os
import sys
from pathlib import Path
from typing import TextIO

from rollsafe.cli.ending import tell
from rollsafe.cli.stdout import SPELLED
from rollsafe.errors import InvalidInput
from rollsafe.reporting.opening import open_to_write
from rollsafe.reporting.outlet import Outlet

LIBRARIES = ("paramiko", "httpx", "httpcore", "urllib3")  # they chat at INFO about each packet and request


def set_up_logging(verbose: int = 0, log_file: Path | None = None) -> None:
    """Warnings to stderr; -v adds what rollsafe does, -vv what its libraries do. The file gets all that rollsafe does.

    Raises InvalidInput where the log file can't be opened.
    """
    root = logging.getLogger()
    root.handlers.clear()
    root.setLevel(logging.DEBUG)
    for library in LIBRARIES:
        # their errors reach the operator as ours, in a sentence; a traceback of theirs says nothing more at night
        logging.getLogger(library).setLevel(logging.DEBUG if verbose > 1 else logging.CRITICAL)
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
    to_stderr.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(to_stderr)
    if log_file is not None:
        root.addHandler(_file_handler(log_file))


class _LogFile(logging.StreamHandler[TextIO]):
    """The log file. A full disk is told once, and stops neither the run nor the lines that fit again later."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        super().__init__(stream)
        self._path = path
        self._told = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802 - logging's signature
        """One sentence instead of a traceback for each line."""
        if not self._told:
            self._told = True
            tell(f"warning: --log-file {self._path} is incomplete: {sys.exc_info()[1]}")


class _LogPipe(_LogFile):
    """A pipe as the log file: a reader that takes nothing holds up the run for two seconds at most, once."""

    def __init__(self, path: Path, stream: TextIO) -> None:
        super().__init__(path, stream)
        self._outlet = Outlet(stream)

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        try:
            self._outlet.line(self.format(record))
        except Exception:  # noqa: BLE001 - as every handler of logging's: what can't be formatted stops nobody
            self.handleError(record)
        if self._outlet.dropped and not self._told:
            self._told = True
            tell(f"warning: --log-file {self._path} is incomplete: nobody reads it any more")

    def flush(self) -> None:
        """At the end: what a slow reader has not taken yet."""
        self._outlet.close()


def _file_handler(path: Path) -> logging.Handler:
    try:
        stream = os.fdopen(open_to_write(path, 0o600), "a", encoding="utf-8", errors=SPELLED)
    except OSError as error:
        raise InvalidInput([f"--log-file {path}: {error.strerror}; name a file that you may write"]) from error
    handler = _LogPipe(path, stream) if path.is_fifo() else _LogFile(path, stream)
    handler.setLevel(logging.DEBUG)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
