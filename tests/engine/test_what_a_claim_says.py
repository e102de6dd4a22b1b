"""Whoever meets a claim is told what its holder was doing: not every command restarts a node."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import by_hand
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.preflight import Selection, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import AdminState
from rollsafe.rehearsal.faults import Crash, CrashPoint
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Call, Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

SAYS = {
    "run": "restarting n1",
    "drain": "draining n1",
    "restart": "restarting n1",
    "ready": "putting n1 back into service",
}


@pytest.mark.parametrize("mode", SAYS)
def test_a_killed_command_is_named_for_what_it_was_doing(mode: str) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    if mode in ("restart", "ready"):
        sim.person_sets("n1", AdminState.MAINT)
    operator = sim.operator("first")
    operator.hooks.append(lambda call: die(operator, call))
    world = sim.world(operator)
    clock = RunClock(world.clock)
    session = Engine(cluster)._session(operator, world, clock, RunLog("r", clock, operator, ()))
    plan, now = survey(world, cluster, Selection(("n1",), steps), clock)
    with pytest.raises(Crash):
        by_hand.ready(session, plan, now) if mode == "ready" else sessions.run(session, plan, now, mode)
    assert {node.claim.doing for node in sim.nodes.values() if node.claim is not None} == {SAYS[mode]}


def die(operator: Operator, call: Call) -> None:
    """At its first effect on a balancer or a node."""
    if call.site.startswith(("balancer.write", "restarter.begin")):
        operator.crash = CrashPoint("effect", operator.effects + 1, after=True)
