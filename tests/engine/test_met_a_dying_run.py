"""What a run says of a dead run that it met, and how an ending tells what it could not read."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.orders import Orders
from rollsafe.engine.runclock import RunClock
from rollsafe.model.claim import Who
from rollsafe.model.reading import AdminState
from rollsafe.planner.outcome import Ending, in_place_of_recover
from rollsafe.rehearsal.faults import Crash, Fault, Way
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

WHO = Who("other", "elsewhere.example.com", 1, "2026-01-01T00:00:00Z")


def second_run_meets_a_dying_one(*, then_hangs: bool) -> Ended:
    """The first run dies with SCIM just drained; the second began a moment before that."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first, second = sim.operator("first"), sim.operator("second")
    told: list[Ended] = []

    def dies() -> None:
        with pytest.raises(Crash):
            engine("run", first, sim.world(first), "r1")

    def meets_it() -> None:
        sim.timeline.pass_time(1.0)  # web is drained by now, scim is not
        assert {seat.service for e in sim.endpoints.values() for seat in e.seats() if seat.out_by_us} == {"web"}
        told.append(engine("run", second, sim.world(second), "r2"))

    def hang() -> None:
        for endpoint in sim.endpoints.values():
            endpoint.api = "hangs" if endpoint.balancer == "web-lb" else "ok"

    sim.timeline.at(1.4, lambda: setattr(first, "dead", True))
    if then_hangs:
        sim.timeline.at(5.0, hang)
    sim.timeline.together([dies, meets_it])
    sim.close()
    return told[0]


@pytest.mark.parametrize("then_hangs", [False, True])
def test_all_that_a_run_took_out_before_it_died_is_named_though_it_lived_when_the_other_began(then_hangs: bool) -> None:
    ended = second_run_meets_a_dying_one(then_hangs=then_hangs)
    assert ended.exit_code == 30
    assert {(entry["node"], entry["service"]) for entry in ended.left_out} == {("n1", "scim"), ("n1", "web")}
    keys = {"node", "service", "balancer", "endpoint", "state", "mend"}
    assert all(set(entry) == keys for entry in ended.left_out), "as the contract lists them"


@pytest.mark.parametrize("early_s", [0.1, 0.6, 1.2, 2.5])
def test_a_run_that_ends_while_its_beat_is_watched_is_not_called_dead(early_s: float) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    alone = sim.operator()
    engine("run", alone, sim.world(alone), "r0")
    takes_s = sim.timeline.now
    sim, told = SimWorld(cluster), []
    first, second = sim.operator("first"), sim.operator("second")

    def meets_it() -> None:
        sim.timeline.pass_time(takes_s - early_s)
        told.append(engine("run", second, sim.world(second), "r2"))

    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1"), meets_it])
    sim.close()
    assert told[0].exit_code == 10
    assert "it lives" in told[0].message or told[0].message.endswith("which has ended since. Start again")


@pytest.mark.parametrize(
    ("command", "said"), [("recover", (0, "nothing to do")), ("resume", (10, "has no claim on the cluster any more"))]
)
@pytest.mark.parametrize("early_s", [0.2, 1.2, 2.5])
def test_a_run_that_ends_while_recover_watches_it_leaves_nothing_to_take_over(
    command: str, said: tuple[int, str], early_s: float
) -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    alone = sim.operator()
    engine("run", alone, sim.world(alone), "r1")
    takes_s = sim.timeline.now
    sim, told = SimWorld(cluster), []
    first, second = sim.operator("first"), sim.operator("second")

    def meets_it() -> None:
        sim.timeline.pass_time(takes_s - early_s)
        told.append(engine(command, second, sim.world(second), "r1"))

    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1"), meets_it])
    sim.close()
    assert told[0].exit_code == said[0]
    assert said[1] in told[0].message


def test_a_claim_that_could_be_neither_made_whole_nor_removed_is_told() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    faults = [Fault(Way.UNAUTHORIZED, 1, "claim.create n2"), Fault(Way.UNAUTHORIZED, 1, "claim.swap n1")]
    operator = sim.operator(faults=faults)
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 10
    assert "A claim of this run could not be removed again (n1: " in ended.message
    assert ended.message.endswith("rollsafe recover")
    assert sim.nodes["n1"].claim is not None
    again = sim.operator()
    assert engine("recover", again, sim.world(again), "r").exit_code == 0
    assert sim.nodes["n1"].claim is None


