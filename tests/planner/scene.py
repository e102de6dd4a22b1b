"""A planner's scene, told in few words: a plan, a look at the world that a test changes, and a story that is folded."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from rollsafe.model.cluster import Idle, MinReady, Policy
from rollsafe.model.plan import Plan, PlannedNode, PlannedService, PlannedStep
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
    Unread,
)
from rollsafe.model.record import Record
from rollsafe.planner.decisions import Decision
from rollsafe.planner.fold import advance, found_data, member_data
from rollsafe.planner.next_step import next_step
from rollsafe.planner.readings import Budget, ClaimView, Order, Ours, Readings, Watch
from rollsafe.planner.state import RunState
from rollsafe.planner.watch import observe

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT
STEPS = tuple(PlannedStep(name) for name in ("drain", "restart", "healthy", "ready", "soak"))
WALL = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
ENDPOINTS = {"scim": ("tcp://lb1:1", "tcp://lb2:1"), "web": ("tcp://lb3:1",)}
BALANCERS = {"scim": "scim-lb", "web": "web-lb"}
POLICY = Policy(healthy_for_s=10, soak_s=20, gate_timeout_s=60, put_back_timeout_s=100, poll_s=1)


def make_plan(
    names: str = "abc", selected: str | None = None, *, min_ready: MinReady | None = None, **more: Any
) -> Plan:
    """Nodes of one letter each; SCIM behind two endpoints (idle required), web behind one (idle preferred)."""
    policy = replace(POLICY, **{k: more.pop(k) for k in list(more) if k.endswith("_s") and hasattr(POLICY, k)})
    services = (
        PlannedService("scim", Idle.REQUIRED, 30, 0, min_ready or MinReady()),
        PlannedService("web", Idle.PREFERRED, 50, 15, min_ready or MinReady()),
    )
    members = tuple(
        Member(node, s, BALANCERS[s], endpoint, f"{s}-pool", node)
        for s in ("scim", "web")
        for endpoint in ENDPOINTS[s]
        for node in names
    )
    nodes = tuple(PlannedNode(n, 200, 80) for n in (selected if selected is not None else names))
    return Plan("c", nodes, tuple(names), services, members, STEPS, policy, **{"window": None, **more})


class Look:
    """Everything that is seen at one moment. Without changes all is well."""

    def __init__(self, plan: Plan, at_s: float = 100.0) -> None:
        self.plan = plan
        self.at_s = at_s
        self.seats: dict[Member, SeatReading] = {
            m: SeatReading(m.seat, READY, Check.UP, 0, raw="as told") for m in plan.members
        }
        self.silent: dict[tuple[str, str, str], str] = {}
        self.process: dict[tuple[str, str, str], str] = {}
        self.pinned: set[str] = set()  # services whose clients are kept on their member
        self.health = {
            (n, s.name): HealthReading(n, s.name, True, "RUNNING") for n in plan.all_nodes for s in plan.services
        }
        self.claims = {n: ClaimView(Ours.OURS) for n in plan.all_nodes}
        self.claims_at_s: float | None = None
        self.restart: RestartReading | Unread | None = None
        self.identity: IdentityReading | Unread | None = None
        self.budget = Budget()
        self.order, self.order_s = Order.NONE, 0.0
        self.watch = Watch()
        self.wall = WALL

    def member(self, node: str, service: str, endpoint: int = 0) -> Member:
        """One member."""
        return next(m for m in self.plan.members_of(node, service) if m.endpoint == ENDPOINTS[service][endpoint])

    def set(self, node: str, service: str | None = None, endpoint: int | None = None, **changes: Any) -> "Look":
        """Change seats of a node: of one service, of one endpoint, or all."""
        for m in self.plan.members_of(node, service):
            if endpoint is None or m.endpoint == ENDPOINTS[m.service][endpoint]:
                self.seats[m] = replace(self.seats[m], **changes)
        return self

    def mute(self, service: str, endpoint: int = 0, reason: str = "refused") -> "Look":
        """An endpoint does not answer."""
        self.silent[BALANCERS[service], ENDPOINTS[service][endpoint], f"{service}-pool"] = reason
        return self

    def ill(self, node: str, service: str | None = None, state: str = "refused") -> "Look":
        """A node's own checks fail."""
        for key in self.health:
            if key[0] == node and service in (None, key[1]):
                self.health[key] = replace(self.health[key], healthy=False, state=state)
        return self

    def well(self, node: str) -> "Look":
        """A node's own checks hold."""
        for key in self.health:
            if key[0] == node:
                self.health[key] = HealthReading(*key, True, "RUNNING")
        return self

    def now(self) -> Readings:
        """The readings."""
        pools: dict[tuple[str, str, str], PoolReading | Unread] = {}
        for m in self.plan.members:
            key = (m.balancer, m.endpoint, m.pool)
            if key in self.silent:
                pools[key] = Unread(self.silent[key])
            elif key not in pools:
                rows = [s for n, s in self.seats.items() if (n.balancer, n.endpoint, n.pool) == key]
                pools[key] = PoolReading(m.pool, tuple(rows), self.process.get(key), pinned=m.service in self.pinned)
        return Readings(
            self.at_s,
            self.wall,
            pools,
            dict(self.health),
            dict(self.claims),
            self.at_s if self.claims_at_s is None else self.claims_at_s,
            self.restart,
            self.identity,
            self.budget,
            self.order,
            self.order_s,
            self.watch,
        )


