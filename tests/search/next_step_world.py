"""A small abstract cluster with whole seconds: what is true, beside what an operator can read of it.

Two balancers stand in front of a few nodes. Everything that can happen to them is an event. The world keeps account of
what our hand did, so that the invariants are judged by what is true and never by what the planner believes.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache

from rollsafe.model.cluster import Idle, MinReady, Policy
from rollsafe.model.plan import Plan, PlannedNode, PlannedService, PlannedStep
from rollsafe.model.reading import AdminState, Check, HealthReading, Member, PoolReading, SeatReading, Unread
from rollsafe.planner.readings import PoolKey

READY, DRAIN, MAINT = AdminState.READY, AdminState.DRAIN, AdminState.MAINT
START = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)
DEAD, FOR_EVER = -1, 99
SCIM_DRAIN_S = 4
OLD = 50  # seconds: older than every limit here
POLICY = Policy(
    healthy_for_s=2, soak_s=1, start_timeout_s=5, gate_timeout_s=3, put_back_timeout_s=5, poll_s=1
)  # every limit is a few looks long


class Broken(AssertionError):
    """An invariant does not hold in the world."""


@dataclass(frozen=True)
class Shape:
    """The size of a world."""

    nodes: int = 2
    scim_endpoints: int = 1
    window_s: int | None = None  # the run must be over so many seconds after its start
    checked: bool = True  # do the balancers check their members?

    def plan(self) -> Plan:
        """The plan of restarting every node of it."""
        names = "abcd"[: self.nodes]
        services = (
            PlannedService("scim", Idle.REQUIRED, SCIM_DRAIN_S, 0, MinReady()),
            PlannedService("web", Idle.PREFERRED, 2, 1, MinReady()),
        )
        places = [("scim", "sb", f"s{i}") for i in range(self.scim_endpoints)] + [("web", "wb", "w0")]
        members = tuple(Member(n, s, b, e, s, n) for s, b, e in places for n in names)
        until = None if self.window_s is None else (START + timedelta(seconds=self.window_s)).isoformat()
        return Plan(
            "c",
            tuple(PlannedNode(n, 5, 3) for n in names),
            tuple(names),
            services,
            members,
            tuple(PlannedStep(s) for s in ("drain", "restart", "healthy", "ready", "soak")),
            POLICY,
            until=until,
            node_estimate_s=20.0,
        )


@dataclass(frozen=True)
class Claim:
    """The claim on every node at once (its protocol is searched elsewhere)."""

    holder: int
    in_hand: str | None
    epoch: int = 1
    entries: tuple[tuple[str, tuple[tuple[Member, AdminState, tuple[str, ...]], ...]], ...] = ()


@dataclass(frozen=True)
class Job:
    """A restart command on a node. `left_s` until it is over; None: it was sent and has not landed yet."""

    outcome: str  # well, fails, same, never up
    landed: bool = False
    over: bool = False


class World:
    """All that is true. Copied for each step of the search."""

    __slots__ = (
        "active",
        "admin",
        "begun",
        "claim",
        "cut",
        "dark",
        "hidden",
        "identity",
        "jobs",
        "muted",
        "ours",
        "persons",
        "plan",
        "process",
        "reloaded_s",
        "rising",
        "shape",
        "stopped",
        "t",
        "up_in",
        "up_since",
    )

    def __init__(self, shape: Shape, plan: Plan) -> None:
        self.shape, self.plan, self.t = shape, plan, 0
        services = [(n, s.name) for n in plan.all_nodes for s in plan.services]
        keys = sorted({key_of(m) for m in plan.members})
        self.admin: dict[Member, AdminState] = dict.fromkeys(plan.members, READY)
        self.rising: dict[Member, int] = dict.fromkeys(plan.members, 0)
        self.up_in: dict[tuple[str, str], int] = dict.fromkeys(services, 0)
        self.up_since: dict[tuple[str, str], int] = dict.fromkeys(services, -OLD)
        self.active: dict[tuple[str, str], int] = dict.fromkeys(services, 0)
        self.hidden: dict[tuple[str, str], int] = dict.fromkeys(services, 0)  # an old balancer process carries them
        self.process: dict[PoolKey, int] = dict.fromkeys(keys, 1)
        self.reloaded_s: dict[PoolKey, int] = dict.fromkeys(keys, -OLD)
        self.identity: dict[str, int] = dict.fromkeys(plan.all_nodes, 1)
        self.jobs: dict[str, Job] = {}
        self.muted: frozenset[PoolKey] = frozenset()
        self.cut: frozenset[str] = frozenset()  # nodes that SSH does not reach
        self.claim: Claim | None = None
        # the account of what our hand did
        self.ours: dict[Member, AdminState] = {}  # members that our last write left in another state than found
        self.begun: dict[Member, AdminState] = {}  # what members were when their node was begun
        self.persons: frozenset[Member] = frozenset()  # members that others touched since
        self.stopped: frozenset[str] = frozenset()  # nodes that we stopped, until they are up again
        self.dark = 0  # seconds for which a service was dark though putting back an untouched node would light it

    def copy(self) -> "World":
        """The same world once more, to go another way."""
        new = object.__new__(World)
        for name in World.__slots__:
            value = getattr(self, name)
            setattr(new, name, dict(value) if type(value) is dict else value)
        return new

    # --- what can be read --------------------------------------------------------------------------------------

    def up(self, node: str, service: str) -> bool:
        """Does the service of the node answer?"""
        return self.up_in[node, service] == 0

    def check(self, member: Member) -> Check:
        """What the balancer's own check says."""
        if not self.shape.checked:
            return Check.NOT_CHECKED
        if not self.up(member.node, member.service):
            return Check.DOWN
        return Check.RISING if self.rising[member] else Check.UP

    def pools(self) -> dict[PoolKey, PoolReading | Unread]:
        """Every pool, as its endpoint shows it."""
        pools: dict[PoolKey, PoolReading | Unread] = {}
        for key, process in self.process.items():
            if key in self.muted:
                pools[key] = Unread("refused")
                continue
            rows = tuple(
                _seat(m.seat, self.admin[m], self.check(m), self._shown_active(m))
                for m in self.plan.members
                if key_of(m) == key
            )
            pools[key] = PoolReading(key[2], rows, str(process), float(self.t - self.reloaded_s[key]))
        return pools

    def _shown_active(self, member: Member) -> int:
        busy = self.active[member.node, member.service] > 0 and member.endpoint in ("s0", "w0")
        return 1 if busy else 0

    def health(self) -> dict[tuple[str, str], HealthReading]:
        """Every service of every node by our own check."""
        return {pair: _health(*pair, left == 0) for pair, left in self.up_in.items()}

    def wall(self) -> datetime:
        """Wall time."""
        return START + timedelta(seconds=self.t)

    # --- what is true ------------------------------------------------------------------------------------------

    def serves(self, member: Member) -> bool:
        """Do clients reach the member?"""
        blind = not self.shape.checked
        return (
            self.admin[member] is READY
            and self.up(member.node, member.service)
            and (blind or self.check(member) is Check.UP)
        )

    def others_serve(self, member: Member) -> int:
        """How many other members of the same pool on the same endpoint clients reach."""
        key = key_of(member)
        return sum(1 for m in self.plan.members if key_of(m) == key and m.node != member.node and self.serves(m))

    def tick(self) -> None:
        """One second passes."""
        self.t += 1
        for pair, left in self.up_in.items():
            if left > 0:
                self.up_in[pair] = left - 1
                if left == 1:
                    self.up_since[pair] = self.t
        for counts in (self.active, self.hidden):
            for pair, left in counts.items():
                if 0 < left < FOR_EVER:
                    counts[pair] = left - 1
        for member, left in self.rising.items():
            if left and self.up(member.node, member.service):
                self.rising[member] = left - 1
        for node, job in self.jobs.items():
            self.jobs[node] = replace(job, over=True) if job.landed else job
        self.stopped = frozenset(n for n in self.stopped if not self._all_up(n))
        self._count_dark()

    def _all_up(self, node: str) -> bool:
        return all(self.up(node, s.name) for s in self.plan.services)

    def _count_dark(self) -> None:
        """Is a service dark only because an untouched, healthy node is out by our hand?"""
        for member in self.ours:
            node_well = self.up(member.node, member.service) and member.node not in self.stopped
            heard = key_of(member) not in self.muted
            if heard and node_well and self.begun.get(member) is READY and not self.others_serve(member):
                self.dark += 1
                return
        self.dark = 0

    # --- what we do --------------------------------------------------------------------------------------------

    def write(self, member: Member, to: AdminState) -> None:
        """A write lands."""
        was = self.admin[member]
        if to.out and self.serves(member):
            self._others_suffice(member, "taken out")
        if was is MAINT and to is not MAINT:
            self.rising[member] = 1
        self.admin[member] = to
        if to is self.begun.get(member, READY):
            self.ours.pop(member, None)
        else:
            self.ours[member] = to
        if self.admin[member] is MAINT and member.service == "web":
            self.active[member.node, "web"] = min(self.active[member.node, "web"], 1)
        self._one_node_out()

    def _others_suffice(self, member: Member, what: str) -> None:
        serving, wanted = self.others_serve(member), len(self.plan.all_nodes) - 1
        if serving < wanted:
            raise Broken(f"I1: {member} was {what} while {serving} of {wanted} others serve")

    def _one_node_out(self) -> None:
        out = {m.node for m in self.ours} | set(self.stopped)
        if len(out) > 1:
            raise Broken(f"I2: {', '.join(sorted(out))} are out by our hand at once")

    def may_stop(self, node: str) -> None:
        """The restart is sent: I1 and I3 must hold at this moment."""
        for member in self.plan.members_of(node):
            if not self.admin[member].out:
                raise Broken(f"I3: {node} is stopped while {member} reads {self.admin[member].value}")
            self._others_suffice(member, "stopped")
        if self.active[node, "scim"] or self.hidden[node, "scim"]:
            raise Broken(f"I3: {node} is stopped with a SCIM request in flight")

    def land(self, node: str) -> None:
        """The restart command runs: the node goes down, and comes up, web first."""
        job = self.jobs[node]
        self.jobs[node] = replace(job, landed=True)
        if job.outcome in ("fails", "same"):
            return
        self.identity[node] += 1
        never = job.outcome == "never up"
        self.up_in[node, "web"], self.up_in[node, "scim"] = (DEAD, DEAD) if never else (1, 2)
        for service in ("web", "scim"):
            self.active[node, service] = self.hidden[node, service] = 0
        self.stopped |= {node}
        self._one_node_out()

    # --- what happens to it ------------------------------------------------------------------------------------

    def die(self, node: str, service: str | None = None) -> None:
        """A node, or one port of it, goes down by itself."""
        for s in self.plan.services:
            if service in (None, s.name):
                self.up_in[node, s.name] = DEAD
                self.active[node, s.name] = self.hidden[node, s.name] = 0

    def revive(self, node: str) -> None:
        """A node comes back by itself."""
        for s in self.plan.services:
            if self.up_in[node, s.name] == DEAD:
                self.up_in[node, s.name] = 1

    def person(self, node: str, service: str, to: AdminState) -> None:
        """Somebody else writes to the members of a node, on every endpoint."""
        for member in self.plan.members_of(node, service):
            self._others_hand(member, to)

    def _others_hand(self, member: Member, to: AdminState) -> None:
        if self.admin[member] is MAINT and to is not MAINT:
            self.rising[member] = 1
        self.admin[member] = to
        self.ours.pop(member, None)
        self.persons |= {member}

    def reload(self, key: PoolKey) -> None:
        """The balancer is reloaded: every mark is gone, and what was in flight goes on in an old process."""
        for member in self.plan.members:
            if key_of(member) == key:
                if self.admin[member] is not READY:
                    self._reset(member)
                pair = (member.node, member.service)
                if self.active[pair] and member.endpoint in ("s0", "w0"):
                    self.hidden[pair] = min(self.active[pair], SCIM_DRAIN_S)
                    self.active[pair] = 0
        self.process[key] += 1
        self.reloaded_s[key] = self.t

    def _reset(self, member: Member) -> None:
        self.admin[member] = READY
        self.ours.pop(member, None)
        if self.begun.get(member, READY) is not READY:
            self.persons |= {member}

    def busy(self, node: str, service: str, seconds: int) -> None:
        """A request is in flight for so long."""
        self.active[node, service] = seconds

    def heal(self) -> None:
        """Every fault stops; what people and we have written stays."""
        self.muted, self.cut = frozenset(), frozenset()
        for node in self.plan.all_nodes:
            self.revive(node)
        self.active = dict.fromkeys(self.active, 0)

    # --- one text for equal worlds -----------------------------------------------------------------------------

    def key(self) -> tuple[object, ...]:
        """Equal for worlds that can't be told apart any more; moments are told as ages, up to where they matter."""
        t = self.t
        return (
            tuple(self.admin.values()),
            tuple(self.rising.values()),
            tuple(self.up_in.values()),
            tuple(min(t - s, 2) for s in self.up_since.values()),
            tuple(self.active.values()),
            tuple(self.hidden.values()),
            tuple(self.process.values()),
            tuple(min(t - s, SCIM_DRAIN_S) for s in self.reloaded_s.values()),
            tuple(self.identity.values()),
            tuple(self.jobs.items()),
            self.muted,
            self.cut,
            self.claim,
            tuple(sorted(self.ours)),
            tuple(self.begun.items()),
            self.persons,
            self.stopped,
            self.dark,
            t if self.shape.window_s is not None else 0,
        )


def key_of(member: Member) -> PoolKey:
    """The pool on the endpoint in which a member sits."""
    return (member.balancer, member.endpoint, member.pool)


@cache
def _seat(seat: str, admin: AdminState, check: Check, active: int) -> SeatReading:
    return SeatReading(seat, admin, check, active)


@cache
def _health(node: str, service: str, healthy: bool) -> HealthReading:
    return HealthReading(node, service, healthy, "RUNNING" if healthy else "refused")
