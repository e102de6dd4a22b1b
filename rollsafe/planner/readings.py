"""Everything that is seen at one moment, and the streaks that make a moment mean something."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum

from rollsafe.model.reading import (
    AdminState,
    HealthReading,
    IdentityReading,
    Member,
    PoolReading,
    RestartReading,
    SeatReading,
    Unread,
)

PoolKey = tuple[str, str, str]  # balancer, endpoint, pool


class Order(IntEnum):
    """What the person or the pipeline asked for while the run was going on. A later order outranks an earlier."""

    NONE = 0
    FINISH = 1  # put back or finish the node in hand; begin no other
    NOW = 2  # put back what was not stopped, leave the rest to `recover`, and end within 5 s


class Ours(Enum):
    """Whose claim a node carries."""

    OURS = "ours"
    OTHER = "another's"
    MISSING = "missing"
    UNREAD = "unread"


_NOT_READ = Unread("it was not read")


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A node's claim as this run sees it. `detail` is for people."""

    ours: Ours
    detail: str = ""
    of_another_run: bool = False  # one that began when this run was over for everybody


class Level(IntEnum):
    """How much of the probes' budget is spent."""

    FINE = 0
    HOLD = 1  # no other node is begun
    STOP = 2  # a node not yet stopped is put back at once, a stopped one as soon as it is healthy; then the end


@dataclass(frozen=True, slots=True)
class Budget:
    """What a probe's budget says, or that of the worst of them: the reason in numbers, and what would change it."""

    level: Level = Level.FINE
    reason: str = "no probe"
    remedy: str = ""
    over: bool = False  # a hold for what is past: the node in hand may be finished


@dataclass(frozen=True, slots=True)
class Watch:
    """Streaks over consecutive readings. A gap in time voids all of them. Times are run-clock seconds."""

    idle: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (node, service) -> readings with 0 active
    healthy_since: Mapping[str, float] = field(default_factory=dict)  # node
    ill_looks: Mapping[tuple[str, str], int] = field(
        default_factory=dict
    )  # (node, service) -> since it was last healthy
    calm_since: float | None = None  # every node that was fine is fine
    trouble_since: float | None = None  # the opposite
    unread_since: Mapping[PoolKey, float] = field(default_factory=dict)
    process: Mapping[PoolKey, str] = field(default_factory=dict)
    reloaded_at: Mapping[PoolKey, float] = field(default_factory=dict)  # a new balancer process was seen
    born_at: Mapping[PoolKey, float] = field(default_factory=dict)  # the process of a run's first look, by its uptime
    totals: Mapping[Member, int] = field(
        default_factory=dict
    )  # requests so far, of drained members of the node in hand
    counted: Mapping[PoolKey, Mapping[str, int]] = field(default_factory=dict)  # requests so far, by seat
    misses: Mapping[PoolKey, int] = field(default_factory=dict)  # looks in which it did not answer in time
    read: Mapping[Member, tuple[AdminState, float]] = field(default_factory=dict)  # what each one last read, and when
    seen_out: frozenset[Member] = frozenset()  # what was ever read to be out
    blind: tuple[tuple[float, float], ...] = ()  # gaps: (when it was looked again, for how long it was not)
    arrived: frozenset[tuple[str, str]] = frozenset()  # (node, service): a drained member got new requests all the same

    def seen_s(self, since_s: float, at_s: float) -> float:
        """For how long it was looked at the world since then: a clock that was set forward, or a process that stood
        still, gives a node no less time to start."""
        return at_s - since_s - sum(long_s for ended_s, long_s in self.blind if ended_s > since_s)


@dataclass(frozen=True, slots=True)
class Readings:
    """One look at the world. `at_s` is when the first question of the look was asked, on the run's clock."""

    at_s: float
    wall: datetime
    pools: Mapping[PoolKey, PoolReading | Unread]
    health: Mapping[tuple[str, str], HealthReading]
    claims: Mapping[str, ClaimView] = field(default_factory=dict)
    claims_at_s: float = -1e9
    restart: RestartReading | Unread | None = None  # of the node in hand, where it was asked
    identity: IdentityReading | Unread | None = None  # of the node in hand, where it was asked
    budget: Budget = Budget()
    order: Order = Order.NONE
    order_s: float = 0.0  # when the order came
    watch: Watch = Watch()

    def pinned(self, members: tuple[Member, ...]) -> bool:
        """Are clients kept on their member in a pool of these, so that a drained one still gets new requests?"""
        pools = [self.pools.get(m.pool_key) for m in members]
        return any(isinstance(pool, PoolReading) and pool.pinned for pool in pools)

    def member(self, member: Member) -> SeatReading | Unread:
        """What the endpoint says of one member."""
        pool = self.pools.get(member.pool_key, _NOT_READ)
        if isinstance(pool, Unread):
            return pool
        wanted = member.seat
        for seat in pool.seats:
            if seat.seat == wanted:
                return seat
        return Unread(f"{member.pool} on {member.endpoint} has no member {member.seat} any more", no_member=True)

    def healthy(self, node: str, services: tuple[str, ...]) -> bool:
        """Do all of these services of the node pass their own checks?"""
        return all((reading := self.health.get((node, s))) is not None and reading.healthy for s in services)


def claims_gone(now: Readings) -> bool:
    """Was every node asked for its claim, and has none? One of them alone may be a lost file; all of them are not."""
    return bool(now.claims) and all(view.ours is Ours.MISSING for view in now.claims.values())
