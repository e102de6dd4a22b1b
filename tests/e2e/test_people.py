"""People who were there before: what they drained stays drained; who else runs is told so."""

import signal

import pytest

from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, nothing_touched, sound, untouched
from tests.testbed import Testbed
from tests.testbed.process import wait_until

pytestmark = pytest.mark.real


def drain_by_hand(bed: Testbed, node: str) -> None:
    for balancer in bed.balancers:
        balancer.set_state(node, "drain")


def test_a_member_drained_by_a_person_closes_the_gate(bed: Testbed) -> None:
    drain_by_hand(bed, "jira3")
    finished = sound(bed, bed.watched("run", "--yes"), 10)
    nothing_touched(bed)
    assert "jira3" in finished["message"]
    assert {seat.admin for b in bed.balancers for n, seat in b.seats().items() if n == "jira3"} == {"drain"}


def test_members_with_weight_0_serve_nobody_so_that_the_run_is_refused(bed: Testbed) -> None:
    for node in ("jira2", "jira3"):
        for balancer in bed.scim:
            balancer.ask(f"set server scim/{node} weight 0")
    finished = sound(bed, bed.watched("run", "--yes"), 10)
    nothing_touched(bed)
    assert "jira2, jira3 have weight 0" in finished["message"]
    status = bed.rollsafe("status")
    assert status.exit == 30, status.text
    assert "weight 0" in status.text
    assert bed.rollsafe("plan").exit == 10


@pytest.mark.soak
def test_a_node_that_a_person_drained_can_be_restarted_and_stays_drained(bed: Testbed) -> None:
    drain_by_hand(bed, "jira3")
    sound(bed, bed.watched("run", "--yes", "--nodes", "jira3"), 0)
    assert bed.node("jira3").restarts == 1
    untouched_members = {seat.admin for b in bed.balancers for n, seat in b.seats().items() if n == "jira3"}
    assert untouched_members == {"drain"}
    untouched(bed, "jira1", "jira2")
    assert bed.failed_requests() == []


@pytest.mark.soak
def test_with_min_ready_the_drained_member_is_named_and_left_alone(make_bed: MakeBed) -> None:
    bed = make_bed(overrides={"services": {"scim": {"min_ready": 1}, "web": {"min_ready": 1}}})
    drain_by_hand(bed, "jira3")
    finished = sound(bed, bed.watched("run", "--yes", "--nodes", "jira1,jira2"), 0)
    assert {entry["node"] for entry in finished["others"]} == {"jira3"}
    assert [bed.node(f"jira{i}").restarts for i in (1, 2, 3)] == [1, 1, 0]
    assert {seat.admin for b in bed.balancers for n, seat in b.seats().items() if n == "jira3"} == {"drain"}
    assert bed.failed_requests() == []


def test_what_is_typed_beside_a_dead_run_names_the_node_that_it_left_out(bed: Testbed) -> None:
    run = bed.start("run", "--yes", "--nodes", "jira1")
    run.wait_for("restart.begun")
    run.send(signal.SIGKILL)
    run.result()
    wait_until(lambda: bed.node("jira1").restarts == 1 and bed.node("jira1").identity is not None, 10, "its restart")
    other = bed.rollsafe("restart", "jira2")
    assert (other.exit, {e["node"] for e in other.finished["left_out"]}) == (30, {"jira1"}), other.text
    assert "rollsafe recover" in other.finished["message"], "and not what to do first for another node"
    status = bed.rollsafe("status").finished
    assert ({e["node"] for e in status["left_out"]}, status["others"]) == ({"jira1"}, [])
    for server in bed.sshds.values():
        server.refuse()
    deaf = bed.rollsafe("resume", "--yes")
    assert deaf.exit == 40, deaf.text
    assert "rollsafe resume" in deaf.finished["message"], "there may be a claim: no new window is named"
    for server in bed.sshds.values():
        server.start()
    assert bed.rollsafe("resume", "--yes").exit == 0


def test_status_names_in_json_too_what_is_out_by_other_hands(bed: Testbed) -> None:
    bed.scim[0].set_state("jira2", "drain")
    told = bed.rollsafe("status").finished
    assert (told["exit_code"], told["left_out"]) == (30, [])
    assert [(e["node"], e["service"], e["state"]) for e in told["others"]] == [("jira2", "scim", "drain")]


def test_the_second_of_two_operators_is_told_who_runs(bed: Testbed) -> None:
    bed.observer.start()
    first = bed.start("run", "--yes", "--nodes", "jira1,jira2")
    first.wait_for("node.started")
    second = bed.rollsafe("run", "--yes", "--nodes", "jira3", home=bed.folder / "another-machine")
    assert second.exit == 10, second.text
    assert "night-operator" in second.finished["message"]
    result = first.result()
    bed.settle()
    sound(bed, result, 0)
    assert bed.node("jira3").restarts == 0


def test_by_hand_drain_restart_ready(bed: Testbed) -> None:
    bed.observer.start()
    drained = bed.rollsafe("drain", "jira2")
    assert drained.exit == 0, drained.text
    assert claims(bed) == []
    assert {seat.admin for b in bed.balancers for n, seat in b.seats().items() if n == "jira2"} <= {"drain", "maint"}
    restarted = bed.rollsafe("restart", "jira2")
    assert restarted.exit == 0, restarted.text
    assert bed.node("jira2").restarts == 1
    ready = bed.rollsafe("ready", "jira2")
    assert ready.exit == 0, ready.text
    bed.settle()
    assert bed.all_up()
    assert bed.observer.stopped_in_service() == []
    assert bed.failed_requests() == []


def test_ready_of_a_node_in_service_says_so_and_writes_nothing(bed: Testbed) -> None:
    ready = bed.watched("ready", "jira2")
    assert ready.exit == 0, ready.text
    assert "was in service already" in ready.text
    nothing_touched(bed)


def test_restart_by_hand_of_a_node_in_service_is_refused(bed: Testbed) -> None:
    refused = bed.watched("restart", "jira2")
    assert refused.exit == 10, refused.text
    nothing_touched(bed)


def test_without_a_terminal_and_without_yes_nothing_begins(bed: Testbed) -> None:
    finished = sound(bed, bed.watched("run"), 2, 10)
    assert "--yes" in finished["message"]
    nothing_touched(bed)
