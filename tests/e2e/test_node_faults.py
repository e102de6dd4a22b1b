"""A node that does not come back as it should: it stays out, no second one is touched, and the last line says so."""

from pathlib import Path

import pytest

from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, sound, untouched
from tests.testbed import Testbed

pytestmark = pytest.mark.real
IMPATIENT = {"policy": {"start_timeout": "6s"}}


def left_out_alone(bed: Testbed, finished: dict, node: str) -> None:
    assert {entry["node"] for entry in finished["left_out"]} == {node}
    assert {entry["service"] for entry in finished["left_out"]} == {"scim", "web"}
    assert len(finished["left_out"]) == len(bed.balancers), "each member on each endpoint is named"
    assert bed.failed_requests() == [], "nobody notices a node that is kept out"
    assert bed.cut_requests() == []


@pytest.mark.parametrize(
    ("faults", "word"),
    [
        pytest.param({"never_up": True}, "STARTING", id="never-comes-up", marks=pytest.mark.soak),
        pytest.param({"dead": True}, "refused", id="dies-at-its-start", marks=pytest.mark.soak),
        pytest.param({"scim": "refused"}, "scim", id="web-running-scim-dead"),
        pytest.param({"scim": "tomcat"}, "scim", id="web-running-scim-is-a-bare-tomcat", marks=pytest.mark.soak),
        pytest.param({"flap_s": 0.6, "start_s": 0.5}, "healthy", id="health-that-flaps"),
    ],
)
def test_a_node_that_is_not_healthy_after_its_restart_stays_out(make_bed: MakeBed, faults: dict, word: str) -> None:
    bed = make_bed(overrides=IMPATIENT)
    bed.node("jira1").next_faults(**faults)
    result = bed.watched("run", "--yes")
    finished = sound(bed, result, 30)
    left_out_alone(bed, finished, "jira1")
    assert word.lower() in result.stdout.lower()
    untouched(bed, "jira2", "jira3")


@pytest.mark.soak
def test_recover_puts_the_node_back_once_a_person_has_mended_it(make_bed: MakeBed) -> None:
    bed = make_bed(overrides=IMPATIENT)
    node = bed.node("jira1")
    node.next_faults(never_up=True)
    bed.observer.start()
    assert bed.rollsafe("run", "--yes").exit == 30
    node.faults()
    recovered = bed.rollsafe("recover", "--yes", home=bed.folder / "another-machine")
    bed.settle()
    sound(bed, recovered, 0)
    again = bed.rollsafe("recover", "--yes")
    assert again.exit == 0, again.text
    assert not [e for e in again.events if e["type"].startswith("write.")], "a second recover writes nothing"


def test_a_failing_restart_command_stops_the_run_with_all_as_found(bed: Testbed) -> None:
    bed.node("jira1").mark("restart-fails")
    identity = bed.node("jira1").identity
    finished = sound(bed, bed.watched("run", "--yes"), 20)
    assert bed.node("jira1").identity == identity
    assert "jira1" in finished["message"]
    assert "cannot create PID file" in finished["message"] or "7" in finished["message"]
    untouched(bed, "jira2", "jira3")
    assert bed.failed_requests() == []


@pytest.mark.soak
def test_exit_0_of_the_restart_command_is_no_proof(bed: Testbed) -> None:
    bed.node("jira1").mark("restart-lies")
    sound(bed, bed.watched("run", "--yes"), 20, 30)
    untouched(bed, "jira2", "jira3")
    assert bed.failed_requests() == []


@pytest.mark.soak
def test_a_restart_command_that_hangs_is_ended_and_the_node_goes_back(make_bed: MakeBed) -> None:
    bed = make_bed(overrides={"restart": {"timeout": "3s"}, "policy": {"start_timeout": "5s"}})
    bed.node("jira1").mark("restart-hangs")
    finished = sound(bed, bed.watched("run", "--yes"), 20)
    assert "jira1 did not end in time" in finished["message"]
    assert claims(bed) == []
    assert not Path(f"/proc/{(bed.node('jira1').folder / 'hanging').read_text().strip()}").exists()
    untouched(bed, "jira2", "jira3")
    assert bed.failed_requests() == []


def test_a_restart_command_that_restarts_and_never_ends_is_no_failure(make_bed: MakeBed) -> None:
    bed = make_bed(overrides={"restart": {"timeout": "4s"}})
    bed.node("jira1").mark("restart-never-ends")
    sound(bed, bed.watched("run", "--yes", "--nodes", "jira1,jira2"), 0)
    assert [bed.node(f"jira{i}").restarts for i in (1, 2, 3)] == [1, 1, 0]
    assert claims(bed) == []
    assert bed.failed_requests() == []


def test_a_drain_that_never_ends_puts_the_node_back_and_stops(make_bed: MakeBed) -> None:
    bed = make_bed(load=False)
    writes = bed.slow_scim(20)
    finished = sound(bed, bed.watched("run", "--yes"), 20)
    assert "jira1" in finished["message"]
    assert all(node.restarts == 0 for node in bed.nodes)
    untouched(bed, "jira2", "jira3")
    for thread in writes:
        thread.join(30)
    assert bed.slow_answers == [201, 201, 201], "every write in flight was answered"


def test_another_node_dies_while_one_is_out(make_bed: MakeBed) -> None:
    bed = make_bed(load=False)
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("step.started", step="healthy", node="jira1")
    bed.node("jira3").kill()
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    untouched(bed, "jira2")
    assert bed.node("jira1").restarts == 1
    assert {entry["node"] for entry in finished["others"]} == {"jira3"}
    assert "jira3" in finished["message"]


def test_another_node_dies_while_one_is_drained_and_not_yet_stopped(make_bed: MakeBed) -> None:
    bed = make_bed(load=False)
    bed.slow_scim(3)
    bed.observer.start()
    run = bed.start("run", "--yes")
    run.wait_for("write.done", service="scim", node="jira1")
    bed.node("jira3").kill()
    result = run.result()
    bed.settle()
    finished = sound(bed, result, 20)
    assert all(node.restarts == 0 for node in bed.nodes)
    assert {entry["node"] for entry in finished["others"]} == {"jira3"}


def test_a_dead_node_at_the_start_is_a_refusal(make_bed: MakeBed) -> None:
    bed = make_bed(load=False)
    bed.node("jira3").kill()
    finished = sound(bed, bed.watched("run", "--yes"), 10)
    assert "jira3" in finished["message"]
    untouched(bed, "jira1", "jira2")
