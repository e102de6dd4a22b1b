"""A run that stands still between its last look at the clock and a write, and wakes when all is over: it names it."""

from collections.abc import Callable

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.reading import AdminState
from rollsafe.model.record import Record
from rollsafe.planner.readings import ClaimView, Ours
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from tests.planner.scene import decide, make_plan, scene

ASLEEP_S = 90.0


def engine_and_world() -> tuple[Engine, SimWorld]:
    cluster, steps = shorten(small_cluster(nodes=2), EACH_NODE)
    return Engine(cluster, steps, ("n1",)), SimWorld(cluster)


def calls(of: str) -> list[tuple[int, str]]:
    """(call, site) of each such call of a run in which nothing goes wrong."""
    engine, sim = engine_and_world()
    operator = sim.operator()
    operator.trace = True
    assert engine("run", operator, sim.world(operator), "r").exit_code == 0
    return [(call.index, call.site) for call in operator.log if of in call.site]


def nothing(_sim: SimWorld, _engine: Engine) -> None:
    """Nobody does more."""


def woken_after_recover(call: int, then: Callable[[SimWorld, Engine], object] = nothing) -> tuple[SimWorld, Ended]:
    """The run stands still in front of that call's effect, and somebody recovers meanwhile, and then does more."""
    engine, sim = engine_and_world()
    first, second = sim.operator("first"), sim.operator("second")
    first.pauses = {call: ASLEEP_S}
    told: dict[str, Ended] = {}

    def runs() -> None:
        told["run"] = engine("run", first, sim.world(first), "r")

    def recovers() -> None:
        while not first.paused and "run" not in told:
            sim.timeline.pass_time(0.5)
        told["recover"] = engine("recover", second, sim.world(second), "r")
        assert first.paused, "it slept through all of it"
        then(sim, engine)

    sim.timeline.together([runs, recovers])
    assert told["recover"].exit_code == 0
    return sim, told["run"]


@pytest.mark.parametrize(("call", "site"), calls("balancer.write"))
def test_a_write_that_comes_after_all_is_over_is_named_with_the_command_that_undoes_it(call: int, site: str) -> None:
    sim, ended = woken_after_recover(call)
    out = {(s.node.name, e.balancer) for e in sim.endpoints.values() for s in e.seats() if s.admin.out}
    sim.close()
    assert len(out) <= 1, "one write at most came late"
    assert ended.exit_code == (30 if out else 40)
    assert "a write of it may have come after the takeover" in ended.message
    assert {(e["node"], e["balancer"]) for e in ended.left_out} == out
    assert ended.message.count("is on no node any more") == 1
    assert {e["mend"] for e in ended.left_out} <= {"rollsafe ready n1"}, "recover finds no claim, and has nothing to do"


def drained_by_a_person(sim: SimWorld, _engine: Engine) -> None:
    for seat in (seat for endpoint in sim.endpoints.values() for seat in endpoint.seats()):
        if seat.node.name == "n1":
            seat.admin = AdminState.DRAIN


HARMLESS = [*calls("restarter.begin"), *calls("balancer.write")[-2:]]  # what comes late of these takes nothing out


@pytest.mark.parametrize(("call", "site"), HARMLESS)
def test_what_a_person_took_out_since_is_not_called_its_own_by_a_run_that_wakes(call: int, site: str) -> None:
    sim, ended = woken_after_recover(call, drained_by_a_person)
    sim.close()
    assert (ended.exit_code, ended.left_out) == (40, ()), site
    assert {entry["node"] for entry in ended.others} == {"n1"}
    assert ended.message.endswith("To look: rollsafe status")


def test_what_another_run_has_in_hand_is_not_called_its_own_by_a_run_that_wakes() -> None:
    (call, _), *_ = HARMLESS
    _, (second_write, _), *_ = calls("balancer.write")
    told: list[Ended] = []

    def rolls(sim: SimWorld, engine: Engine) -> None:
        third = sim.operator("third")
        third.pauses = {second_write: ASLEEP_S}  # with a member out, and its claim alive for whoever wakes first
        told.append(engine("run", third, sim.world(third), "r3"))

    sim, ended = woken_after_recover(call, rolls)
    sim.close()
    assert (ended.exit_code, ended.left_out) == (40, ())
    assert {entry["node"] for entry in ended.others} == {"n1"}
    assert ended.message.endswith("To look: rollsafe status")
    assert [it.exit_code for it in told] == [0], "it was disturbed by nobody"


def test_claims_that_were_removed_a_moment_ago_answer_for_nothing_that_is_out() -> None:
    """A takeover takes 10 s: nobody can have put the node back so soon, and drained it again."""
    engine, sim = engine_and_world()
    operator = sim.operator("first")

    def remove(record: Record) -> None:
        if record.type == "write.done":
            for name in sim.nodes:
                sim.lose_claim(name)

    operator.listeners.append(remove)
    ended = engine("run", operator, sim.world(operator), "r")
    out = {(s.node.name, e.balancer) for e in sim.endpoints.values() for s in e.seats() if s.admin.out}
    sim.close()
    assert out
    assert (ended.exit_code, {(e["node"], e["balancer"]) for e in ended.left_out}) == (30, out), ended.message
    assert {e["mend"] for e in ended.left_out} == {"rollsafe ready n1"}


def test_a_run_that_stood_still_while_it_made_its_claims_touches_nothing_and_leaves_none() -> None:
    (_, _), (second, _) = calls("claim.create")
    sim, ended = woken_after_recover(second)
    nodes = {name: node.claim for name, node in sim.nodes.items()}
    sim.close()
    assert ended.exit_code == 20, ended.message
    assert "n1: missing" in ended.message
    assert nodes == {"n1": None, "n2": None}


def test_a_claim_that_is_on_no_node_any_more_is_lost_and_one_that_is_missing_somewhere_is_not() -> None:
    plan = make_plan("ab")
    look, story = scene(plan=plan)
    look.claims.update(a=ClaimView(Ours.MISSING))
    assert not getattr(decide(look, story), "lost", False)
    look.claims.update(b=ClaimView(Ours.UNREAD))
    assert not getattr(decide(look, story), "lost", False)
    look.claims.update(b=ClaimView(Ours.MISSING))
    assert getattr(decide(look, story), "lost", False)
