"""SIGTERM while the journal's disk hangs: the process ends within 5 s, says what it knows, and does nothing more."""

import signal
import time
from pathlib import Path

import pytest

from tests.crash.machine import Machine
from tests.testbed.process import wait_until

pytestmark = pytest.mark.real
POINT = "before record write.intent"


@pytest.mark.parametrize(
    "hangs_ms",
    [pytest.param(60_000, id="for-ever"), pytest.param(4_650, id="until-the-ending-is-told", marks=pytest.mark.soak)],
)
def test_sigterm_while_the_journal_hangs(tmp_path: Path, hangs_ms: int) -> None:
    with Machine(tmp_path) as machine:
        machine.begin()
        run = machine.crashing(f"hang {hangs_ms} {POINT}", "run", "--yes", "--nodes", "jira1")
        wait_until(lambda: machine.log.exists() and machine.last_point == POINT, 40, POINT)
        began = time.monotonic()
        run.send(signal.SIGTERM)
        result = run.result()
        assert time.monotonic() - began < 6
        finished = result.events[-1]
        assert (result.exit, finished["type"], finished["exit_code"]) == (40, "run.finished", 40), result.text
        written = [event for event in result.events if event["type"].startswith("write.")]
        doubt = "whether web of jira1" if written else "this run's claim on jira1, jira2 could not be ended"
        assert doubt in finished["message"]
        assert "rollsafe recover" in finished["message"]
        machine.sound(result.text)
        assert written or machine.bed.all_up(), "no write is sent that nobody tells of"