def test_an_ending_with_a_node_out_says_what_could_not_be_read_too() -> None:
    cluster, steps = shorten(small_cluster(nodes=2, endpoints=2), EACH_NODE)
    engine = Engine(cluster, steps)
    faultless = SimWorld(cluster)
    before = faultless.operator()
    before.trace = True
    engine("run", before, faultless.world(before), "r")
    drains_scim = next(call.index for call in before.log if call.site.startswith("balancer.write scim-lb"))
    sim = SimWorld(cluster)
    # web is in maint already; scim's drain arrives late and nothing can be read any more
    operator = sim.operator(faults=[Fault(Way.LATE, drains_scim, "balancer", times=1000)])
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 30
    assert {entry["service"] for entry in ended.left_out} == {"web"}
    assert "What could not be read: scim of n1 (scim/n1 on tcp://scim-lb1:9999)" in ended.message


def test_a_run_that_meets_a_living_one_is_told_what_to_type() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first, second = sim.operator("first"), sim.operator("second")
    told: list[Ended] = []

    def meets_it() -> None:
        sim.timeline.pass_time(1.0)
        told.append(engine("run", second, sim.world(second), "r2"))

    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1") and None, meets_it])
    sim.close()
    assert told[0].exit_code == 10
    assert told[0].message.endswith("Wait for it (--wait-for-lock 30m), or look: rollsafe status")


def elsewhere(sim: SimWorld) -> Ending:
    """`resume` on a machine that does not know the run."""
    other = sim.operator("elsewhere")
    world = sim.world(other)
    clock = RunClock(world.clock)
    log = RunLog("r2", clock, other, ())
    made = sessions.Session(sim.cluster, world, clock, log, Orders(), WHO, "elsewhere", "rollsafe recover")
    return sessions.cannot_resume(made, "r1", "run r1 is not whole on this machine")


def test_a_resume_on_another_machine_names_what_the_dead_run_left_out() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first = sim.operator("first")
    sim.timeline.at(1.4, lambda: setattr(first, "dead", True))
    with pytest.raises(Crash):
        engine("run", first, sim.world(first), "r1")
    ended = elsewhere(sim)
    assert ended.exit_code == 30
    assert {entry["service"] for entry in ended.left_out} == {"scim", "web"}
    assert ended.message.startswith("n1 is out of service by a dead run: run r1 is not whole on this machine")
    assert ended.message.endswith("rollsafe recover")


def test_a_resume_on_another_machine_is_refused_where_the_dead_run_left_nothing_out() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first = sim.operator("first")
    first.hooks.append(lambda call: setattr(first, "dead", call.site.startswith("balancer.write")))
    with pytest.raises(Crash):
        engine("run", first, sim.world(first), "r1")
    ended = elsewhere(sim)
    assert (ended.exit_code, ended.left_out) == (10, ())


def test_a_command_to_look_takes_no_yes() -> None:
    mend = "rollsafe recover -i 'my file.yml' --yes"
    assert in_place_of_recover(mend, "status") == "rollsafe status -i 'my file.yml'"
    assert in_place_of_recover(mend, "ready n1") == "rollsafe ready n1 -i 'my file.yml' --yes"


def test_a_run_that_waited_for_another_asks_its_gates_of_the_present() -> None:
    """The first has n1 out when the second looks; when it has ended, n1 is back and the second may go on."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    engine, patient = (
        Engine(cluster, steps, nodes=("n1",)),
        Engine(cluster, steps, nodes=("n2",), wait_for_lock_s=600.0),
    )
    first, second = sim.operator("first"), sim.operator("second")
    told: list[Ended] = []

    def waits() -> None:
        sim.timeline.pass_time(1.0)
        assert any(seat.out_by_us for e in sim.endpoints.values() for seat in e.seats())
        told.append(patient("run", second, sim.world(second), "r2"))

    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1") and None, waits])
    sim.close()
    assert told[0].exit_code == 0, told[0].message
    assert sim.as_found()


def test_a_recover_that_finds_no_claim_names_what_is_out_by_other_hands() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    endpoint = next(e for e in sim.endpoints.values() if e.balancer == "web-lb")
    sim.person_sets("n2", AdminState.DRAIN, "web")
    operator = sim.operator("anna")
    ended = engine("recover", operator, sim.world(operator), "r1")
    assert ended.exit_code == 0
    assert [(one["node"], one["service"], one["state"]) for one in ended.others] == [("n2", "web", "drain")]
    assert f"web of n2 on {endpoint.url}: drain" in ended.message
