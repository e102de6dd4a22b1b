"""Which view people get: the live one on a terminal, plain lines everywhere else."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, TextIO

from rollsafe.ports import Clock
from rollsafe.reporting.lines import PlainLines

if TYPE_CHECKING:
    from rollsafe.reporting.live import LiveView


def people_view(
    stream: TextIO,
    clock: Clock,
    *,
    no_color: bool = False,
    verbose: bool = False,
    environment: Mapping[str, str] = os.environ,
) -> "PlainLines | LiveView":
    """A Listener with `close()` for people who look at `stream`.

    Plain lines where it is no terminal, a dumb one, or where the terminal's own tricks are not wanted (`--no-color`,
    `-v`); with $NO_COLOR the live view has no colours.
    """
    if no_color or verbose or environment.get("TERM", "") in ("", "dumb") or not _is_terminal(stream):
        return PlainLines(stream, verbose=verbose)
    from rich.console import Console

    from rollsafe.reporting.live import LiveView

    return LiveView(Console(file=stream, highlight=False, no_color=bool(environment.get("NO_COLOR"))), clock)


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (OSError, ValueError):
        return False
