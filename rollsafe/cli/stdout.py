"""A stdout that can't hurt a run: a reader that goes away (`| head`) or a full disk ends the output, never the run. A
sign that its encoding lacks (latin-1, ascii) is spelled out, and ends nothing."""

import codecs
import contextlib
import io
import json
import os
import sys
from types import TracebackType
from typing import Any, Self, TextIO

SPELLED = "rollsafe.spelled"  # the name of our answer to a sign that an encoding lacks
_OWN_SIGNS = {"…": "...", "→": "->"}


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    told = (_OWN_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode() for sign in lacking)
    return "".join(told), error.end


codecs.register_error(SPELLED, _spelled)


def show_every_sign(stream: TextIO) -> None:
    """From now on a sign that the stream's encoding lacks is spelled out, where it would raise otherwise."""
    if isinstance(stream, io.TextIOWrapper):
        with contextlib.suppress(OSError, ValueError):  # it flushes, too, and the stream may be gone
            stream.reconfigure(errors=SPELLED)


class SafeStdout:
    """Stands in for sys.stdout. Swallows write errors, and remembers the last whole line for the ending."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._line = ""
        self.last_line = ""
        self.broken = False

    def __enter__(self) -> Self:
        show_every_sign(self._stream)
        sys.stdout = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()
        sys.stdout = self._stream
        if self.broken:
            # The interpreter flushes fd 1 once more at its end, and would turn the exit code into 120.
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - a device, not a path of ours
                os.dup2(nowhere.fileno(), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # typer would write past us, where the encoding is ascii
            raise AttributeError(name)
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write `text`, or drop it where nobody can read it any more."""
        self._remember(text)
        if not self.broken:
            try:
                self._stream.write(text)
            except (OSError, ValueError):
                self.broken = True
        return len(text)

    def flush(self) -> None:
        """Push out what is buffered."""
        if not self.broken:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self.broken = True

    def end_line(self) -> None:
        """End a line that was begun and not ended (a killed writer), so that the next is whole."""
        if self._line:
            self.write("\n")

    def last_event(self) -> dict[str, Any]:
        """The last whole line as JSON object; empty where it is none."""
        try:
            event = json.loads(self.last_line)
        except ValueError:
            return {}
        return event if isinstance(event, dict) else {}

    def _remember(self, text: str) -> None:
        *lines, self._line = (self._line + text).split("\n")
        whole = [line for line in lines if line.strip()]
        if whole:
            self.last_line = whole[-1]
