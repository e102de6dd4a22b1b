"""Simulated balancer endpoints, after HAProxy: admin states that a reload forgets, checks with rise and fall, members
that are up at once when they leave maint, and a new process that does not count what an old one still carries.

Sources: HAProxy's management.txt and runs of HAProxy 2.6 (see docs/howto/haproxy.md).
"""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from rollsafe.model.reading import AdminState, Check, Found, PoolReading, SeatReading
from rollsafe.rehearsal.clock import Timeline
from rollsafe.rehearsal.nodes import SimNode

RISE = 2
FALL = 3
FULL = RISE + FALL - 1
INTER_S = 1.0
PERSON = "a person"
RELOAD = "a reload"
FOUND = "found"


@dataclass(slots=True)
class Request:
    """One request in flight to one node."""

    service: str
    node: str
    ends: float
    process: int


@dataclass(slots=True)
class SimSeat:
    """One member on one endpoint: the truth."""

    node: SimNode
    service: str
    pool: str
    seat: str
    address: str
    checked: bool
    admin: AdminState = AdminState.READY
    health: int = FULL
    up: bool = True
    total: int = 1000
    set_by: str = FOUND  # who set the admin state last
    theirs: set[AdminState] = field(default_factory=lambda: {AdminState.READY})  # as others than us have left it
    replaced: list[tuple[float, frozenset[AdminState]]] = field(default_factory=list)  # `theirs`, when a person came
    flying: list[Request] = field(default_factory=list)
    shown: SeatReading | None = None  # the last reading; it is the same one as long as nothing changes
    whose: tuple[str, str] = field(init=False)  # node, service

    def __post_init__(self) -> None:
        self.whose = self.node.name, self.service

    def takes_new(self) -> bool:
        """Would a new client be sent here?"""
        return self.admin is AdminState.READY and self.up

    def takes_sticky(self) -> bool:
        """Would a client who belongs here still be sent here?"""
        return self.admin is not AdminState.MAINT and self.up

    def run_check(self, *, answers: bool) -> None:
        """The balancer's own check, once."""
        if not self.checked or self.admin is AdminState.MAINT:
            return
        if answers:
            self.health = FULL if self.up else self.health + 1
            if self.health >= RISE:
                self.up, self.health = True, FULL
        elif self.up:
            self.health -= 1
            if self.health < RISE:
                self.up, self.health = False, 0
        else:
            self.health = 0

    def check(self) -> Check:
        """The check's result, as a driver translates it."""
        if not self.checked:
            return Check.NOT_CHECKED
        if self.admin is AdminState.MAINT:
            return Check.RISING
        if self.health == FULL:
            return Check.UP
        return Check.DOWN if self.health == 0 else Check.RISING

    def set_admin(self, admin: AdminState, by: str) -> None:
        """Change the admin state. Out of maint a member is up at once, before any check."""
        if self.admin is AdminState.MAINT and admin is not AdminState.MAINT and self.checked:
            self.up, self.health = True, RISE
        if by == PERSON:
            self.theirs = {admin}
        self.admin = admin
        self.set_by = by

    @property
    def out_by_us(self) -> bool:
        """Did rollsafe take it out, and has nobody put it back?"""
        return self.set_by not in (PERSON, RELOAD, FOUND) and self.admin not in self.theirs

    def active(self, now: float, process: int) -> int:
        """Requests in flight that this balancer process counts."""
        if not self.flying:
            return 0
        self.flying = [request for request in self.flying if request.ends > now]
        return sum(1 for request in self.flying if request.process == process)

    def read(self, now: float, process: int) -> SeatReading:
        """The seat as the admin API shows it."""
        check, active, shown = self.check(), self.active(now, process), self.shown
        if shown is not None and (shown.admin, shown.check, shown.active, shown.total) == (
            self.admin,
            check,
            active,
            self.total,
        ):
            return shown
        raw = f"{self.admin.value}, {check.value}"
        self.shown = SeatReading(self.seat, self.admin, check, active, self.address, self.total, raw=raw)
        return self.shown


@dataclass(slots=True)
class SimEndpoint:
    """One admin API address of one balancer, and the process behind it."""

    balancer: str
    url: str
    timeline: Timeline
    pools: dict[str, dict[str, SimSeat]]
    timeout_s: float = 5.0
    api: str = "ok"  # ok, refused, hangs: the admin API only
    serves: bool = True  # does it pass requests on?
    keeps_state: bool = False  # a state file survives a reload
    process: int = 1
    process_since: float = -86400.0
    on_change: Callable[["SimEndpoint", SimSeat, AdminState, str], None] = lambda _e, _s, _a, _b: None

    @property
    def key(self) -> tuple[str, str]:
        """As in World.balancers."""
        return self.balancer, self.url

    def seats(self) -> list[SimSeat]:
        """Every seat of every pool."""
        return [seat for pool in self.pools.values() for seat in pool.values()]

    def read(self, pool: str) -> PoolReading:
        """All seats of one pool. Raises KeyError where there is no such pool."""
        now = self.timeline.now
        seats = tuple(seat.read(now, self.process) for seat in self.pools[pool].values())
        return PoolReading(pool, seats, str(self.process), now - self.process_since)

    def set(self, pool: str, seat: str, admin: AdminState, by: str) -> None:
        """Somebody sets an admin state: `by` is an operator's name, or a person."""
        it = self.pools[pool][seat]
        before = it.admin
        it.set_admin(admin, by)
        self.on_change(self, it, before, by)

    def restore(self, pool: str, seat: str, to: Found, by: str) -> None:
        """A driver's write."""
        self.set(pool, seat, to.admin, by)

    def run_checks(self, answering: Container[tuple[str, str]]) -> None:
        """All checks, once; `answering` are the nodes' services that answer now."""
        for pool in self.pools.values():
            for seat in pool.values():
                seat.run_check(answers=seat.whose in answering)

    def reload(self) -> None:
        """A new process takes over: it knows nothing of admin states set by hand, and starts with everybody up."""
        self.process += 1
        self.process_since = self.timeline.now
        if self.keeps_state:
            return
        for seat in self.seats():
            before = seat.admin
            if seat.checked:
                seat.up, seat.health = True, RISE
            if before is not AdminState.READY:
                seat.admin, seat.set_by = AdminState.READY, RELOAD
                seat.theirs.add(AdminState.READY)
                self.on_change(self, seat, before, RELOAD)


Endpoints = Mapping[tuple[str, str], SimEndpoint]
