"""Logging: to stderr for the person who watches, to --log-file in detail. Never to stdout, never a secret.

What libraries say is theirs: of a request only the step, the status and the kind of its failure are let through, for
headers and bodies hold tokens, and whatever is written loses every secret that was revealed.
"""

import logging
import os
import re
import sys
from pathlib import Path
from typing import TextIO

from rollsafe.cli.ending import tell
from rollsafe.cli.stdout import SPELLED
from rollsafe.errors import InvalidInput
from rollsafe.model.secret import hide
from rollsafe.reporting.opening import open_to_write
from rollsafe.reporting.outlet import Outlet

LIBRARIES = ("paramiko", "httpx", "httpcore")  # they chat at INFO about each packet and request
SILENT = ("urllib3", "requests", "requests_oauthlib", "oauthlib", "apprise")  # paths and parts that are tokens

_STEP = re.compile(r"^[\w.]+")
_STATUS = re.compile(r"^\S+ return_value=\(b'HTTP/[\d.]+', (\d{3}),")
_FAILURE = re.compile(r" exception=(\w+)")
_QUERY = re.compile(r"[?#][^\s\"']*")


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
    for library in SILENT:
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setLevel([logging.WARNING, logging.INFO, logging.DEBUG][min(verbose, 2)])
    to_stderr.setFormatter(_Hiding("%(levelname)s %(name)s: %(message)s"))
    root.addHandler(to_stderr)
    if log_file is not None:
        root.addHandler(_file_handler(log_file))
    for handler in root.handlers:
        handler.addFilter(_bare)


class _Hiding(logging.Formatter):
    """A line, its traceback included, without any secret that was revealed."""

    def format(self, record: logging.LogRecord) -> str:
        return hide(super().format(record))


def _bare(record: logging.LogRecord) -> bool:
    """What the HTTP libraries log of a request, without its headers, its query and its body."""
    library = record.name.partition(".")[0]
    if library == "httpcore":
        told = record.getMessage()
        parts = [found for found in (_STEP.match(told), _STATUS.match(told), _FAILURE.search(told)) if found]
        record.msg = " ".join(found[found.re.groups] for found in parts)
        record.args = record.exc_info = record.exc_text = None
    elif library == "httpx":
        record.msg, record.args = _QUERY.sub("?…", record.getMessage()), None
    return True


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
    handler.setFormatter(_Hiding("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    return handler
