"""A node that a person had drained, and that our restart killed: it is out by us, whoever drained it."""

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.reading import AdminState
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


def test_a_node_found_in_maint_that_never_comes_up_is_out_by_this_run() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps, ("n1",))
    sim.person_sets("n1", AdminState.MAINT)
    sim.nodes["n1"].restart_mode = "stops"
    operator = sim.operator("first")
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 30
    assert {entry["node"] for entry in ended.left_out} == {"n1"}
    assert "maint as it was found, but" in ended.message
    sim.nodes["n1"].jvm_since = sim.timeline.now
    second = sim.operator("second")
    recovered = engine("recover", second, sim.world(second), "r2")
    assert recovered.exit_code == 0
    seats = [s for e in sim.endpoints.values() for s in e.seats() if s.node.name == "n1"]
    assert {seat.admin for seat in seats} == {AdminState.MAINT}, "as a person left it"
    assert all(node.claim is None for node in sim.nodes.values())
