"""Ctrl-C, SIGTERM, SIGKILL, at points before and after a node is stopped."""

import json
import signal
import time

import pytest

from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, sound, untouched
from tests.testbed import Result, Running, Testbed

pytestmark = pytest.mark.real

BEFORE_THE_STOP = ("write.done", {"service": "web", "node": "jira1"})
AFTER_THE_STOP = ("restart.done", {"node": "jira1"})


def interrupted(bed: Testbed, point: tuple[str, dict], *signals: signal.Signals) -> tuple[Result, float]:
    """A run that gets `signals` (a second apart) at a point; returns what it left, and how long it took from there."""
    bed.observer.start()
    run: Running = bed.start("run", "--yes")
    run.wait_for(point[0], **point[1])
    began = time.monotonic()
    for number in signals:
        if began != time.monotonic():
            time.sleep(0.3)
        run.send(number)
    result = run.result()
    bed.settle()
    return result, time.monotonic() - began


def test_the_first_sigint_before_the_stop_puts_the_node_back(bed: Testbed) -> None:
    result, _ = interrupted(bed, BEFORE_THE_STOP, signal.SIGINT)
    sound(bed, result, 20)
    assert bed.node("jira1").restarts == 0
    assert [e for e in result.events if e["type"] == "signal"]
    untouched(bed, "jira2", "jira3")


def test_the_first_sigint_after_the_stop_finishes_the_node_and_begins_no_other(bed: Testbed) -> None:
    result, _ = interrupted(bed, AFTER_THE_STOP, signal.SIGINT)
    finished = sound(bed, result, 20)
    assert finished["nodes"]["jira1"]["outcome"] == "restarted"
    untouched(bed, "jira2", "jira3")


def test_sigterm_before_the_stop_puts_the_node_back_within_5_s(bed: Testbed) -> None:
    result, seconds = interrupted(bed, BEFORE_THE_STOP, signal.SIGTERM)
    sound(bed, result, 20)
    assert seconds < 6.5
    untouched(bed, "jira2", "jira3")


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([signal.SIGTERM], id="term"),
        pytest.param([signal.SIGINT, signal.SIGINT], id="int-int", marks=pytest.mark.soak),
    ],
)
def test_an_order_to_end_now_after_the_stop_leaves_the_claim_for_recover(
    bed: Testbed, signals: list[signal.Signals]
) -> None:
    bed.node("jira1").next_faults(start_s=6)
    result, seconds = interrupted(bed, AFTER_THE_STOP, *signals)
    sound(bed, result, 30, 40)
    assert seconds < 7
    assert claims(bed) != []
    bed.observer.start()
    recovered = bed.rollsafe("recover", "--yes", home=bed.folder / "another-machine")
    bed.observer.stop()
    assert recovered.exit == 0, recovered.text
    assert bed.all_up()
    assert claims(bed) == []


@pytest.mark.parametrize(
    "point",
    [
        pytest.param(
            ("write.intent", {"service": "web", "node": "jira1"}), id="web-drain-intended", marks=pytest.mark.soak
        ),
        pytest.param(("write.done", {"service": "scim", "node": "jira1"}), id="scim-drained", marks=pytest.mark.soak),
        pytest.param(("restart.intent", {"node": "jira1"}), id="restart-intended", marks=pytest.mark.soak),
        pytest.param(("restart.begun", {"node": "jira1"}), id="restart-begun"),
        pytest.param(("step.started", {"step": "ready", "node": "jira1"}), id="put-back", marks=pytest.mark.soak),
        pytest.param(("node.started", {"node": "jira2"}), id="between-two-nodes", marks=pytest.mark.soak),
    ],
)
def test_sigkill_and_recover_from_another_machine(make_bed: MakeBed, point: tuple[str, dict]) -> None:
    bed = make_bed()
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for(point[0], **point[1])
    run.send(signal.SIGKILL)
    killed = run.result()
    assert killed.exit == -signal.SIGKILL
    assert all(json.loads(line) for line in killed.stdout.splitlines()[:-1]), "each whole line is JSON"
    met = bed.rollsafe("run", "--yes", home=bed.folder / "third-machine")
    assert met.exit in (10, 30), met.text
    recovered = bed.rollsafe("recover", "--yes", home=bed.folder / "another-machine")
    bed.settle()
    sound(bed, recovered, 0)
    assert bed.all_up()
    assert bed.failed_requests() == []


@pytest.mark.soak
def test_resume_goes_on_where_the_run_was_killed(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("step.started", step="healthy", node="jira2")
    run.send(signal.SIGKILL)
    run.result()
    resumed = bed.rollsafe("resume", "--yes")
    bed.settle()
    sound(bed, resumed, 0)
    assert [node.restarts for node in bed.nodes] == [1, 1, 1]
    assert bed.failed_requests() == []
