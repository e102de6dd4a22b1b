"""One call that fails once, after the last node is back, is no reason to wake a person."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine.takeover import Copies
from rollsafe.model.claim import ClaimRecord, Token, Who
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


@pytest.mark.parametrize("silent", ["n1", "n2", "n3"])
def test_a_run_that_could_not_end_its_claim_has_said_that_it_is_over_and_is_not_watched(silent: str) -> None:
    call = when_the_claims_end(run()[1])
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first = sim.operator("first")

    def cut(made: Call) -> None:
        if made.index >= call.index:
            sim.nodes[silent].ssh = "refused"

    first.hooks.append(cut)
    ended = engine("run", first, sim.world(first), "r")
    assert (ended.exit_code, sim.nodes[silent].claim is not None) == (40, True)
    sim.nodes[silent].ssh = "ok"
    began_s, second = sim.timeline.now, sim.operator("second")
    assert engine("recover", second, sim.world(second), "r2").exit_code == 0
    assert sim.timeline.now - began_s < 15.0, "10 s for what may still land, and no 15 s for a beat"
    assert all(node.claim is None for node in sim.nodes.values())


def test_a_copy_that_takes_neither_mark_nor_removal_is_marked_at_the_last_try() -> None:
    call = when_the_claims_end(run()[1])
    sim, _, ended = run(Fault(Way.REFUSED, call.index, "claim.swap n1", times=3))
    assert ended.exit_code == 40
    left = {name: node.claim for name, node in sim.nodes.items() if node.claim is not None}
    assert list(left) == ["n1"]
    assert left["n1"].released, "nobody watches its beat"


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


HOLDERS = {
    "one copy says so": ([("h1", 1, True), ("h1", 1, False)], True),
    "none does": ([("h1", 1, False), ("h1", 1, False)], False),
    "who took it over has not ended": ([("h1", 1, True), ("h2", 2, False)], False),
    "who took it over has, and a copy of the one before is left": ([("h1", 1, False), ("h2", 2, True)], False),
}


@pytest.mark.parametrize("row", HOLDERS)
def test_each_holder_that_a_copy_names_must_have_ended(row: str) -> None:
    told, over = HOLDERS[row]
    who = Who("night", "host", 1, "2026-11-24T02:00:00Z")
    made = {
        f"n{i}": ClaimRecord("small", Token("r", epoch, holder, 1), 0, who, released=released)
        for i, (holder, epoch, released) in enumerate(told)
    }
    assert Copies(made).over("r") is over
