"""What the planner can answer. A decision is a value: somebody else performs it, and it can be printed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollsafe.model.reading import Found, Member
from rollsafe.model.verdict import Verdict


@dataclass(frozen=True, slots=True)
class MemberWrite:
    """One write that is due now, and why."""

    member: Member
    to: Found
    why: str


@dataclass(frozen=True, slots=True)
class BeginNode:
    """Take the next node in hand: its members are read, and the claim says so, before anything is written."""

    node: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class WriteMembers:
    """Tell the balancers; the claim is read once before all of these. `taking_out`: it needs our claim everywhere."""

    node: str
    writes: tuple[MemberWrite, ...]
    taking_out: bool


@dataclass(frozen=True, slots=True)
class StartStep:
    """A step begins."""

    node: str
    step: str
    service: str | None = None


@dataclass(frozen=True, slots=True)
class FinishStep:
    """A step has ended."""

    node: str
    step: str
    service: str | None = None
    outcome: str = "done"
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestartNode:
    """The one irreversible act. `verdicts` are the gates, asked again on fresh readings."""

    node: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True)
class ProveRestart:
    """The identity has changed."""

    node: str
    identity: str


@dataclass(frozen=True, slots=True)
class GiveUpRestart:
    """Fence the restart off (raise the claim's revision on the node), so that it can't run any more."""

    node: str
    reason: str
    job: bool = False  # systemd has it in hand: no fence stops that, so that the node must stay out


@dataclass(frozen=True, slots=True)
class HaltRun:
    """Begin no other node; bring the node in hand into the safest reachable state."""

    reason: str
    remedy: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class FinishNode:
    """The node is no longer in hand."""

    node: str
    outcome: str  # restarted, put back, left out


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now. `left_s` until the wait gives up; `next_s` until it may be over; `quick`: look again soon."""

    reason: str
    node: str | None = None
    service: str | None = None
    step: str | None = None
    left_s: float | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)
    verdicts: tuple[Verdict, ...] = ()
    quick: bool = False
    next_s: float | None = None


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over."""


Decision = (
    BeginNode
    | WriteMembers
    | StartStep
    | FinishStep
    | RestartNode
    | ProveRestart
    | GiveUpRestart
    | HaltRun
    | FinishNode
    | Wait
    | Finished
)
