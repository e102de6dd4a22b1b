"""The guards of the engine, each by itself: what stands between a decision and a balancer, a claim or a node."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import session, takeover
from rollsafe.engine.act import OUTWAIT_S, Actor, Prepared
from rollsafe.engine.claim import ClaimKeeper, first_record
from rollsafe.engine.log import RunLog
from rollsafe.engine.orders import Orders
from rollsafe.engine.preflight import Selection, plan_of, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import BalancerError, Effect, JournalError, Refused
from rollsafe.model.claim import Who
from rollsafe.model.plan import Plan, PlannedStep
from rollsafe.model.reading import AdminState, Found, IdentityReading
from rollsafe.model.record import Record
from rollsafe.planner.decisions import BeginNode, MemberWrite, WriteMembers
from rollsafe.planner.readings import Order, Readings
from rollsafe.ports import World
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.play import trace
from rollsafe.rehearsal.rehearse import FAULTLESS, Piece
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

WHO = Who("anna", "host", 1, "2026-11-24T02:00:00Z")
DRAIN = Found(AdminState.DRAIN)
RUN = "run1"


class Disk:
    """A journal that can be full."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.full_for = ""

    def append(self, record: Record) -> None:
        if record.type == self.full_for:
            raise JournalError("the disk is full")
        self.records.append(record)


class Scene:
    """A simulated cluster, and a run that has claimed it and has its first node in hand."""

    def __init__(self) -> None:
        self.sim = SimWorld(small_cluster(), traffic=False)
        self.operator = self.sim.operator()
        self.world = self.sim.world(self.operator)
        self.clock = RunClock(self.world.clock)
        self.disk = Disk()
        self.log = RunLog(RUN, self.clock, self.disk, ())
        steps = tuple(PlannedStep(s) for s in ("drain", "restart", "healthy", "ready"))
        names = tuple(n.name for n in self.sim.cluster.live_nodes)
        self.plan, self.now = survey(self.world, self.sim.cluster, Selection(names, steps), self.clock)
        self.keeper = ClaimKeeper(self.world, self.clock, first_record("small", RUN, "h1", WHO))
        assert self.keeper.make() is None
        self.log.write("run.started", data={"mode": "run"})
        self.log.write("claim.made", data={"fine": list(names)})
        self.node = names[0]
        self.actor().begin(BeginNode(self.node, ()), self.now)

    def actor(self, world: World | None = None) -> Actor:
        return Actor(world or self.world, self.plan, self.clock, self.log, self.keeper, blocked=frozenset())

    def drain(self) -> WriteMembers:
        """Every SCIM member of the node into drain."""
        members = self.plan.members_of(self.node, "scim")
        return WriteMembers(self.node, tuple(MemberWrite(m, DRAIN, "drain") for m in members), taking_out=True)

    def admin(self) -> set[str]:
        return {seat.admin.value for _, seat in self.sim.seats(self.node, "scim")}

    def told(self, kind: str) -> list[Record]:
        return [r for r in self.disk.records if r.type == kind]


@pytest.fixture
def scene() -> Scene:
    return Scene()


# --- writes -----------------------------------------------------------------------------------------------------


