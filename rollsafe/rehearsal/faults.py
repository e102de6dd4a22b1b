"""What can go wrong with a call over a port, and how a driver would tell it.

Every way is a sentence of the kind that real drivers raise, with the `effect` that they would give it, and the truth
beside it: was the thing done or not?
"""

from dataclasses import dataclass
from enum import Enum

from rollsafe.errors import Effect


class Crash(BaseException):
    """The operator's process is gone (SIGKILL, power, a runner that vanished). Nothing may catch this."""


class Endless(BaseException):
    """A command goes on and on, in simulated time or in calls. Nothing may catch this but the player."""


class Way(Enum):
    """How one call fails."""

    REFUSED = "refused"
    RESET = "reset"
    TIMEOUT_BEFORE = "time-out before the effect"
    TIMEOUT_AFTER = "time-out after the effect"
    UNAUTHORIZED = "401"
    NOT_FOUND = "404"
    CONFLICT = "409"
    SERVER_ERROR = "5xx"
    GARBAGE = "garbage"
    SLOW = "slow"
    LATE = "time-out, and the effect later"


SINGLE_WAYS = tuple(way for way in Way if way is not Way.LATE)


@dataclass(frozen=True, slots=True)
class Told:
    """What a way does, and what the caller is told. `waits` is a part of the call's own time limit."""

    done: bool
    effect: Effect | None  # None: no error at all
    waits: float
    words: str


TOLD: dict[Way, Told] = {
    Way.REFUSED: Told(False, Effect.NONE, 0.0, "connection refused"),
    Way.RESET: Told(False, Effect.UNKNOWN, 0.0, "connection reset by peer"),
    Way.TIMEOUT_BEFORE: Told(False, Effect.UNKNOWN, 1.0, "no answer in time"),
    Way.TIMEOUT_AFTER: Told(True, Effect.UNKNOWN, 1.0, "no answer in time"),
    Way.UNAUTHORIZED: Told(False, Effect.NONE, 0.0, "401: the user or password is wrong"),
    Way.NOT_FOUND: Told(False, Effect.NONE, 0.0, "404: there is no such thing"),
    Way.CONFLICT: Told(False, Effect.NONE, 0.0, "409: somebody else is changing it"),
    Way.SERVER_ERROR: Told(False, Effect.UNKNOWN, 0.0, "503: the server failed"),
    Way.GARBAGE: Told(True, Effect.UNKNOWN, 0.0, "the answer makes no sense"),
    Way.SLOW: Told(True, None, 0.8, ""),
    Way.LATE: Told(False, Effect.UNKNOWN, 1.0, "no answer in time"),
}


@dataclass(slots=True)
class Fault:
    """One fault of one operator's calls: from the `at`-th call on (counted from 1), of any call that `site` begins.

    `times` is how many such calls fail; a large number is a thing that stays broken. With `every` only each n-th of
    them does, the last of n: a thing that comes and goes.
    """

    way: Way
    at: int = 1
    site: str = ""
    times: int = 1
    every: int = 1
    met: int = 0

    def strikes(self, index: int, site: str) -> bool:
        """Does this call fail? Uses the fault up."""
        if self.times <= 0 or index < self.at or not site.startswith(self.site):
            return False
        self.met += 1
        if self.met % self.every:
            return False
        self.times -= 1
        return True


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where the process dies: before or after its n-th journal record, or its n-th effect over a port (from 1)."""

    kind: str  # record, effect
    index: int
    after: bool

    def __str__(self) -> str:
        return f"{'after' if self.after else 'before'} {self.kind} {self.index}"
