"""A plan that no longer fits names what has changed: here the states, as they were found and as they are."""

from dataclasses import replace

import pytest

from rollsafe.cli.drifting import refuse_drift
from rollsafe.cli.in_rehearsal import EACH_NODE
from rollsafe.engine.preflight import Selection, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import Refused
from rollsafe.model.reading import AdminState, PoolReading
from rollsafe.planner.expand import forecast
from rollsafe.planner.readings import Readings
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


def drained(now: Readings, service: str, seat: str) -> Readings:
    """The readings, had somebody drained one seat."""
    pools = {}
    for key, pool in now.pools.items():
        assert isinstance(pool, PoolReading)
        seats = [
            replace(one, admin=AdminState.DRAIN) if one.seat == seat and key[2] == service else one
            for one in pool.seats
        ]
        pools[key] = replace(pool, seats=tuple(seats))
    return replace(now, pools=pools)


def test_a_member_that_was_drained_or_put_back_since_is_named() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    world = sim.world(sim.operator())
    names = tuple(node.name for node in cluster.live_nodes)
    plan, now = survey(world, cluster, Selection(names, steps), RunClock(world.clock))
    sim.close()
    member = next(m for m in plan.members if m.node == "n2" and m.service == "scim")
    ready, out = forecast(plan, now).writes, forecast(plan, drained(now, member.pool, member.seat)).writes
    assert ready != out
    refuse_drift(plan, plan, ready, ready)
    with pytest.raises(Refused, match=r"was found ready, and is (out already|drain) now") as caught:
        refuse_drift(plan, plan, ready, out)
    assert str(member) in str(caught.value)
    with pytest.raises(Refused, match="is ready now"):
        refuse_drift(plan, plan, out, ready)
