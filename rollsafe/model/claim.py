"""The claim: the run's mark on every node. Lock, undo record, and a number that only grows."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rollsafe.model.reading import Found, Member


@dataclass(frozen=True, slots=True)
class Token:
    """The four words that every change of a claim compares first. Words hold only A-Z a-z 0-9 . _ -"""

    run: str
    epoch: int
    holder: str
    revision: int


@dataclass(frozen=True, slots=True)
class Who:
    """Who holds a claim, from where, since when, and why."""

    who: str
    host: str
    pid: int
    since: str  # RFC 3339, UTC
    reason: str = ""
    url: str = ""  # a pipeline's job


@dataclass(frozen=True, slots=True)
class FoundMember:
    """A member and the state in which the run found it; `wrote` are the states that the run has set or may have."""

    member: Member
    found: Found
    wrote: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ClaimRecord:
    """What every copy of the claim holds, whole. `beat` only says that the holder lives."""

    cluster: str
    token: Token
    beat: int
    who: Who
    node_in_hand: str | None = None
    doing: str = ""
    done: bool = False  # nothing is left to do: the claim blocks nobody
    released: bool = False  # its holder has ended and does nothing more; what it left is in `entries`
    # for each node that was begun: the state in which each of its members was found
    entries: Mapping[str, tuple[FoundMember, ...]] = field(default_factory=dict)
    nodes: tuple[str, ...] = ()  # those that were to be claimed; an older rollsafe did not write them
    version: int = 1