def test_a_write_is_an_intent_the_write_and_its_outcome(scene: Scene) -> None:
    scene.actor().write(scene.drain())
    kinds = [r.type for r in scene.disk.records if r.type.startswith("write.")]
    assert kinds == ["write.intent"] * (len(kinds) // 2) + ["write.done"] * (len(kinds) // 2)
    assert scene.admin() == {"drain"}


def test_what_could_not_be_made_durable_is_not_done(scene: Scene) -> None:
    scene.disk.full_for = "write.intent"
    with pytest.raises(JournalError):
        scene.actor().write(scene.drain())
    assert scene.admin() == {"ready"}


def test_the_claim_is_kept_as_long_as_a_write_without_an_answer_may_land(monkeypatch: pytest.MonkeyPatch) -> None:
    write = Actor.write

    def unheard(self: Actor, decision: WriteMembers) -> None:
        write(self, decision)
        self.may_land_until_s = self._clock.at_s() + OUTWAIT_S

    monkeypatch.setattr(Actor, "write", unheard)
    _, operator = trace(Piece(small_cluster(2), EACH_NODE, Engine).stage(), FAULTLESS)
    written_s = max(record.at_s for record in operator.records if record.type == "write.done")
    (ended_s,) = (record.at_s for record in operator.records if record.type == "claim.ended")
    assert ended_s - written_s >= OUTWAIT_S


def test_a_run_that_may_not_wait_for_a_write_without_an_answer_keeps_its_claim_and_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write = Actor.write

    def unheard(self: Actor, decision: WriteMembers) -> None:
        write(self, decision)
        self.may_land_until_s = self._clock.at_s() + OUTWAIT_S
        self._may_land |= {it.member: it.to.admin for it in decision.writes}

    monkeypatch.setattr(Actor, "write", unheard)
    cluster, steps = shorten(small_cluster(2), EACH_NODE)
    sim = SimWorld(cluster)
    engine, operator = Engine(sim.cluster, steps), sim.operator("first")
    orders = engine.orders["first"] = Orders()

    def ends_at_once(_: object) -> None:
        if any(record.type == "write.done" and record.service == "scim" for record in operator.records):
            orders.give(Order.NOW, "SIGTERM")

    operator.hooks.append(ends_at_once)
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 40, ended.message
    assert "But a write had no answer, and may still land: " in ended.message
    assert "scim of n1 (scim/n1 on tcp://scim-lb1:9999) to " in ended.message
    assert sim.as_found()
    assert all(node.claim is not None for node in sim.nodes.values()), "recover finds what it needs"


def test_a_write_that_would_be_sent_more_than_ten_seconds_after_the_claims_were_read_is_not_sent(scene: Scene) -> None:
    def slow(questions: Mapping[Any, Callable[[], Any]], within_s: float) -> dict[Any, Any]:
        if any(key[0] == "write" for key in questions):
            scene.world.clock.sleep(11.0)
        return scene.world.gather(questions, within_s)

    scene.actor(replace(scene.world, gather=slow)).write(scene.drain())
    assert scene.admin() == {"ready"}
    assert {r.data["effect"] for r in scene.told("write.failed")} == {"none"}


def test_the_ten_seconds_begin_when_the_claims_were_asked_for_and_not_when_they_answered(scene: Scene) -> None:
    """A takeover that comes right after the question outwaits 10 s from then: 3.5 s and 7 s are too much together."""

    def slow(questions: Mapping[Any, Callable[[], Any]], within_s: float) -> dict[Any, Any]:
        if any(key[0] == "write" for key in questions):
            scene.world.clock.sleep(7.0)
        return scene.world.gather(questions, within_s)

    scene.world.clock.sleep(2.0)  # what was read before serves no more
    scene.operator.hooks.append(lambda call: scene.operator.pass_time(3.5) if call.site == "claim.read n2" else None)
    scene.actor(replace(scene.world, gather=slow)).write(scene.drain())
    assert scene.admin() == {"ready"}
    assert {r.data["effect"] for r in scene.told("write.failed")} == {"none"}


def test_a_write_is_done_only_when_the_new_state_is_seen(scene: Scene) -> None:
    class Deaf:
        """A balancer that answers OK and does nothing."""

        def __init__(self, real: Any) -> None:
            self.read = real.read

        def write(self, pool: str, seat: str, to: Found, *, within_s: float) -> None:
            return None

    deaf = {key: Deaf(real) for key, real in scene.world.balancers.items()}
    scene.actor(replace(scene.world, balancers=deaf)).write(scene.drain())
    assert scene.told("write.done") == []
    assert "it shows ready" in scene.told("write.failed")[0].message


def test_what_an_old_process_refuses_and_the_new_one_shows_is_done(scene: Scene) -> None:
    class Reloaded:
        """A balancer whose old process answers the write, and whose new one the question."""

        def __init__(self, real: Any) -> None:
            self.real, self.read = real, real.read

        def write(self, pool: str, seat: str, to: Found, *, within_s: float) -> None:
            self.real.write(pool, seat, to, within_s=within_s)
            raise BalancerError("Proxy is disabled.", effect=Effect.NONE)

    reloaded = {key: Reloaded(real) for key, real in scene.world.balancers.items()}
    scene.actor(replace(scene.world, balancers=reloaded)).write(scene.drain())
    assert scene.told("write.failed") == []
    assert len(scene.told("write.done")) == 1


def test_taking_a_node_out_needs_our_claim_on_every_node(scene: Scene) -> None:
    scene.world.clock.sleep(2.0)
    scene.sim.lose_claim("n3")
    scene.actor().write(scene.drain())
    assert scene.admin() == {"ready"}
    assert "needs our claim on every node" in scene.told("write.failed")[0].message


# --- the restart ------------------------------------------------------------------------------------------------


def drained(scene: Scene) -> Readings:
    """Every member of the node is out, and was seen so."""
    for service in ("web", "scim"):
        scene.log.write("step.started", node=scene.node, service=service, data={"step": "drain"})
        members = scene.plan.members_of(scene.node, service)
        writes = tuple(MemberWrite(m, DRAIN, "drain") for m in members)
        scene.actor().write(WriteMembers(scene.node, writes, taking_out=True))
    scene.keeper.read()
    names = tuple(n.name for n in scene.sim.cluster.live_nodes)
    return survey(scene.world, scene.sim.cluster, Selection(names, scene.plan.each_node), scene.clock)[1]


LATE = [(0.0, True), (600.0, False)]


@pytest.mark.parametrize(("late_s", "sent"), LATE)
def test_a_node_is_restarted_only_on_young_readings(scene: Scene, late_s: float, sent: bool) -> None:
    now = drained(scene)
    now = replace(now, at_s=scene.clock.at_s() - late_s)
    scene.actor().restart(scene.node, Prepared(IdentityReading("old"), 0.0), now)
    assert bool(scene.told("restart.begun")) is sent


def test_a_restart_whose_intent_could_not_be_made_durable_is_not_sent(scene: Scene) -> None:
    now = replace(drained(scene), at_s=scene.clock.at_s())
    scene.disk.full_for = "restart.intent"
    with pytest.raises(JournalError):
        scene.actor().restart(scene.node, Prepared(IdentityReading("old"), 0.0), now)
    assert scene.world.restarters[scene.node].progress().output == "no restart was begun there"


# --- taking over ------------------------------------------------------------------------------------------------


def successor(scene: Scene) -> tuple[Operator, World, RunClock]:
    operator = scene.sim.operator()
    world = scene.sim.world(operator)
    return operator, world, RunClock(world.clock)


def test_a_takeover_outwaits_the_last_writes_of_its_predecessor(scene: Scene) -> None:
    _, world, clock = successor(scene)
    before_s = clock.at_s()
    takeover.take_over(world, clock, takeover.read_copies(world), RUN, WHO, "h2")
    assert clock.at_s() - before_s >= 10.0


def test_a_beat_that_comes_within_fifteen_seconds_is_a_life(scene: Scene) -> None:
    _, world, clock = successor(scene)
    assert not takeover.lives(world, clock, RUN)
    scene.world.heart.start(scene.keeper.beat, 12.0)
    assert takeover.lives(world, clock, RUN)


def test_a_takeover_meets_another_and_refuses(scene: Scene) -> None:
    _, first, first_clock = successor(scene)
    _, second, second_clock = successor(scene)
    seen = takeover.read_copies(second)
    takeover.take_over(first, first_clock, takeover.read_copies(first), RUN, WHO, "h2")
    with pytest.raises(Refused, match="another takes over"):
        takeover.take_over(second, second_clock, seen, RUN, WHO, "h3")


def test_resume_refuses_a_journal_that_a_recover_has_overtaken(scene: Scene) -> None:
    _, world, clock = successor(scene)
    takeover.take_over(world, clock, takeover.read_copies(world), RUN, WHO, "h2")
    assert resumed(scene).exit_code == 10
    assert "was taken over since" in scene.told("run.finished")[0].message


def resumed(scene: Scene) -> Any:
    plan: Plan = plan_of(scene.sim.cluster, scene.plan.members, Selection(("n1",), scene.plan.each_node))
    orders = Orders()
    made = session.Session(
        scene.sim.cluster, scene.world, scene.clock, scene.log, orders, WHO, "h1", "rollsafe recover"
    )
    return session.resume(made, plan, RUN, take_over=True)
