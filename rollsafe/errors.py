"""Every failure that rollsafe speaks of, as one tree.

RollsafeError
├── InvalidInput            usage, inventory or playbook: nothing was touched (exit 2)
├── Refused                 a gate, a live claim, the window: nothing was touched (exit 10)
├── PortError               a call over a port failed; `effect` says whether it can have happened
│   ├── BalancerError       an admin API
│   ├── ShellError          SSH, or the command behind it
│   └── ClaimError          the claim file on a node
├── JournalError            a record could not be made durable, or a stored one is damaged
└── InvariantBroken         one of I1 to I10 does not hold: all writes stop

A text says what happened, on which node, what state it is in now, and what to type next.
"""

from enum import Enum


class Effect(Enum):
    """Can a call that failed have changed anything?"""

    NONE = "none"  # surely not: it was never sent, or it was refused
    UNKNOWN = "unknown"  # it was sent and no answer came: look before doing anything


class RollsafeError(Exception):
    """The root: a sentence for the person who reads it at night."""


class InvalidInput(RollsafeError):
    """Usage, inventory or playbook is wrong. `problems` holds one `FILE:LINE: path: sentence` each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Refused(RollsafeError):
    """Nothing was touched, and nothing will be until the reason is gone."""


class PortError(RollsafeError):
    """A call over a port failed. Drivers raise only this and its children."""

    def __init__(self, message: str, *, effect: Effect = Effect.UNKNOWN) -> None:
        super().__init__(message)
        self.effect = effect


class BalancerError(PortError):
    """A balancer's admin API refused, broke off, or answered something that makes no sense."""


class NoSuchPool(BalancerError):
    """The balancer answered that it has no pool of this name."""


class MayOnlyLook(BalancerError):
    """The balancer answered that it takes no writes from this user or over this socket."""


class ShellError(PortError):
    """SSH could not be reached, was refused, or the command failed or did not end in time."""


class ClaimError(PortError):
    """A claim file could not be read or changed (not: is another's, which is an answer)."""


class JournalError(RollsafeError):
    """A record could not be made durable, or a stored one is damaged."""


class InvariantBroken(RollsafeError):
    """One of I1 to I10 does not hold. A defect, or a world that changed in a way nobody thought of."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant
