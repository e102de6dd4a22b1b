"""The live view for terminals: the cluster as a table that changes in place.

All drawing happens in a thread of its own: a terminal that is slow, stopped with Ctrl-S or gone can't hold up the run.
"""

import contextlib
import threading
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from rollsafe.model.record import Record
from rollsafe.ports import Clock
from rollsafe.reporting.board import DONE, IN_HAND, LEFT_OUT, TOUCHED, WAITING, Board, NodeLine
from rollsafe.reporting.closing import closing_lines
from rollsafe.reporting.words import clock_face, took

LEAST_S = 0.25  # between two pictures
CLOCK_S = 1.0  # the clocks go on though nothing happens
LAST_S = 2.0  # the longest that the end waits for the terminal

_GLYPHS = {DONE: "✓", IN_HAND: "▶", WAITING: "·", TOUCHED: "↺", LEFT_OUT: "✗"}
_PLAIN_GLYPHS = {DONE: "+", IN_HAND: ">", WAITING: ".", TOUCHED: "<", LEFT_OUT: "X"}
_STYLES = {DONE: "green", IN_HAND: "bold cyan", WAITING: "dim", TOUCHED: "yellow", LEFT_OUT: "bold red"}


class LiveView:
    """A Listener that draws. `close()` leaves the last picture and the closing lines on the screen."""

    def __init__(self, console: Console | None = None, clock: Clock | None = None) -> None:
        """Default: stdout, and clocks that move with each record only."""
        self._console = console or Console(highlight=False)
        self._clock = clock
        self._board = Board()
        self._heard_s = 0.0  # the clock's moment of the last record
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def hear(self, record: Record) -> None:
        """Take in one record; the picture follows within a quarter of a second."""
        with contextlib.suppress(Exception):
            # A signal handler may speak in the middle of our own update: it gives up rather than wait for itself.
            if not self._lock.acquire(timeout=1.0):
                return
            try:
                self._board.hear(record)
                self._heard_s = self._now_s()
            finally:
                self._lock.release()
            self._start()
            self._changed.set()

    def close(self) -> None:
        """Draw for the last time. Waits for a stalled terminal at most two seconds."""
        with contextlib.suppress(Exception):
            self._end.set()
            self._changed.set()
            if self._thread is not None:
                self._thread.join(LAST_S)

    def picture(self) -> RenderableType:
        """The present picture."""
        with self._lock:
            return draw(self._board, self._elapsed_s(), self._console)

    def _elapsed_s(self) -> float:
        if self._board.last is not None:
            return self._board.last.at_s
        return self._board.now_s + max(0.0, self._now_s() - self._heard_s)

    def _now_s(self) -> float:
        return self._clock.monotonic() if self._clock is not None else self._heard_s

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw_on, name="live view", daemon=True)
            self._thread.start()

    def _draw_on(self) -> None:
        with contextlib.suppress(Exception):  # a dead terminal (EIO) ends the view, never the run
            live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
            with live:
                while not self._end.is_set():
                    self._changed.clear()
                    live.update(self.picture(), refresh=True)
                    self._end.wait(LEAST_S)
                    self._changed.wait(CLOCK_S - LEAST_S)
                live.update(self.picture(), refresh=True)
            if self._board.last is not None:
                for line in closing_lines(self._board.last):
                    self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def draw(board: Board, elapsed_s: float, console: Console) -> RenderableType:
    """The board as rich draws it, for the console's width, height, colours and letters."""
    glyphs = _GLYPHS if (console.encoding or "").lower().startswith("utf") else _PLAIN_GLYPHS
    parts: list[RenderableType] = [_head(board, elapsed_s), _table(board, elapsed_s, console, glyphs)]
    parts += [Text(_now(board.waits, elapsed_s), style="yellow")] if board.waits is not None else []
    parts.append(_probes(board, elapsed_s))
    parts += [Text(f"! {note}", style="yellow", no_wrap=False) for note in board.notes]
    if board.last is None:
        legend = "   ".join(f"{glyph} {status}" for status, glyph in glyphs.items())
        parts.append(Text(legend, style="dim", no_wrap=True, overflow="ellipsis"))
    return Group(*parts)


def _head(board: Board, elapsed_s: float) -> Text:
    of = f" of about {took(board.estimate_s)}" if board.estimate_s else ""
    done = sum(line.status == DONE for line in board.nodes.values())
    words = f"   {clock_face(elapsed_s)}{of}   {done} of {len(board.nodes)} nodes done   run {board.run}"
    return Text.assemble((board.title, "bold"), words, no_wrap=True, overflow="ellipsis")


def _table(board: Board, elapsed_s: float, console: Console, glyphs: dict[str, str]) -> Table:
    table = Table(box=None, expand=False, pad_edge=False, padding=(0, 2, 0, 0))
    small: dict[str, Any] = {"no_wrap": True, "overflow": "ellipsis"}
    table.add_column("", width=1)
    table.add_column("Node", max_width=24, min_width=5, **small)
    for service in board.services:
        table.add_column(service, max_width=28, **small)
    table.add_column("Now", ratio=1, **small)
    shown, before, after = _in_view(list(board.nodes.values()), max(3, console.height - 9 - len(board.notes)))
    if before:
        table.add_row("", Text(f"… {before} more above", style="dim"))
    for line in shown:
        style = _STYLES[line.status]
        cells = [Text(line.cell(service).words()) for service in board.services]
        now = Text(_now(line, elapsed_s))
        table.add_row(Text(glyphs[line.status], style=style), Text(line.name, style=style), *cells, now)
    if after:
        table.add_row("", Text(f"… {after} more below", style="dim"))
    return table


def _in_view(lines: list[NodeLine], room: int) -> tuple[list[NodeLine], int, int]:
    """The lines that the screen has room for, around the node in hand; how many are above and below."""
    if len(lines) <= room:
        return lines, 0, 0
    hand = next((index for index, line in enumerate(lines) if line.status == IN_HAND), 0)
    first = min(max(0, hand - room // 2), len(lines) - room)
    return lines[first : first + room], first, len(lines) - first - room


def _now(line: NodeLine, elapsed_s: float) -> str:
    if line.result:
        return line.result
    words = line.step + (f", waiting for {line.waits_for}" if line.waits_for else "")
    if line.until_s is not None:
        words += f", {took(max(0.0, line.until_s - elapsed_s))} left"
    return words


def _probes(board: Board, elapsed_s: float) -> Text:
    if board.failing:
        said = ", ".join(f"{probe} for {took(elapsed_s - since_s)}" for probe, since_s in board.failing.items())
        return Text(f"probes: FAILING: {said}", style="bold red")
    if board.failures:
        return Text(f"probes: good again; {board.failures} failed so far", style="yellow")
    return Text("probes: none has failed", style="green")
