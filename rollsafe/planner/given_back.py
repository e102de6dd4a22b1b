"""Members that a person had taken out before the run, and that are in service at its end: a reload of their balancer
forgets what was set by hand. Nobody takes them out again unasked, and nobody may call them as found."""

from collections.abc import Mapping

from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Found, Member, SeatReading
from rollsafe.planner.readings import Readings

Changed = dict[str, str]


def given_back(plan: Plan, found: Mapping[Member, Found], now: Readings, mend: str) -> list[Changed]:
    """Each with what it was found to be and, where the whole node was out, the command that takes it out again. `mend`
    is the command to recover with."""
    back = [m for m, was in found.items() if was.admin.out and _in_service(m, now)]
    whole = {m.node for m in back if all(found[one].admin.out for one in plan.members_of(m.node) if one in found)}
    options = mend.partition(" recover")[2]
    words = {m: {**m.place, "state": AdminState.READY.value, "found": found[m].admin.value} for m in back}
    return [{**words[m], "mend": f"rollsafe drain {m.node}{options}"} if m.node in whole else words[m] for m in back]


def _in_service(member: Member, now: Readings) -> bool:
    seat = now.member(member)
    return isinstance(seat, SeatReading) and seat.admin is AdminState.READY


def told(changed: list[Changed]) -> str:
    """The same as the end of a last line; empty where there is nothing to tell."""
    if not changed:
        return ""
    where = "; ".join(
        f"{it['service']} of {it['node']} on {it['endpoint']} is in service, and was found in {it['found']}"
        for it in changed
    )
    commands = {it["node"]: it["mend"] for it in changed if "mend" in it}
    by_hand = "" if len(commands) == len({it["node"] for it in changed}) else " Set it so by hand there."
    again = "".join(f" To take {node} out again: {command}" for node, command in commands.items())
    return f" But a reload of its balancer, or somebody, has changed this since: {where}.{by_hand}{again}"
