"""What happened so far, folded from the journal. There is no other memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rollsafe.model.reading import AdminState, Found, Member


class Restart(Enum):
    """How far the restart of a node has come."""

    NONE = "none"
    INTENT = "intent"  # recorded; whether it was sent is in doubt
    BEGUN = "begun"  # the node said that it began
    DONE = "done"  # its identity changed: the proof
    FAILED = "failed"  # given up, and fenced off: it can't run any more
    UNFENCED = "unfenced"  # given up, but it may still run: the node must stay out


@dataclass(frozen=True, slots=True)
class DrainState:
    """One service's drain on one node. Times are run-clock seconds."""

    started_s: float
    maint_s: float | None = None
    outcome: str | None = None  # drained, cut
    rounds: int = 1  # how often it was begun (a reload of the balancer wipes it)
    cut: int = 0  # requests in flight when the time was up, which the stop cut


RETRY_S = 2.0  # between writes to a member that failed; longer each time, up to
RETRY_AT_MOST_S = 10.0


@dataclass(frozen=True, slots=True)
class Failures:
    """Writes to one member that failed, running."""

    count: int
    last_s: float
    reason: str

    @property
    def again_s(self) -> float:
        """From when the write may be tried again."""
        return self.last_s + min(RETRY_S * self.count, RETRY_AT_MOST_S)


@dataclass(frozen=True, slots=True)
class NodeState:
    """One node that was begun."""

    name: str
    started_s: float
    found: Mapping[Member, Found]  # where each member goes back to
    read: Mapping[Member, AdminState] = field(default_factory=dict)  # what `ready` by hand found, which is to end
    wrote: Mapping[Member, frozenset[AdminState]] = field(default_factory=dict)
    last_seen: Mapping[Member, AdminState] = field(default_factory=dict)  # the last state of ours that was seen
    last_seen_s: Mapping[Member, float] = field(default_factory=dict)  # when
    in_doubt: Mapping[Member, AdminState] = field(default_factory=dict)  # an intent without an outcome
    failures: Mapping[Member, Failures] = field(default_factory=dict)
    # members whose last write failed: why, and when
    not_made_good: Mapping[Member, tuple[str, float]] = field(default_factory=dict)
    lifted: Mapping[Member, int] = field(default_factory=dict)  # how often a mark of ours that was seen was gone again
    drains: Mapping[str, DrainState] = field(default_factory=dict)
    counts_as_stopped: bool = False  # met by a takeover: nobody knows
    restart: Restart = Restart.NONE
    restart_s: float | None = None
    order_until_s: float | None = None  # the node's own uptime past which it does not obey the order any more
    restart_exit_s: float | None = None  # the command ended
    restart_attempts: int = 0
    restart_failure: str = ""
    identity_before: str | None = None
    healthy_started_s: float | None = None
    healthy_s: float | None = None
    ready_started_s: float | None = None
    ready_s: float | None = None
    soak_started_s: float | None = None
    soaked: bool = False
    gates_closed_s: float | None = None  # the gates before the restart have said no since
    out_s: float | None = None
    outcome: str | None = None

    @property
    def stopped(self) -> bool:
        """May the node have been stopped by us?"""
        return self.counts_as_stopped or self.restart is not Restart.NONE


@dataclass(frozen=True, slots=True)
class Halt:
    """Why a run begins no other node. `lost`: the claim is another's, so nothing may be written any more."""

    reason: str
    remedy: str = ""
    lost: bool = False


@dataclass(frozen=True, slots=True)
class RunState:
    """A run, folded from its records."""

    run: str = ""
    mode: str = "run"
    nodes: Mapping[str, NodeState] = field(default_factory=dict)  # those that were begun, in order
    in_hand: str | None = None
    halt: Halt | None = None
    gates_closed_s: float | None = None  # the gates of the next node have said no since
    claim_stuck_s: float | None = None  # the claim could not be changed for the next node since
    claim_stuck: str = ""  # why
    fine_at_start: frozenset[str] = frozenset()  # nodes that were in, up and healthy when the run began
    settled_s: float | None = None  # when the last node was finished, or the run was taken up again
    finished: bool = False
    epoch: int = 1  # of the claim that this journal knows of
    raised_by: frozenset[str] = frozenset()  # holders that raised it since, as this journal knows; others are strangers

    @property
    def hand(self) -> NodeState | None:
        """The node in hand."""
        return self.nodes[self.in_hand] if self.in_hand is not None else None
