"""People who were there before: what they drained stays drained; who else runs is told so."""

import pytest

from tests.e2e.conftest import MakeBed
from tests.e2e.judge import claims, nothing_touched, sound, untouched
from tests.testbed import Testbed

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