class Story:
    """What happened so far, as records; the state is what the real fold makes of them."""

    def __init__(self, look: Look, mode: str = "run", fine: str | None = None) -> None:
        self.look = look
        self.records: list[Record] = []
        self.state = RunState()
        self.add("run.started", mode=mode)
        self.add("claim.made", fine=list(fine if fine is not None else look.plan.all_nodes))

    def add(
        self,
        kind: str,
        node: str | None = None,
        service: str | None = None,
        message: str = "",
        *,
        more: dict[str, Any] | None = None,
        **data: Any,
    ) -> None:
        """One more record, at the look's moment."""
        record = Record(
            "r", len(self.records) + 1, kind, "", self.look.at_s, message, node, service, data={**(more or {}), **data}
        )
        self.records.append(record)
        self.state = advance(self.state, record)

    def begin(
        self, node: str, found: AdminState = READY, *, stopped: bool = False, wrote: tuple[str, ...] = ()
    ) -> "Story":
        """A node is taken in hand; `stopped`: as a takeover meets it."""
        rows = [{**found_data(m, Found(found)), "wrote": list(wrote)} for m in self.look.plan.members_of(node)]
        self.add("node.started", node, found=rows, counts_as_stopped=stopped)
        return self

    def wrote(self, member: Member, to: AdminState, *, done: bool = True, taking_out: bool = True) -> None:
        """A write's intent, and its outcome."""
        words = {**member_data(member), "to": to.value}
        self.add("write.intent", member.node, member.service, more=words, taking_out=taking_out)
        if done:
            self.add("write.done", member.node, member.service, more=words)
            self.look.seats[member] = replace(self.look.seats[member], admin=to)

    def failed(self, member: Member, to: AdminState, effect: str = "none") -> None:
        """A write that failed."""
        words = {**member_data(member), "to": to.value}
        self.add("write.intent", member.node, member.service, more=words, taking_out=to.out)
        self.add("write.failed", member.node, member.service, "refused", more=words, effect=effect)

    def drained(self, node: str = "a") -> "Story":
        """Begun, and every service drained, the least critical first; web is in maint."""
        if node not in self.state.nodes:
            self.begin(node)
        for service in ("web", "scim"):
            self.add("step.started", node, service, step="drain")
            for member in self.look.plan.members_of(node, service):
                self.wrote(member, DRAIN)
            if service == "web":
                self.add("step.started", node, service, step="maint")
                for member in self.look.plan.members_of(node, service):
                    self.wrote(member, MAINT)
            self.add("step.finished", node, service, step="drain", outcome="drained")
        return self

    def sent(self, node: str = "a", identity: str = "old") -> "Story":
        """Drained, and its restart began."""
        self.drained(node)
        self.add("restart.intent", node, identity_before=identity)
        self.add("restart.begun", node)
        return self

    def proven(self, node: str = "a") -> "Story":
        """Restarted, proven, and waiting for health."""
        self.sent(node)
        self.add("restart.done", node)
        self.add("step.started", node, step="healthy")
        return self

    def healthy(self, node: str = "a") -> "Story":
        """Proven, and healthy for long enough (the look's clock moves on)."""
        self.proven(node)
        self.look.watch = replace(self.look.watch, healthy_since={node: self.look.at_s})
        self.look.at_s += self.look.plan.policy.healthy_for_s
        self.add("step.finished", node, step="healthy", outcome="done")
        self.add("step.started", node, step="ready")
        return self

    def back(self, node: str = "a") -> "Story":
        """Put back."""
        self.healthy(node)
        for member in self.look.plan.members_of(node):
            self.wrote(member, READY, taking_out=False)
        self.add("step.finished", node, step="ready", outcome="done")
        return self

    def halt(self, reason: str = "because", **words: Any) -> "Story":
        """The run stops."""
        self.add("run.stopping", self.state.in_hand, None, reason, **words)
        return self


def scene(
    change: Callable[[Look, Story], object] | None = None, plan: Plan | None = None, **more: Any
) -> tuple[Look, Story]:
    """A look and a story; `change` sets them."""
    look = Look(plan or make_plan())
    story = Story(look, **more)
    if change is not None:
        change(look, story)
    return look, story


def decide(look: Look, story: Story, late_s: float = 0.0) -> Decision:
    """The real planner's answer. `late_s`: how old the readings are by now."""
    return next_step(look.plan, story.state, look.now(), look.at_s + late_s)


def look_again(look: Look, story: Story, seconds: float = 1.0, gap: str = "") -> None:
    """Time passes, and the streaks see one more look."""
    look.at_s += seconds
    look.watch = observe(look.plan, story.state, look.watch, look.now(), gap=gap, blind_s=seconds if gap else 0.0)
