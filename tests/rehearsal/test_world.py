"""The simulated cluster behaves as the real one does, seen through the ports."""

import threading
from functools import partial

import pytest

from rollsafe.errors import BalancerError, ClaimError, Effect, ShellError
from rollsafe.model.claim import ClaimRecord, Token, Who
from rollsafe.model.reading import AdminState, Check, Found, SeatReading
from rollsafe.model.record import Record
from rollsafe.ports import World
from rollsafe.rehearsal.clock import BrokenDown, dismiss
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

SCIM = ("scim-lb", "tcp://scim-lb1:9999")
WEB = ("web-lb", "tcp://web-lb1:9999")
DRAIN, MAINT, READY = Found(AdminState.DRAIN), Found(AdminState.MAINT), Found(AdminState.READY)


def token(revision: int = 0, holder: str = "h1", epoch: int = 1) -> Token:
    return Token("run1", epoch, holder, revision)


def claim(revision: int = 0, holder: str = "h1", epoch: int = 1) -> ClaimRecord:
    return ClaimRecord("small", token(revision, holder, epoch), 0, Who("me", "here", 1, "now"))


def held(sim: SimWorld, **kwargs: object) -> tuple[Operator, World]:
    operator = sim.operator(**kwargs)  # type: ignore[arg-type]  # passed on as they are
    return operator, sim.world(operator)


def seat(world: World, name: str = "n1", key: tuple[str, str] = SCIM, pool: str = "scim") -> SeatReading:
    return next(row for row in world.balancers[key].read(pool).seats if row.seat == name)


def test_time_passes_only_when_somebody_lets_it() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    before = world.clock.now()
    world.clock.sleep(90)
    assert world.clock.monotonic() == 90
    assert (world.clock.now() - before).total_seconds() == 90


def test_a_suspended_machine_loses_monotonic_time_and_a_stopped_process_does_not() -> None:
    sim = SimWorld(small_cluster())
    operator, world = held(sim)
    operator.clock.suspended(60)
    assert world.clock.monotonic() == 0
    operator.stop_for(30)
    assert world.clock.monotonic() == 30
    operator.clock.jump_wall(-3600)
    assert (world.clock.now() - sim.start).total_seconds() == 90 - 3600


def test_a_member_that_leaves_maint_is_in_service_before_any_check() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    _, world = held(sim)
    balancer = world.balancers[SCIM]
    balancer.write("scim", "n1", MAINT)
    sim.nodes["n1"].fall_ill(1000)
    world.clock.sleep(20)
    assert seat(world).check is Check.RISING
    balancer.write("scim", "n1", READY)
    assert sim.endpoints[SCIM].pools["scim"]["n1"].takes_new()
    world.clock.sleep(5)
    assert seat(world).check is Check.DOWN


def test_a_member_in_drain_goes_on_being_checked() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    _, world = held(sim)
    world.balancers[SCIM].write("scim", "n1", DRAIN)
    sim.nodes["n1"].fall_ill(20)
    world.clock.sleep(10)
    assert (seat(world).admin, seat(world).check) == (AdminState.DRAIN, Check.DOWN)
    world.clock.sleep(20)
    assert seat(world).check is Check.UP


def test_a_reload_forgets_the_drain_and_changes_the_process() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    _, world = held(sim)
    world.balancers[SCIM].write("scim", "n1", DRAIN)
    before = world.balancers[SCIM].read("scim").process
    sim.endpoints[SCIM].reload()
    assert seat(world).admin is AdminState.READY
    assert world.balancers[SCIM].read("scim").process != before
    assert not sim.endpoints[SCIM].pools["scim"]["n1"].out_by_us


def test_sticky_people_stay_on_a_drained_node_and_leave_it_in_maint() -> None:
    sim = SimWorld(small_cluster(), seed=3)
    _, world = held(sim)
    world.clock.sleep(60)
    world.balancers[WEB].write("jira", "n1", DRAIN)
    total = seat(world, key=WEB, pool="jira").total
    world.clock.sleep(60)
    drained = seat(world, key=WEB, pool="jira").total
    assert (drained or 0) > (total or 0)
    world.balancers[WEB].write("jira", "n1", MAINT)
    world.clock.sleep(60)
    assert seat(world, key=WEB, pool="jira").total == drained
    assert seat(world, key=WEB, pool="jira").active == 0


def test_a_restart_takes_both_ports_down_and_web_comes_back_before_scim() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    world.claims["n1"].create(claim())
    before = world.restarters["n1"].identity().identity
    assert world.restarters["n1"].begin(token())
    states: list[tuple[str, str]] = []
    for _ in range(40):
        now = tuple(world.checks["n1", service][0].check().state for service in ("web", "scim"))
        if not states or states[-1] != now:
            states.append((now[0], now[1]))
        world.clock.sleep(0.5)
    assert states == [
        ("RUNNING", "SCIM"),
        ("refused", "refused"),
        ("STARTING", "refused"),
        ("RUNNING", "refused"),
        ("RUNNING", "SCIM"),
    ]
    assert world.restarters["n1"].identity().identity != before
    assert world.restarters["n1"].progress().exit_status == 0


