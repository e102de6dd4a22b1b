"""A plan that no longer fits names what has changed: here the states, as they were found and as they are."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.cli.common import DEFAULT_PLAYBOOK
from rollsafe.cli.drifting import anew, refuse_drift
from rollsafe.cli.in_rehearsal import EACH_NODE
from rollsafe.engine.preflight import Selection, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import Refused
from rollsafe.model.reading import AdminState, PoolReading
from rollsafe.planner.expand import forecast, make_plan
from rollsafe.planner.readings import Readings
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from rollsafe.reporting.plan_view import PlanShown, plan_lines


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
    refuse_drift(plan, plan, ready, ready, "again")
    with pytest.raises(Refused, match=r"was found ready, and is (out already|drain) now") as caught:
        refuse_drift(plan, plan, ready, out, "again")
    assert str(member) in str(caught.value)
    with pytest.raises(Refused, match="is ready now"):
        refuse_drift(plan, plan, out, ready, "again")


def test_a_plan_is_made_anew_as_it_was_made() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    live = [node.name for node in cluster.live_nodes]
    plain = make_plan(cluster, (), live, steps, playbook=DEFAULT_PLAYBOOK)
    assert anew(Path("plan.json"), "", plain, live) == "rollsafe plan --out plan.json"
    until = "2026-12-01T05:00:00+00:00"
    more = make_plan(cluster, (), live[1:], steps, until=until, accept_outage=True, playbook="my books/x.yml")
    assert anew(Path("my plan.json"), " -i 'ba se.yml'", more, live) == (
        f"rollsafe plan -i 'ba se.yml' --nodes {','.join(live[1:])} -p 'my books/x.yml' --until {until} "
        "--accept-outage --out 'my plan.json'"
    )
    assert anew(Path("x"), "", None, live) == "rollsafe plan --out x"


def test_the_command_for_a_plan_can_be_pasted_whatever_the_files_are_called() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    world = sim.world(sim.operator())
    names = tuple(node.name for node in cluster.live_nodes)
    told = forecast(*survey(world, cluster, Selection(names, steps), RunClock(world.clock)))
    sim.close()
    shown = PlanShown(told, {}, "done", 0, "", "", file="my plan.json", named=" -i 'ba se.yml' -i 'pro'\"'\"'d.yml'")
    last = list(plan_lines(shown, lambda text, _: text))[-1]
    words = shlex.split(last.partition("to run exactly this: ")[2])
    assert words == ["rollsafe", "run", "-i", "ba se.yml", "-i", "pro'd.yml", "--plan", "my plan.json"]
