"""Is what an ending says true? Judged by the world, not by what was read."""

from rollsafe.model.reading import Member
from rollsafe.planner.outcome import Ending
from tests.search.next_step_operator import Operator
from tests.search.next_step_world import Broken, World, key_of


def judge_ending(world: World, operator: Operator, ending: Ending) -> None:
    """I8 and I9: the exit code, `left_out` and `others` are the truth."""
    lost = operator.state.halt is not None and operator.state.halt.lost
    if lost:
        if ending.exit_code not in (30, 40):
            raise Broken(f"I9: the claim was lost, and the exit code is {ending.exit_code}")
        return
    left = {(e["node"], e["service"], e["endpoint"]) for e in ending.left_out}
    others = {(e["node"], e["service"], e["endpoint"]) for e in ending.others}
    if left & others:
        raise Broken(f"I9: both left out and another's: {left & others}")
    for member in world.plan.members:
        _judge_member(world, member, ending, left, others)
    if ending.exit_code == 40 and not world.muted and operator.mode == "run":
        raise Broken(f"I9: exit 40, and everything can be read: {ending.message}")
    if ending.exit_code == 0 and operator.mode == "run":
        _all_restarted(world, ending)
    if ending.exit_code in (0, 20) and (world.ours or world.stopped):
        raise Broken(f"I9: exit {ending.exit_code}, and {world.ours or world.stopped} is out by our hand")


def _judge_member(
    world: World, member: Member, ending: Ending, left: set[tuple[str, str, str]], others: set[tuple[str, str, str]]
) -> None:
    me = (member.node, member.service, member.endpoint)
    muted = key_of(member) in world.muted
    unseen = any(text.startswith(f"{member.node} was not looked at") for text in ending.unread)
    if member in world.ours and not muted and me not in left and not unseen:
        raise Broken(
            f"I9: {member} is {world.ours[member].value} by our hand, exit {ending.exit_code} does not name it"
        )
    untouched = member not in world.ours and member not in world.persons
    if me in left and not muted and untouched and world.serves(member):
        raise Broken(f"I9: {member} is named as left out, and it is not: {ending.message}")
    out = world.admin[member].out or not world.up(member.node, member.service)
    if out and not muted and not unseen and me not in left and me not in others:
        raise Broken(f"I9: {member} is out, and nobody names it: {ending}")


def _all_restarted(world: World, ending: Ending) -> None:
    for node in world.plan.all_nodes:
        if world.identity[node] < 2:
            raise Broken(f"I9: exit 0, and {node} was never restarted: {ending.message}")