def test_a_restart_under_load_cuts_requests_and_the_observer_sees_it() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    world.clock.sleep(30)
    world.claims["n1"].create(claim())
    for _ in range(20):
        if sim.outside.cuts:
            break
        world.restarters["n1"].begin(token())
        world.clock.sleep(30)
    assert sim.outside.cuts
    assert {v.invariant for v in sim.outside.violations} >= {"I3", "I5"}


def test_the_restart_compares_the_token_under_the_lock() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    world.claims["n1"].create(claim(revision=2))
    assert not world.restarters["n1"].begin(token(revision=1))
    assert sim.nodes["n1"].restarts == []


def test_a_swap_waits_for_the_lock_of_a_restart_and_gives_up_when_it_hangs() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    for node in ("n1", "n2"):
        world.claims[node].create(claim())
    sim.nodes["n2"].restart_mode = "hangs"
    world.restarters["n1"].begin(token())
    begun = world.clock.monotonic()
    assert world.claims["n1"].swap(token(), claim(1))
    assert world.clock.monotonic() - begun == pytest.approx(2.0, abs=0.1)
    world.restarters["n2"].begin(token())
    with pytest.raises(ClaimError, match="lock") as caught:
        world.claims["n2"].swap(token(), claim(1))
    assert caught.value.effect is Effect.NONE


def test_swap_compares_all_four_words_and_never_makes_a_missing_file() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim)
    file = world.claims["n1"]
    assert not file.swap(token(), claim(1))
    assert file.read() is None
    assert file.create(claim())
    assert not file.create(claim())
    for wrong in (token(9), token(holder="h2"), token(epoch=2)):
        assert not file.swap(wrong, claim(1))
    assert file.swap(token(), None)
    assert file.read() is None


@pytest.mark.parametrize("way", list(Way))
def test_each_way_to_fail_tells_the_truth_about_its_effect(way: Way) -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    operator, world = held(sim, faults=[Fault(way, site="balancer.write")])
    effect = None
    try:
        world.balancers[SCIM].write("scim", "n1", DRAIN)
    except BalancerError as error:
        effect = error.effect
    done = sim.endpoints[SCIM].pools["scim"]["n1"].admin is AdminState.DRAIN
    assert not (done and effect is Effect.NONE), "an effect that took place was called impossible"
    assert done or effect is not None, "a write that was not done was called done"
    world.clock.sleep(20)
    assert (sim.endpoints[SCIM].pools["scim"]["n1"].admin is AdminState.DRAIN) == (done or way is Way.LATE)
    assert operator.calls == 1


def test_health_checks_never_raise() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim, faults=[Fault(Way.RESET, site="check n1 scim")])
    check = world.checks["n1", "scim"][0]
    assert (check.check().healthy, check.check().healthy) == (False, True)


def test_a_late_restart_is_fenced_by_the_claim() -> None:
    sim = SimWorld(small_cluster())
    _, world = held(sim, faults=[Fault(Way.LATE, site="restarter.begin")])
    world.claims["n1"].create(claim())
    with pytest.raises(ShellError):
        world.restarters["n1"].begin(token())
    assert world.claims["n1"].swap(token(), claim(1))
    world.clock.sleep(60)
    assert sim.nodes["n1"].restarts == []


def test_the_dead_do_nothing_more() -> None:
    sim = SimWorld(small_cluster())
    operator, world = held(sim, crash=CrashPoint("effect", 1, after=True))
    with pytest.raises(Crash):
        world.balancers[SCIM].write("scim", "n1", DRAIN)
    assert sim.endpoints[SCIM].pools["scim"]["n1"].admin is AdminState.DRAIN
    for act in (lambda: world.clock.sleep(1), world.claims["n1"].read, world.checks["n1", "web"][0].check):
        with pytest.raises(Crash):
            act()
    with pytest.raises(Crash):
        operator.append(Record("r", 1, "x", "now", 0.0))


def test_a_crash_at_a_record_leaves_it_durable_only_after() -> None:
    for after, kept in ((False, 0), (True, 1)):
        operator = SimWorld(small_cluster()).operator(crash=CrashPoint("record", 1, after))
        with pytest.raises(Crash):
            operator.append(Record("r", 1, "x", "now", 0.0))
        assert len(operator.records) == kept


def test_questions_side_by_side_take_as_long_as_the_slowest_and_a_late_answer_comes_later() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    faults = [Fault(Way.SLOW, site="balancer.read scim-lb")]
    operator, world = held(sim, faults=faults)
    questions = {
        key: (lambda key=key: world.balancers[key].read({SCIM: "scim", WEB: "jira"}[key])) for key in (SCIM, WEB)
    }
    first = world.gather(questions, 1.5)
    assert set(first) == {WEB}
    assert world.clock.monotonic() == pytest.approx(1.5)
    calls = operator.calls
    world.clock.sleep(3)
    second = world.gather({SCIM: questions[SCIM]}, 1.5)
    assert set(second) == {SCIM}
    assert operator.calls == calls


