"""A recover that can't raise the claim on a node goes on with the others, names it, and ends."""

from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


def killed_in_the_restart() -> tuple[SimWorld, Engine]:
    """A run that died right after it sent the restart of n1."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first = sim.operator("runner")
    first.hooks.append(lambda call: _die_at_restart(first, call.site))
    with pytest.raises(Crash):
        engine("run", first, sim.world(first), "r")
    sim.timeline.pass_time(30.0)
    return sim, engine


def _die_at_restart(operator: Operator, site: str) -> None:
    if site.startswith("restarter.begin"):
        operator.crash = CrashPoint("effect", operator.effects + 1, after=True)


def recovered(sim: SimWorld, engine: Engine, *faults: Fault) -> tuple[Operator, Ended]:
    operator = sim.operator(faults=list(faults))
    return operator, engine("recover", operator, sim.world(operator), "r")


def test_nothing_is_written_to_a_node_whose_claim_can_not_be_raised_and_recover_says_so_soon() -> None:
    sim, engine = killed_in_the_restart()
    before = len(sim.outside.acts)
    operator, ended = recovered(sim, engine, Fault(Way.REFUSED, site="claim.swap n1", times=99))
    assert ended.exit_code == 30
    assert {entry["node"] for entry in ended.left_out} == {"n1"}
    assert "The claim on n1 could not be taken over" in ended.message
    assert len(sim.outside.acts) == before
    assert operator.calls < 1000, "it asked again and again"
    _, again = recovered(sim, engine)
    assert again.exit_code == 0
    assert sim.as_found()


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_the_last_line_tells_the_reason_first_and_then_once_what_to_type(node: str) -> None:
    sim, engine = killed_in_the_restart()
    sim.nodes[node].ssh = "refused"
    _, ended = recovered(sim, engine)
    out = "n1 is out of service (scim on tcp://scim-lb1:9999: drain; web on tcp://web-lb1:9999: maint)."
    first, what = (out, "put it back") if node == "n1" else ("everything is as it was found.", "go on")
    assert ended.message == (
        f"{first} The claim on {node} could not be taken over, and stays: claim.read {node}: connection refused. "
        f"To {what}: rollsafe recover"
    )
    sim.close()


def test_an_unreached_node_with_nothing_out_is_unknown_and_not_called_out() -> None:
    sim, engine = killed_in_the_restart()
    _, ended = recovered(sim, engine, Fault(Way.REFUSED, site="claim.swap n3", times=99))
    assert (ended.exit_code, ended.left_out) == (40, ())
    assert "The claim on n3 could not be taken over, and stays" in ended.message
    assert sim.as_found()
    _, again = recovered(sim, engine)
    assert again.exit_code == 0


def test_a_machine_that_is_forgotten_holds_up_nobody_any_more_and_is_named() -> None:
    sim, engine = killed_in_the_restart()
    operator = sim.operator(faults=[Fault(Way.REFUSED, site="claim.read n1", times=1000)])
    world = sim.world(operator)
    clock = RunClock(world.clock)
    made = engine._session(operator, world, clock, RunLog("r2", clock, operator, ()))
    ended = sessions.recover(replace(made, forget=frozenset({"n1"})), run_id=None, wait_s=60.0)
    assert (ended.exit_code, ended.left_out) == (0, ())
    assert {(entry["node"], entry["state"]) for entry in ended.others} >= {("n1", "drain"), ("n1", "maint")}
    assert ended.nodes["n1"]["outcome"] == "forgotten"
    assert ended.message.startswith("everything is as it was found, but for n1, gone for ever as you said")
    assert [name for name, node in sim.nodes.items() if node.claim is not None] == ["n1"]
    _, again = recovered(sim, engine)  # it came back all the same, and its claim still tells how it was found
    assert again.exit_code == 0
    assert sim.as_found()


def test_where_no_claim_can_be_taken_over_what_the_dead_run_left_out_is_named() -> None:
    sim, engine = killed_in_the_restart()
    before = len(sim.outside.acts)
    _, ended = recovered(sim, engine, Fault(Way.REFUSED, site="claim.swap", times=999))
    assert ended.exit_code == 30
    assert {entry["node"] for entry in ended.left_out} == {"n1"}
    assert "no copy of the claim of run r could be taken over: n1: claim.swap n1: connection refused; n2: " in (
        ended.message
    )
    assert len(sim.outside.acts) == before
    sim.close()


def test_for_the_ten_seconds_of_a_takeover_the_claim_names_who_takes_over() -> None:
    sim, engine = killed_in_the_restart()
    told: list[tuple[float, str, bool]] = []
    operator = sim.operator("h2")

    def look() -> None:
        claim = sim.nodes["n1"].claim
        if claim is not None and claim.token.epoch == 2:
            told.append((sim.timeline.now, claim.who.who, claim.released))

    sim.timeline.every(1.0, look)
    ended = engine("recover", operator, sim.world(operator), "r")
    assert ended.exit_code == 0
    assert len(told) >= 10
    assert {(who, released) for _, who, released in told} == {("h2", False)}
    assert "taken over from runner" in next(r.message for r in operator.records if r.type == "claim.made")
    sim.close()
