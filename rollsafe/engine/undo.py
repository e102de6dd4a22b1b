"""What the claim tells of the nodes that were begun: how their members were found, and what there is to undo."""

from dataclasses import replace

from rollsafe.model.claim import ClaimRecord, FoundMember
from rollsafe.model.reading import Unread
from rollsafe.planner import put_back
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import RunState


def with_entry(record: ClaimRecord, node: str, members: tuple[FoundMember, ...]) -> dict[str, tuple[FoundMember, ...]]:
    """The entries with one more node. Those that are back keep what they were found to be, and nothing to undo."""
    closed = {n: tuple(replace(m, wrote=()) for m in entry) for n, entry in record.entries.items()}
    return {**closed, node: members}


def without_others(record: ClaimRecord, state: RunState, now: Readings) -> dict[str, tuple[FoundMember, ...]]:
    """The entries as `recover` needs them: what others have changed meanwhile is theirs, and nothing to undo."""

    def told(node: str, it: FoundMember) -> FoundMember:
        hand, seat = state.nodes.get(node), now.member(it.member)
        if hand is None or it.member not in hand.found or it.member in hand.in_doubt or isinstance(seat, Unread):
            return it
        return replace(it, wrote=()) if put_back.is_another(hand, it.member, seat.admin) else it

    return {node: tuple(told(node, it) for it in entry) for node, entry in record.entries.items()}
