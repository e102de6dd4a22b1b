"""A recover that meets a run which lives, or another recover at work, lets it alone, whatever it could read of it."""

from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_asked_to_stop import killed

# Has the dead run said that it has ended, and when does the second recover begin? The first outwaits the last writes of
# the dead run while the second looks: nothing but the raised claim tells of it.
MOMENTS = {
    "it was killed, so that its beat is watched first": (False, 8.0),
    "it said that it has ended, so that it is taken over at once": (True, 4.0),
}


@pytest.mark.parametrize("row", MOMENTS)
def test_a_recover_that_has_only_raised_the_claim_is_not_taken_over_by_another(row: str) -> None:
    released, after_s = MOMENTS[row]
    sim, engine, _ = killed()
    for node in sim.nodes.values():
        assert node.claim is not None
        node.claim = replace(node.claim, released=released)
    told: dict[str, Ended] = {}

    def recovers(name: str, after_s: float) -> None:
        sim.timeline.pass_time(after_s)
        operator = sim.operator(name)
        told[name] = engine("recover", operator, sim.world(operator), name)

    sim.timeline.together([lambda: recovers("first", 0.0), lambda: recovers("second", after_s)])
    sim.close()
    assert told["first"].exit_code == 0, told["first"].message
    assert (told["second"].exit_code, "claimed by first" in told["second"].message) == (10, True), told["second"]
    assert "its beat goes on: it lives" in told["second"].message
    assert sim.as_found()


@pytest.mark.parametrize("look", [2, 3])
def test_a_run_whose_claim_can_be_read_nowhere_for_a_moment_has_not_ended(look: int) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    told: dict[str, Ended] = {}

    def runs() -> None:
        operator = sim.operator("first")
        told["run"] = engine("run", operator, sim.world(operator), "r")

    def recovers() -> None:
        sim.timeline.pass_time(1.0)
        nodes = len(sim.nodes)
        each_twice = Fault(Way.REFUSED, at=(look - 1) * nodes + 1, site="claim.read", times=2 * nodes)
        operator = sim.operator("second", faults=[each_twice])
        told["recover"] = engine("recover", operator, sim.world(operator), "r2")
        assert each_twice.times == 0

    sim.timeline.together([runs, recovers])
    sim.close()
    assert (told["recover"].exit_code, "it lives" in told["recover"].message) == (10, True), told["recover"]
    assert told["run"].exit_code == 0, "it was disturbed by nobody"


def test_a_node_that_could_not_be_read_at_first_is_no_sign_of_life() -> None:
    sim, engine, _ = killed()
    operator = sim.operator("second", faults=[Fault(Way.REFUSED, at=len(sim.nodes) + 1, site="claim.read n3", times=2)])
    ended = engine("recover", operator, sim.world(operator), "r2")
    assert ended.exit_code == 0, ended.message
    assert sim.as_found()
