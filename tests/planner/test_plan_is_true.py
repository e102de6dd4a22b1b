"""`plan` is held to be true: in a run without faults the writes are exactly the plan's, in its order.

Among the members of one service the order is that of the balancers' own checks, which come when they come.
Clusters are generated. The run is the real planner and fold, stepped by hand: what is written is so at once, a node is
down for a while after its restart, and a balancer's check takes a moment after maint.
"""

from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from rollsafe.model.cluster import Idle, MinReady, Policy
from rollsafe.model.plan import Plan, PlannedNode, PlannedService
from rollsafe.model.reading import (
    AdminState,
    Check,
    Found,
    HealthReading,
    IdentityReading,
    Member,
    PoolReading,
    RestartReading,
    SeatReading,
)
from rollsafe.model.record import Record
from rollsafe.planner.decisions import (
    BeginNode,
    Decision,
    Finished,
    FinishNode,
    FinishStep,
    ProveRestart,
    RestartNode,
    StartStep,
    Wait,
    WriteMembers,
)
from rollsafe.planner.expand import fine_nodes, forecast
from rollsafe.planner.fold import advance, found_data, member_data
from rollsafe.planner.next_step import next_step
from rollsafe.planner.outcome import judge
from rollsafe.planner.readings import ClaimView, Ours, Readings, Watch
from rollsafe.planner.state import RunState
from rollsafe.planner.watch import observe
from tests.planner.scene import STEPS, WALL

READY, MAINT = AdminState.READY, AdminState.MAINT
POLICY = Policy(healthy_for_s=3, soak_s=2, gate_timeout_s=10, put_back_timeout_s=30)
TURNS = 3000


@dataclass(frozen=True)
class Place:
    """A service's pools: how many endpoints and pools, how it drains, and whether its balancer checks."""

    endpoints: int
    pools: int
    idle: Idle
    checked: bool
    busy: int  # looks for which each member has a request in flight


places = st.builds(
    Place,
    st.integers(1, 2),
    st.integers(1, 2),
    st.sampled_from(Idle),
    st.booleans(),
    st.integers(0, 4),
)


class Run:
    """A faultless world, and one run in it."""

    def __init__(self, plan: Plan, found: dict[Member, AdminState], places: list[Place]) -> None:
        self.plan, self.t, self.found = plan, 0, found
        self.place = dict(zip((s.name for s in plan.services), places, strict=True))
        self.admin, self.rising = dict(found), dict.fromkeys(found, 0)
        self.busy = {m: self.place[m.service].busy for m in found}
        self.down_until = dict.fromkeys(plan.all_nodes, 0)
        self.identity = dict.fromkeys(plan.all_nodes, 1)
        self.state, self.watch = RunState(), Watch()
        self.written: list[tuple[Member, Found]] = []

    def add(
        self, kind: str, node: str | None = None, service: str | None = None, /, **data: object
    ) -> None:  # a member's own words are called node and service, too
        self.state = advance(self.state, Record("r", 0, kind, "", self.t, "", node, service, data=data))

    def look(self) -> Readings:
        """One look, with its streaks."""
        keys = dict.fromkeys((m.balancer, m.endpoint, m.pool) for m in self.plan.members)
        pools = {key: PoolReading(key[2], tuple(self._seat(m) for m in self.found if key_of(m) == key)) for key in keys}
        health = {(n, s.name): self._health(n, s.name) for n in self.plan.all_nodes for s in self.plan.services}
        claims = {n: ClaimView(Ours.OURS) for n in self.plan.all_nodes}
        identity = IdentityReading(str(self.identity[self.state.in_hand])) if self.state.in_hand else None
        ended = RestartReading(finished=True, exit_status=0)
        now = Readings(self.t, WALL, pools, health, claims, self.t, ended, identity)
        self.watch = observe(self.plan, self.state, self.watch, now, gap="")
        return replace(now, watch=self.watch)

    def _seat(self, m: Member) -> SeatReading:
        up = Check.DOWN if self.down_until[m.node] > self.t else Check.RISING if self.rising[m] else Check.UP
        check = up if self.place[m.service].checked else Check.NOT_CHECKED
        return SeatReading(m.seat, self.admin[m], check, 1 if self.busy[m] else 0, restore={"was": self.found[m].value})

    def _health(self, node: str, service: str) -> HealthReading:
        up = self.down_until[node] <= self.t
        return HealthReading(node, service, up, "RUNNING" if up else "refused")

    def to_the_end(self) -> None:
        """Step until the planner says that it is over."""
        self.add("run.started", mode="run")
        self.add("claim.made", fine=fine_nodes(self.plan, self.look()))
        for _ in range(TURNS):
            decision = next_step(self.plan, self.state, now := self.look(), self.t)
            if isinstance(decision, Finished):
                return
            self.perform(decision, now)
        raise AssertionError(f"not over after {TURNS} turns: {decision}")

    def perform(self, decision: Decision, now: Readings) -> None:
        match decision:
            case Wait():
                assert all(v.allowed for v in decision.verdicts), decision
                self._tick()
            case BeginNode(node=node):
                found = [found_data(m, now.member(m).found) for m in self.plan.members_of(node)]  # type: ignore[union-attr]  # all are read
                self.add("node.started", node, found=found)
            case WriteMembers():
                for write in decision.writes:
                    self._write(write.member, write.to, taking_out=decision.taking_out)
            case RestartNode(node=node):
                self.add("restart.intent", node, identity_before=str(self.identity[node]))
                self.add("restart.begun", node)
                self.identity[node] += 1
                self.down_until[node] = self.t + 4
            case _:
                self._mark(decision)

    def _mark(self, decision: Decision) -> None:
        match decision:
            case StartStep():
                self.add("step.started", decision.node, decision.service, step=decision.step)
            case FinishStep():
                words = {"step": decision.step, "outcome": decision.outcome}
                self.add("step.finished", decision.node, decision.service, **words)
            case ProveRestart(node=node):
                self.add("restart.done", node)
            case FinishNode(node=node, outcome=outcome):
                self.add("node.finished", node, outcome=outcome)
            case _:
                raise AssertionError(f"no part of a faultless run: {decision}")

    def _write(self, member: Member, to: Found, *, taking_out: bool) -> None:
        words = {**member_data(member), "to": to.admin.value, "taking_out": taking_out}
        self.add("write.intent", member.node, member.service, **words)
        self.add("write.done", member.node, member.service, **words)
        if self.admin[member] is MAINT:
            self.rising[member] = 2
        self.admin[member] = to.admin
        self.written.append((member, to))

    def _tick(self) -> None:
        self.t += 1
        for counts in (self.rising, self.busy):
            for member, left in counts.items():
                out = counts is self.rising or self.admin[member].out
                counts[member] = left - 1 if left and out else left


