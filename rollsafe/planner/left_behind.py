"""What a dead run left out of service, by what its claim tells and the balancers show."""

from collections.abc import Mapping, Sequence

from rollsafe.model.claim import FoundMember
from rollsafe.model.reading import AdminState, SeatReading, Unread
from rollsafe.planner.readings import Readings
from rollsafe.planner.watch import serves

Entries = Mapping[str, Sequence[FoundMember]]  # of a claim: for each node that was begun, how its members were found


def left_behind(entries: Entries, now: Readings) -> list[dict[str, str]]:
    """Members that read as the dead run may have written them, and not as it found them."""
    left = []
    for told in (told for entry in entries.values() for told in entry):
        seat = now.member(told.member)
        if isinstance(seat, SeatReading) and seat.admin is not told.found.admin and seat.admin.value in told.wrote:
            left.append({**told.member.place, "state": seat.admin.value})
    return left


def silent(entries: Entries, now: Readings) -> list[str]:
    """Members that the dead run may have written to, and that can't be read: they may be out as well."""
    told = [told.member for entry in entries.values() for told in entry if told.wrote]
    seats = {member: now.member(member) for member in told}
    unread = {member: seat for member, seat in seats.items() if isinstance(seat, Unread) and not seat.no_member}
    return [f"{member}: {seat.reason}" for member, seat in unread.items()]


def begun(entries: Entries, node_in_hand: str | None) -> tuple[str, ...]:
    """The nodes that a dead run may have written to, and that are not known to be back."""
    return tuple(n for n, entry in entries.items() if n == node_in_hand or any(told.wrote for told in entry))


def in_service(entry: Sequence[FoundMember], now: Readings) -> bool:
    """Does each member read as it was found, and serve where it was found ready? The node itself is not asked: one that
    a reload of its balancer put back while it was down fails the balancer's own check."""
    for told in entry:
        seat = now.member(told.member)
        if isinstance(seat, Unread) and seat.no_member:
            continue  # somebody took it out of its pool
        if not isinstance(seat, SeatReading) or seat.admin is not told.found.admin:
            return False
        if seat.admin is AdminState.READY and not serves(seat):
            return False
    return True
