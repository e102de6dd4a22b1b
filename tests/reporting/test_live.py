"""The live view: what it shows at several widths, and that no terminal can hurt or hold up a run."""

import io
import os
import pty
import threading
import time

import pytest
from rich.console import Console

from rollsafe.clock import SystemClock
from rollsafe.reporting.board import Board
from rollsafe.reporting.lines import PlainLines
from rollsafe.reporting.live import LiveView, draw
from tests.reporting import stories
from tests.reporting.test_lines import golden


def picture(records, width=100, height=24, elapsed_s=None, encoding="utf-8"):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=stream, width=width, height=height, color_system=None)
    board = Board()
    for record in records:
        board.hear(record)
    console.print(draw(board, records[-1].at_s if elapsed_s is None else elapsed_s, console))
    stream.seek(0)
    return stream.read()


def until(records, kind, nth=1):
    seen = 0
    for index, record in enumerate(records):
        seen += record.type == kind
        if seen == nth:
            return records[: index + 1]
    raise AssertionError(kind)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_whole_story_fits_every_width(width):
    records = stories.node_out()
    moments = [until(records, "step.waiting", 2), until(records, "probe.failed", 2), records]
    text = "\n".join(picture(moment, width) for moment in moments)
    golden(f"live_{width}.txt", text)
    assert max(len(line) for line in text.splitlines()) <= width


def test_sessions_fall_and_the_time_left_counts_down():
    records = until(stories.good_run(), "step.waiting")
    assert "drain, 12 active" in picture(records)
    assert "waiting for 0 active, 1m 30s left" in picture(records)
    assert "waiting for 0 active, 1m 20s left" in picture(records, elapsed_s=records[-1].at_s + 10)


def test_what_was_found_is_shown_as_soon_as_a_node_is_in_hand():
    story = stories.Story(["jira1"])
    found = [{"service": "scim", "admin": "ready"}, {"service": "web", "admin": "maint"}]
    story.say("node.started", "jira1", found=found)
    board = Board()
    for record in story.records:
        board.hear(record)
    assert {name: cell.words() for name, cell in board.nodes["jira1"].cells.items()} == {
        "scim": "ready",
        "web": "maint",
    }


def claimed():
    """A run that waits for another one's claim."""
    story = stories.Story(["jira1"])
    story.wait(10.0)
    words = {"step": "claim", "for": "the end of run r0 of ada from vm", "reading": {"state": "restarting jira1"}}
    return story.say("step.waiting", message="waiting", left_s=60.0, **words)


def test_a_wait_for_another_runs_claim_shows_whose_it_is_what_it_does_and_the_time_left():
    records = [*until(stories.good_run(), "run.started"), claimed()]
    said = "the cluster is claimed: restarting jira1, waiting for the end of run r0 of ada from vm"
    assert f"{said}, 55 s left" in picture(records, elapsed_s=15.0)
    ended = [*records, next(one for one in stories.good_run() if one.type == "gate.checked")]
    assert "claimed" not in picture(ended)
    stream = io.StringIO()
    PlainLines(stream).hear(claimed())
    assert f"{said}, 1m 00s left" in stream.getvalue()


def test_many_nodes_are_shown_around_the_one_in_hand():
    records = until(stories.good_run(100), "node.started", 50)
    text = picture(records, height=24)
    assert "jira50" in text
    assert "more above" in text
    assert len(text.splitlines()) < 24


def test_a_terminal_without_unicode_gets_plain_glyphs():
    text = picture(stories.node_out(), encoding="ascii")
    assert "X  jira2" in text
    assert "?" not in text.replace("Now ?", "")


def test_what_is_left_on_the_screen_ends_with_the_last_sentence():
    stream = io.StringIO()
    view = LiveView(Console(file=stream, width=100, force_terminal=True, color_system=None), SystemClock())
    records = stories.node_out()
    for record in records:
        view.hear(record)
    view.close()
    assert stream.getvalue().rstrip().splitlines()[-1] == records[-1].message
    assert "LEFT OUT" in stream.getvalue()


class Deaf(io.StringIO):
    """A terminal that was stopped: it takes nothing, and does not answer."""

    def __init__(self, release: threading.Event) -> None:
        super().__init__()
        self.release = release

    def write(self, text: str) -> int:
        self.release.wait(20)
        return len(text)


def test_a_stopped_terminal_does_not_hold_the_run_up(monkeypatch):
    monkeypatch.setattr("rollsafe.reporting.live.LAST_S", 0.2)
    release = threading.Event()
    view = LiveView(Console(file=Deaf(release), force_terminal=True), SystemClock())
    began = time.monotonic()
    for record in stories.good_run(10):
        view.hear(record)
    view.close()
    took = time.monotonic() - began
    release.set()
    view._thread.join(5)
    assert took < 2


def test_a_terminal_that_dies_raises_nothing():
    near, far = pty.openpty()
    with os.fdopen(far, "w") as terminal:
        view = LiveView(Console(file=terminal, force_terminal=True), SystemClock())
        records = stories.good_run()
        view.hear(records[0])
        time.sleep(0.05)
        os.close(near)
        for record in records[1:]:
            view.hear(record)
        view.close()
        assert not view._thread.is_alive()
        os.dup2(os.open(os.devnull, os.O_WRONLY), far)  # so that closing it finds somebody to flush to


def test_drawing_costs_little():
    records = until(stories.good_run(20), "step.waiting", 40)
    board = Board()
    for record in records:
        board.hear(record)
    console = Console(file=io.StringIO(), width=120, height=40, force_terminal=True)
    console.print(draw(board, 1.0, console))
    began = time.process_time()
    for second in range(20):
        console.print(draw(board, float(second), console))
    assert (time.process_time() - began) / 20 < 0.05
