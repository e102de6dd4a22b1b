"""A restart that could not be proved is refused before anything is touched; what is down may be restarted as ever."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

CLUSTER, STEPS = shorten(small_cluster(), EACH_NODE)


def run(sim: SimWorld, *nodes: str, after_s: float = 0.0) -> tuple[Operator, Ended]:
    operator = sim.operator()
    world = sim.world(operator)
    world.clock.sleep(after_s)
    return operator, Engine(CLUSTER, STEPS, nodes)("run", operator, world, "r")


@pytest.mark.parametrize(
    ("proof", "words"),
    [("none", "n2: identity: it is healthy by our own check, and yet has no identity"), ("differs", '"n2-1"')],
)
def test_it_is_refused_with_the_node_and_the_remedy_and_nothing_is_touched(proof: str, words: str) -> None:
    sim = SimWorld(CLUSTER)
    sim.nodes["n2"].proof = proof
    operator, ended = run(sim)
    assert ended.exit_code == 10
    assert words in ended.message
    assert "To change it: correct restart.unit or restart.identity in the inventory" in ended.message
    (no,) = [r for r in operator.records if r.type == "gate.checked" and not r.data["allowed"]]
    assert (no.node, no.data["gate"]) == ("n2", "identity")
    assert sim.outside.acts == []
    assert all(node.claim is None and not node.restarts for node in sim.nodes.values())


def test_a_node_that_is_not_to_be_restarted_needs_no_identity() -> None:
    sim = SimWorld(CLUSTER)
    sim.nodes["n2"].proof = "none"
    sim.nodes["n3"].proof = "differs"
    _, ended = run(sim, "n1")
    assert ended.exit_code == 0, ended.message


def test_a_node_that_is_down_and_has_none_is_restarted() -> None:
    sim = SimWorld(CLUSTER)
    sim.nodes["n1"].proof = "running"
    sim.nodes["n1"].stop("somebody")
    _, ended = run(sim, "n1", after_s=10.0)  # the balancers have seen it by then
    assert len(sim.nodes["n1"].restarts) == 1, ended.message
    assert ended.exit_code == 0, ended.message
