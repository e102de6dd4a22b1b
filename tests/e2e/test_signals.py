"""Ctrl-C, Ctrl-Z, a hang-up, SIGTERM, SIGKILL, at points before and after a node is stopped."""

import json
import signal
import time

import pytest

from tests.crash.machine import stopped
from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, sound, untouched
from tests.testbed import Result, Running, Testbed
from tests.testbed.process import wait_until

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


def test_a_run_that_ctrl_z_stopped_for_a_moment_goes_on_and_hears_signals_as_before(bed: Testbed) -> None:
    bed.observer.start()
    run = bed.start("run", "--yes", job=True)
    run.wait_for(BEFORE_THE_STOP[0], **BEFORE_THE_STOP[1])
    run.send(signal.SIGTSTP)
    wait_until(lambda: stopped(run), 5, "the stop")
    time.sleep(1)
    assert stopped(run)
    run.send(signal.SIGCONT)
    run.wait_for("write.done", service="scim", node="jira1")
    run.send(signal.SIGINT)
    result = run.result()
    bed.settle()
    sound(bed, result, 20)
    assert bed.node("jira1").restarts == 0
    untouched(bed, "jira2", "jira3")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_the_first_sigint_or_hangup_after_the_stop_finishes_the_node_and_begins_no_other(
    bed: Testbed, number: signal.Signals
) -> None:
    result, _ = interrupted(bed, AFTER_THE_STOP, number)
    finished = sound(bed, result, 20)
    assert [event["name"] for event in result.events if event["type"] == "signal"] == [number.name]
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
    ("command", "number", "after_s"),
    [
        pytest.param("recover", signal.SIGTERM, 7, id="recover-watches-the-beat"),
        pytest.param("recover", signal.SIGTERM, 21, id="recover-waits-for-the-last-writes", marks=pytest.mark.soak),
        pytest.param("recover", signal.SIGINT, 21, id="recover-int", marks=pytest.mark.soak),
        pytest.param("run", signal.SIGTERM, 6, id="run-met-the-dead-one", marks=pytest.mark.soak),
    ],
)
def test_a_signal_at_a_dead_runs_claim_names_what_that_run_left_out(
    bed: Testbed, command: str, number: signal.Signals, after_s: int
) -> None:
    bed.node("jira1").next_faults(start_s=60)
    bed.observer.start()
    killed = bed.start("run", "--yes")
    killed.wait_for(AFTER_THE_STOP[0], **AFTER_THE_STOP[1])
    killed.send(signal.SIGKILL)
    killed.result()
    met = bed.start(command, "--yes", home=bed.folder / "another-machine")
    time.sleep(after_s)
    began = time.monotonic()
    met.send(number)
    result = met.result()
    assert time.monotonic() - began < 6.5
    bed.settle()
    finished = sound(bed, result, 30)
    assert len(finished["left_out"]) == 3
    assert finished["others"] == []


@pytest.mark.parametrize(
    ("point", "hangs", "code", "words"),
    [
        pytest.param(
            ("claim.made", {}), ["jira2"], 40, "this run's claim on jira2 could not be ended", id="claims-made"
        ),
        pytest.param(
            AFTER_THE_STOP,
            ["jira1", "jira2", "jira3"],
            30,
            "jira1 was stopped, and was not seen back",
            id="stopped",
            marks=pytest.mark.soak,
        ),
    ],
)
def test_sigterm_while_ssh_hangs_names_what_is_left(
    bed: Testbed, point: tuple[str, dict], hangs: list[str], code: int, words: str
) -> None:
    bed.node("jira1").next_faults(start_s=15)
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for(point[0], **point[1])
    for name in hangs:
        bed.sshds[name].hang()
    run.send(signal.SIGTERM)
    result = run.result()
    for name in hangs:
        bed.sshds[name].wake()
    bed.settle()
    finished = sound(bed, result, code)
    assert words in finished["message"]
    assert "To put it back: rollsafe recover" in finished["message"] or "mend: rollsafe recover" in finished["message"]
    assert claims(bed) != []


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
