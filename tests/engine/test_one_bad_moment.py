"""One call that fails once, after the last node is back, is no reason to wake a person."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Call, Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


def run(*faults: Fault) -> tuple[SimWorld, Operator, Ended]:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    operator = sim.operator(faults=list(faults))
    operator.trace = True
    return sim, operator, Engine(cluster, steps)("run", operator, sim.world(operator), "r")


def last_call(operator: Operator, site: str) -> Call:
    return [call for call in operator.log if call.site.startswith(site)][-1]


def when_the_claims_end(operator: Operator) -> Call:
    """The first of the last six swaps: three mark the claims done, three remove them."""
    return [call for call in operator.log if call.site.startswith("claim.swap")][-6]


@pytest.mark.parametrize("way", [Way.REFUSED, Way.RESET, Way.CONFLICT, Way.SERVER_ERROR])
def test_a_claim_that_can_not_be_ended_at_the_first_attempt_is_ended_at_the_second(way: Way) -> None:
    call = when_the_claims_end(run()[1])
    sim, _, ended = run(Fault(way, call.index, call.site))
    assert ended.exit_code == 0
    assert all(node.claim is None for node in sim.nodes.values())


def test_a_claim_that_can_not_be_ended_at_all_is_told() -> None:
    call = when_the_claims_end(run()[1])
    sim, _, ended = run(Fault(Way.REFUSED, call.index, call.site, times=100))
    assert ended.exit_code == 40
    assert "the claim could not be ended" in ended.message
    assert any(node.claim is not None for node in sim.nodes.values())


def test_a_full_disk_that_takes_no_mark_leaves_no_claim_behind() -> None:
    marks = [call for call in run()[1].log if call.site.startswith("claim.swap")][-6:-3]
    sim, _, ended = run(*(Fault(Way.REFUSED, call.index, call.site, times=2) for call in marks))
    assert ended.exit_code == 0
    assert all(node.claim is None for node in sim.nodes.values())


@pytest.mark.parametrize("way", [Way.SLOW, Way.TIMEOUT_BEFORE, Way.RESET])
def test_a_last_look_that_fails_once_is_taken_again(way: Way) -> None:
    call = last_call(run()[1], "balancer.read scim-lb")
    _, _, ended = run(Fault(way, call.index, call.site))
    assert (ended.exit_code, ended.message) == (
        0,
        "3 of 3 nodes were restarted, are healthy, and are as they were found.",
    )
