"""One server of one backend, as HAProxy 2.6 keeps it: what people told it, what its checks say, what it carries.

The rules were read off the real program (tests/lab/test_like_haproxy.py compares the two): health counts from 0 to
rise + fall - 1 and is up from `rise` on; leaving maint is optimistic (`UP 1/2`, at once, before any check); a drained
server whose check fails is `DOWN`.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FMAINT, FDRAIN = 0x01, 0x08  # bits of srv_admin_state
UNKNOWN, FAILED, PASSED = 0, 2, 3  # srv_check_result

# check_status: its number in `show servers state`, and its words in `show stat`
CHECKS = {
    "INI": (1, "Initializing"),
    "L4TOUT": (7, "Layer4 timeout"),
    "L4CON": (8, "Layer4 connection problem"),
    "L7TOUT": (12, "Layer7 timeout"),
    "L7RSP": (13, "Layer7 invalid response"),
    "L7OK": (15, "Layer7 check passed"),
    "L7STS": (17, "Layer7 wrong status"),
}


@dataclass(frozen=True)
class CheckOutcome:
    """What one check of a server saw."""

    status: str  # a key of CHECKS
    code: str = ""  # HTTP status
    detail: str = ""
    duration_ms: int = 0


@dataclass
class Seat:
    """A server. `rise` and `fall` as in HAProxy's configuration."""

    name: str
    host: str
    port: int
    sid: int
    cookie: str = ""
    rise: int = 2
    fall: int = 2
    admin: int = 0
    running: bool = True
    health: int = field(init=False)
    check: CheckOutcome = CheckOutcome("INI")
    result: int = UNKNOWN
    checking: bool = False
    changed: float = field(default_factory=time.monotonic)
    last_session: float | None = None
    failed_checks: int = 0
    downs: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # columns of `show stat` that only count

    def __post_init__(self) -> None:
        """A fresh server is up on trust."""
        self.health = self.rise

    # --- what people tell it ---

    def order(self, state: str) -> None:
        """`set server … state ready|drain|maint`."""
        if state == "maint":
            if not self.admin & FMAINT:
                self._change(running=False)
                self.admin, self.health = FMAINT, 0
            return
        wanted = FDRAIN if state == "drain" else 0
        if self.admin & FMAINT:
            self._change(running=True)
            self.health = self.rise
        elif wanted != self.admin:
            self.changed = time.monotonic()
        self.admin = wanted

    # --- what its checks say ---

    def learn(self, outcome: CheckOutcome) -> None:
        """The end of a check. One that ends while the server is in maint counts for nothing."""
        self.checking = False
        if self.admin & FMAINT:
            return
        self.check = outcome
        self.result = PASSED if outcome.status == "L7OK" else FAILED
        if self.result == PASSED:
            self._passed()
        else:
            self._failed()

    def _passed(self) -> None:
        top = self.rise + self.fall - 1
        self.health = self.health + 1 if self.health + 1 < self.rise else top
        if self.health == top and not self.running:
            self._change(running=True)

    def _failed(self) -> None:
        if self.health > 0:
            self.failed_checks += 1
        self.health = self.health - 1 if self.health > self.rise else 0
        if self.health == 0 and self.running:
            self._change(running=False)

    def _change(self, *, running: bool) -> None:
        if self.running and not running:
            self.downs += 1
        if self.running != running:
            self.changed = time.monotonic()
        self.running = running

    # --- what it shows ---

    @property
    def status(self) -> str:
        """The word of `show stat`."""
        if self.admin & FMAINT:
            return "MAINT"
        if not self.running:
            return "DOWN" if self.health == 0 else f"DOWN {self.health}/{self.rise}"
        word = "DRAIN" if self.admin & FDRAIN else "UP"
        full = self.health >= self.rise + self.fall - 1
        return word if full else f"{word} {self.health - self.rise + 1}/{self.fall}"

    @property
    def takes_new(self) -> bool:
        """Does it get clients that have no cookie of its own?"""
        return self.running and self.admin == 0

    @property
    def takes_sticky(self) -> bool:
        """Does it get clients that have its cookie? In drain it does."""
        return self.running and not self.admin & FMAINT

    # --- what it carries ---

    @contextmanager
    def carrying(self) -> Iterator[None]:
        """One request in flight."""
        self.count("scur")
        self.counts["smax"] = max(self.counts.get("smax", 0), self.counts["scur"])
        for column in ("stot", "lbtot", "req_tot"):
            self.count(column)
        self.last_session = time.monotonic()
        try:
            yield
        finally:
            self.count("scur", -1)

    def count(self, column: str, by: int = 1) -> None:
        """Add to a counter of `show stat`."""
        self.counts[column] = self.counts.get(column, 0) + by