def test_only_questions_that_wait_take_a_thread_and_they_hold_up_no_other() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    slow = [Fault(Way.SLOW, site="check n1 scim"), Fault(Way.TIMEOUT_BEFORE, site="check n2 scim")]
    _, world = held(sim, faults=slow)
    questions = {key: checks[0].check for key, checks in world.checks.items()}
    dismiss()
    threads = threading.active_count()
    heard = world.gather(questions, 1.5)
    assert set(questions) - set(heard) == {("n1", "scim"), ("n2", "scim")}
    assert threading.active_count() == threads + 3
    world.clock.sleep(10)
    late = world.gather(questions, 1.5)
    assert late["n1", "scim"].healthy
    assert not late["n2", "scim"].healthy


def test_a_process_that_is_stopped_in_a_question_asks_the_next_ones_when_it_is_woken() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    operator, world = held(sim)
    operator.pauses[2] = 20.0
    asked: list[tuple[str, float]] = []

    def ask(name: str) -> None:
        world.claims[name].read()
        asked.append((name, sim.timeline.now))

    world.gather({name: partial(ask, name) for name in ("n1", "n2", "n3")}, 30.0)
    assert [name for name, _ in sorted(asked)] == ["n1", "n2", "n3"]
    assert asked[0] == ("n1", 0.0)
    assert all(at_s >= 20.0 for name, at_s in asked if name != "n1")


def test_the_heart_beats_through_everything_but_a_stopped_process() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    operator, world = held(sim)
    beats: list[float] = []
    world.heart.start(lambda: beats.append(world.clock.monotonic()), 5.0)
    world.clock.sleep(21)
    assert len(beats) == 4
    operator.stop_for(20)
    assert len(beats) == 4
    world.clock.sleep(6)
    assert len(beats) == 5
    operator.dead = True
    sim.timeline.pass_time(60)
    assert len(beats) == 5


def test_the_probe_sees_an_outage_from_outside() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    _, world = held(sim)
    world.watch.start()
    world.clock.sleep(20)
    for node in sim.nodes:
        world.balancers[SCIM].write("scim", node, MAINT)
    world.clock.sleep(12)
    for node in sim.nodes:
        world.balancers[SCIM].write("scim", node, READY)
    world.clock.sleep(10)
    (summary,) = world.watch.summaries()
    assert 10 <= summary.longest_outage_s <= 15
    assert summary.outage_s == 0
    assert summary.failed > 0
    assert sim.outside.least["scim"] == 0


def test_the_observer_names_what_rollsafe_must_never_do() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    operator, world = held(sim)
    world.balancers[SCIM].write("scim", "n1", DRAIN)
    world.balancers[SCIM].write("scim", "n2", DRAIN)
    kinds = [violation.invariant for violation in sim.outside.violations]
    assert kinds.count("I5") == 4  # neither an intent nor an undo record, twice
    assert "I2" in kinds
    assert "I6" in kinds
    assert sim.outside.nodes_out_by_us() == {"n1", "n2"}
    assert operator.name in sim.outside.hands


def test_people_may_do_what_they_like() -> None:
    sim = SimWorld(small_cluster(), traffic=False)
    sim.person_sets("n1", AdminState.MAINT)
    sim.person_sets("n2", AdminState.DRAIN)
    assert sim.outside.violations == []
    assert sim.as_found()


def run_pair(seed: int) -> list[tuple[float, str]]:
    """Two operators race for the claims; what each of them saw, in order."""
    sim = SimWorld(small_cluster(), seed=seed)
    seen: list[tuple[float, str]] = []

    def body(name: str) -> None:
        _, world = held(sim, name=name)
        for node in sim.nodes:
            made = world.claims[node].create(claim(holder=name))
            seen.append((world.clock.monotonic(), f"{name} {node} {made}"))
            world.clock.sleep(sim.rng.random())

    sim.timeline.together([lambda name=name: body(name) for name in ("a", "b")])
    return seen


def test_several_operators_share_one_timeline_and_a_seed_replays() -> None:
    assert run_pair(1) == run_pair(1)
    assert run_pair(1) != run_pair(2)
    first = [line for _, line in run_pair(1)]
    assert len(first) == 6
    assert sum(" True" in line for line in first) == 3, "each claim is made once"


def test_a_job_that_breaks_is_told_to_all_who_wait_and_hangs_nobody() -> None:
    sim = SimWorld(small_cluster())

    def breaks() -> None:
        sim.timeline.pass_time(1.0)
        raise ValueError("a defect")

    with pytest.raises(BrokenDown, match="a defect"):
        sim.timeline.together([breaks, lambda: sim.timeline.pass_time(2.0)])
    sim.close()
    assert sim.timeline.now < 3.0
