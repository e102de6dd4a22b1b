"""What the world answered: readings, each with its evidence. Times are seconds on the run's own clock."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class AdminState(Enum):
    """What people told the balancer about a member."""

    READY = "ready"
    DRAIN = "drain"  # no new clients, sticky ones stay
    MAINT = "maint"  # nobody

    @property
    def out(self) -> bool:
        """Is the member kept from new clients?"""
        return self is not AdminState.READY


class Check(Enum):
    """What the balancer's own check says of a member."""

    UP = "up"
    DOWN = "down"
    RISING = "rising"  # on its way up or down: neither yet (HAProxy's `UP 1/2`), or not checked since maint
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """One node's seat in one pool on one endpoint of one balancer. `seat` is the balancer's own name for it."""

    node: str
    service: str
    balancer: str
    endpoint: str
    pool: str
    seat: str

    def __str__(self) -> str:
        return f"{self.service} of {self.node} ({self.pool}/{self.seat} on {self.endpoint})"

    @property
    def pool_key(self) -> tuple[str, str, str]:
        """The pool that it sits in: balancer, endpoint, pool."""
        return self.balancer, self.endpoint, self.pool

    @property
    def place(self) -> dict[str, str]:
        """Where it is, as each event says it: node, service, balancer, endpoint."""
        return {"node": self.node, "service": self.service, "balancer": self.balancer, "endpoint": self.endpoint}


@dataclass(frozen=True, slots=True)
class Found:
    """The state in which a member was found, with what the driver needs to restore exactly that."""

    admin: AdminState
    restore: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeatReading:
    """One seat of a pool as one endpoint shows it."""

    seat: str
    admin: AdminState
    check: Check
    active: int | None  # requests (or connections, see `counts`) in flight; None: the product does not say
    address: str | None = None  # host:port
    total: int | None = None  # requests since the balancer started
    counts: str = "requests"  # or "connections", in TCP mode
    raw: str = ""  # the product's own words, for people
    restore: Mapping[str, str] = field(default_factory=dict)  # for Found
    inherited: str | None = None  # the state comes from elsewhere: who must be driven instead
    unused: str = ""  # why no new client is sent there, though it is ready and up (HAProxy: weight 0)

    @property
    def found(self) -> Found:
        """This state, as something to go back to."""
        return Found(self.admin, self.restore)


@dataclass(frozen=True, slots=True)
class PoolReading:
    """All seats of one pool on one endpoint, read at one moment.

    `process` names the balancer process that answered (HAProxy: its pid); `uptime_s` is its age. A new process
    does not count the requests that an old one still carries. `pinned`: clients are kept on their member (by a cookie
    or a table), and so get into it while it is drained. `took_s`: how long the answer took,
    as the engine measured it.
    """

    pool: str
    seats: tuple[SeatReading, ...]
    process: str | None = None
    uptime_s: float | None = None
    pinned: bool = False
    took_s: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """A question that got no answer, and why."""

    reason: str
    for_good: bool = False  # there is nobody to ask, so that waiting for the answer does not help
    no_member: bool = False  # the pool was read, and has no such member any more: somebody took it out


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a check or a probe saw."""

    status: int | None = None
    excerpt: str = ""  # of the body, at most 200 characters
    latency_s: float | None = None
    detail: str = ""  # refused, reset, timed out, TLS …


@dataclass(frozen=True, slots=True)
class HealthReading:
    """What a service's own check on the node says. `state` is the product's word where it has one."""

    node: str
    service: str
    healthy: bool
    state: str  # RUNNING, STARTING, MAINTENANCE, ERROR, "refused", "timed out", "not SCIM" …
    progress: bool = False  # not healthy yet, but on its way (STARTING, MAINTENANCE)
    evidence: Evidence = Evidence()


@dataclass(frozen=True, slots=True)
class IdentityReading:
    """Which incarnation of the node's JVM runs. Another `identity` after a restart is the proof of it."""

    identity: str | None  # None: there is none just now (stopped, or the proof's file is not there yet)
    job: bool = False  # a stop or start is under way (a pending systemd job)
    state: str = ""  # active, failed …
    uptime_s: float | None = None  # seconds since the node booted, by its own clock, when it answered; None: untold
    ours: bool = False  # the command of our own restart still runs there
    was: str | None = None  # what was read a moment before, where it was read twice, and differs each time
    lacks: str = ""  # why there is none, for people


@dataclass(frozen=True, slots=True)
class RestartReading:
    """How far a restart that was begun has come."""

    finished: bool
    exit_status: int | None = None
    output: str = ""  # bounded tail of its output, for people
    begun: bool = True  # False: the node answered, and knows of none that was begun


@dataclass(frozen=True, slots=True)
class ProbeSample:
    """One request through the balancer. `at_s` is when it was due, `started_s` when it was really sent."""

    service: str
    name: str
    at_s: float
    started_s: float
    good: bool
    latency_s: float
    evidence: Evidence = Evidence()
    node: str | None = None  # the node that answered, where a header names it


@dataclass(frozen=True, slots=True)
class ProbeSummary:
    """What the probe of one service has seen so far in this run."""

    service: str
    name: str
    probes: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    most_failed_in_a_row: int = 0  # of the whole run
    rejected: int = 0  # of the failed: answers that tell an identity provider that its job is wrong
    outage_s: float = 0.0  # of the outage going on, 0 when there is none
    ended_outage_s: float = 0.0  # of the last outage that is over
    longest_outage_s: float = 0.0
    late_s: float = 0.0  # the worst delay between due and sent: how well the rhythm was kept
    missed: int = 0  # turns that were due and never sent, because the prober stalled
    unread_for_s: float = 0.0  # how long ago the last sample ended: a stalled prober is no success
    last: ProbeSample | None = None
