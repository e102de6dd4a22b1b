"""The ports: everything the engine may touch, each as small as it can be. Implementations live elsewhere.

Every method is synchronous and bounded in time. It raises only the error that its port names, with `effect` telling
whether the call can have changed anything.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar, runtime_checkable

from rollsafe.model.claim import ClaimRecord, Token
from rollsafe.model.reading import (
    Found,
    HealthReading,
    IdentityReading,
    PoolReading,
    ProbeSample,
    ProbeSummary,
    RestartReading,
)
from rollsafe.model.record import Record

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Balancer(Protocol):
    """One endpoint of one balancer. Drivers translate every failure into BalancerError, and never wait or decide."""

    def read(self, pool: str) -> PoolReading:
        """All seats of the pool, read now. An unknown pool is a BalancerError that lists the pools there are."""

    def write(self, pool: str, seat: str, to: Found, *, within_s: float = math.inf) -> None:
        """Tell the balancer the seat's admin state. Returning proves nothing: the caller reads again.

        Nothing is sent later than `within_s` from now: by then another run may have taken the claim over.
        `to.restore` holds what a former reading said is needed to go back to exactly that state (empty otherwise).
        """


@runtime_checkable
class MayWrite(Protocol):
    """A balancer that can be asked, without a write, whether it would take one."""

    def may_write(self) -> bool:
        """False: it does not tell. Raises MayOnlyLook where it would not, with what to change."""


class ClaimFile(Protocol):
    """The claim on one node. Every change happens under the node's lock. Raises ClaimError."""

    def read(self) -> ClaimRecord | None:
        """The claim as it is now; None where there is none. A file that makes no sense is a ClaimError."""

    def create(self, record: ClaimRecord) -> bool:
        """Make the claim where there is none (atomic). False: there is one already."""

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        """Where the claim there carries `expected`, replace it (None: remove it). False: it carries another, or none.

        Never makes a missing file.
        """


class Restarter(Protocol):
    """Restarts one node's JVM. Raises ShellError."""

    def identity(self, *, again_s: float | None = None) -> IdentityReading:
        """Which incarnation runs now. `again_s`: where it is what a command prints, it is read again after so long, to
        see whether it stays the same.
        """

    def begin(self, token: Token, *, until_s: float | None = None) -> bool:
        """Start the restart if the node's claim carries `token` (compared and done under its lock); do not wait for
        its end: it outlives this connection. False: the claim carries another token, and nothing was done.

        `until_s`: past this uptime of the node the order comes too late, and nothing is done (an error, effect NONE).
        """

    def progress(self) -> RestartReading:
        """How far the restart begun last has come."""

    def let_go(self) -> None:
        """The restart is proven, and its command does not end: give up the lock that it holds, and leave it alone."""

    def end(self) -> bool:
        """End a command that did not restart the node in its time. False: it runs all the same, and may still do so."""


class HealthCheck(Protocol):
    """One check of one service on one node, asked of the node itself. Never raises: no answer is a reading."""

    def check(self) -> HealthReading:
        """Ask now."""


class Probe(Protocol):
    """One request through a balancer, as a client sends it. Never raises: no answer is a sample."""

    def ask(self) -> ProbeSample:
        """Ask now (`at_s` and `started_s` on the monotonic clock)."""


class ProbeWatch(Protocol):
    """All probes, asked in their own rhythm for the whole run, where no other wait can stall them."""

    def start(self) -> None:
        """Begin asking."""

    def summaries(self) -> tuple[ProbeSummary, ...]:
        """What was seen so far, one for each probe."""

    def stop(self) -> None:
        """Stop asking."""


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Wall time, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Pass the time; may end early when the run is asked to stop."""


class JournalWriter(Protocol):
    """The durable record of one run. Raises JournalError."""

    def append(self, record: Record) -> None:
        """Returns only when the record is on disk. After an error the same record may be appended again."""


class Listener(Protocol):
    """Hears every record after it is durable. Never raises, never changes anything."""

    def hear(self, record: Record) -> None:
        """One record."""


class Gather(Protocol):
    """Runs questions side by side, none of which may raise."""

    def __call__(self, questions: Mapping[K, Callable[[], T]], within_s: float) -> dict[K, T]:
        """The answers that came within `within_s`, by key.

        A question that is still under way is not asked a second time: its answer comes with a later call that has
        the same key.
        """


class Heart(Protocol):
    """Calls the claim's beat in its own rhythm, whatever else goes on."""

    def start(self, beat: Callable[[], None], every_s: float) -> None:
        """Begin to call `beat` every so many seconds. `beat` never raises."""

    def stop(self) -> None:
        """No call of `beat` begins any more."""


@dataclass(frozen=True, slots=True)
class World:
    """Every port of one cluster, wired. Made by assembly for a real run, by rehearsal for a simulated one."""

    balancers: Mapping[tuple[str, str], Balancer]  # (balancer, endpoint url)
    claims: Mapping[str, ClaimFile]  # node
    restarters: Mapping[str, Restarter]  # node
    checks: Mapping[tuple[str, str], Sequence[HealthCheck]]  # (node, service): all must hold
    probes: Sequence[Probe]
    watch: ProbeWatch
    clock: Clock
    gather: Gather
    heart: Heart
    elsewhere: Mapping[str, ClaimFile] = field(default_factory=dict)  # claims that excluded nodes may carry
    rights: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # node -> raises PortError where one lacks