def key_of(m: Member) -> tuple[str, str, str]:
    return (m.balancer, m.endpoint, m.pool)


def by_member(writes: list[tuple[Member, Found]]) -> dict[Member, list[Found]]:
    """The writes of each member, in their order."""
    return {member: [to for m, to in writes if m == member] for member, _ in writes}


def clusters(draw: st.DrawFn) -> tuple[Plan, dict[Member, AdminState], list[Place]]:
    """Two to five nodes, one to three services; some members were put aside by people, where the others suffice."""
    names = [f"n{i}" for i in range(draw(st.integers(2, 5)))]
    chosen = draw(st.lists(places, min_size=1, max_size=3))
    services = tuple(PlannedService(f"s{i}", p.idle, 20, 3, MinReady(count=1)) for i, p in enumerate(chosen))
    members = tuple(
        Member(node, f"s{i}", f"b{i}", f"e{i}{e}", f"p{i}{p}", node)
        for i, place in enumerate(chosen)
        for e in range(place.endpoints)
        for p in range(place.pools)
        for node in names
    )
    aside = draw(st.sampled_from([*names, None]))  # this node's members were touched by people
    found = {m: draw(st.sampled_from(AdminState)) if m.node == aside and len(names) > 2 else READY for m in members}
    selected = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    nodes = tuple(PlannedNode(n, 60, 30) for n in selected)
    return Plan("c", nodes, tuple(names), services, members, STEPS, POLICY), found, chosen


@settings(max_examples=60, deadline=None)
@given(st.composite(clusters)())
def test_a_faultless_run_writes_exactly_what_plan_said(generated):
    plan, found, chosen = generated
    run = Run(plan, found, chosen)
    told = forecast(plan, run.look())
    assert all(v.allowed for _, v in told.verdicts)
    run.to_the_end()
    planned = [(w.member, w.to) for w in told.writes]
    assert by_member(planned) == by_member(run.written)
    assert [(m.node, m.service) for m, _ in planned] == [(m.node, m.service) for m, _ in run.written]
    assert run.admin == found, "every member is as it was found"
    ending = judge(plan, run.state, run.look(), mend="recover", at_s=run.t)
    assert (ending.outcome, ending.exit_code) == ("done", 0)
    assert {n: v["outcome"] for n, v in ending.nodes.items()} == {n.name: "restarted" for n in plan.nodes}
