"""What a member was last seen in, for an ending that can't ask it any more."""

from rollsafe.model.reading import AdminState, Member
from rollsafe.planner.put_back import is_another
from rollsafe.planner.readings import Watch
from rollsafe.planner.state import NodeState


def last_known(node: NodeState, member: Member, watch: Watch) -> AdminState | None:
    """Its last state: our own write that was read back, or a look that came after it (a reload may have wiped the
    write). None where it was never read."""
    read = watch.read.get(member)
    if read is not None and read[1] > node.last_seen_s.get(member, float("-inf")):
        return read[0]
    return node.last_seen.get(member)


def as_left(node: NodeState, member: Member, admin: AdminState | None) -> bool:
    """Is it as a person left it, because `ready` by hand came to no write?"""
    untouched = member not in node.last_seen and member not in node.in_doubt
    return untouched and admin is not None and node.read.get(member) is admin


def out_by_us(node: NodeState, member: Member, admin: AdminState | None) -> bool:
    """Was a member out by our hand when it was last known? A write of ours without an answer may have put it back."""
    if admin is None or not admin.out:
        return False
    found_out = node.found[member].admin.out
    return not found_out and not as_left(node, member, admin) and not is_another(node, member, admin)
