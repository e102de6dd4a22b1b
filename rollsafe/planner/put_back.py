"""Put back: make a node's members what they were found to be, most critical service first, each endpoint by itself.

After a restart a member that was in maint goes back through drain until the balancer's own check says up, for
HAProxy sends traffic at once after maint, before any check. A node that was never stopped goes back at once.
"""

from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Check, Found, Member, SeatReading, Unread
from rollsafe.planner.decisions import (
    Decision,
    FinishStep,
    HaltRun,
    MemberWrite,
    StartStep,
    Wait,
    WriteMembers,
)
from rollsafe.planner.readings import Order, Readings
from rollsafe.planner.state import NodeState
from rollsafe.planner.watch import serves

NOW_PATIENCE_S = 3.0  # after SIGTERM the whole run has 5 s
_DRAIN = Found(AdminState.DRAIN)


def next_decision(plan: Plan, hand: NodeState, now: Readings) -> Decision:
    """The next act of putting the node back; FinishStep when every member that can be is as found."""
    if hand.ready_started_s is None:
        return StartStep(hand.name, "ready")
    left_s = hand.ready_started_s + plan.policy.put_back_timeout_s - now.at_s
    within = f"within {plan.policy.put_back_timeout_s:g} s"
    if now.order is Order.NOW and (ends_s := now.order_s + NOW_PATIENCE_S - now.at_s) < left_s:
        left_s, within = ends_s, f"in the {NOW_PATIENCE_S:g} s after the order to end at once"
    due = _due(plan, hand, now, patient=left_s > 0)
    if due:
        return WriteMembers(hand.name, due, taking_out=False)
    open_members = {m: why for m in plan.members_of(hand.name) if (why := lacking(hand, m, now))}
    if not open_members:
        return FinishStep(hand.name, "ready", data={"left_alone": [str(m) for m in _others(plan, hand, now)]})
    if all(_unread_for_good(m, now) for m in open_members):
        missing = ", ".join(dict.fromkeys(m.endpoint for m in open_members))
        return HaltRun(f"{hand.name} could not be put back on endpoints that this inventory does not have: {missing}")
    first, why = next(iter(open_members.items()))
    if left_s <= 0:
        return HaltRun(f"{first} could not be put back {within}: {why}")
    return Wait(
        "every member as found",
        node=hand.name,
        service=first.service,
        step="ready",
        left_s=left_s,
        reading={f"{m.pool}/{m.seat} on {m.endpoint}": lacks for m, lacks in open_members.items()},
        quick=True,
    )


def lacking(hand: NodeState, member: Member, now: Readings) -> str:
    """What keeps a member from being as it was found; empty where nothing does, or where it is another's: one that was
    taken out of its pool, too."""
    seat = now.member(member)
    found = hand.found[member]
    if isinstance(seat, Unread) and seat.no_member:
        return ""
    if isinstance(seat, Unread):
        return f"it can't be read: {seat.reason}" if touched(hand, member) else ""
    if is_another(hand, member, seat.admin):
        return ""
    if seat.admin is not found.admin:
        return f"it reads {seat.admin.value}, and was found {found.admin.value}"
    coming = seat.check is Check.RISING  # a node that was never stopped only has to pass the check that maint reset
    if found.admin is AdminState.READY and (coming or (hand.stopped and not serves(seat))):
        return f"the balancer's own check says {seat.check.value} ({seat.raw})"
    return ""


def touched(hand: NodeState, member: Member) -> bool:
    """Has the run written to the member, or may it have?"""
    return bool(hand.wrote.get(member))


def touched_unread(hand: NodeState, member: Member, now: Readings) -> bool:
    """Is it unknown what a member that we wrote to reads now?"""
    seat = now.member(member)
    return touched(hand, member) and isinstance(seat, Unread) and not seat.no_member


def is_another(hand: NodeState, member: Member, admin: AdminState) -> bool:
    """Does the member read neither as found nor as we ever wrote it, or was it seen as found since? It is another's."""
    found = hand.found[member].admin
    if admin is found:
        return False
    given_back = hand.last_seen.get(member) is found and member not in hand.in_doubt
    return given_back or admin not in hand.wrote.get(member, frozenset())


def _unread_for_good(member: Member, now: Readings) -> bool:
    seat = now.member(member)
    return isinstance(seat, Unread) and seat.for_good


def _others(plan: Plan, hand: NodeState, now: Readings) -> list[Member]:
    return [
        m
        for m in plan.members_of(hand.name)
        if (seat.no_member if isinstance(seat := now.member(m), Unread) else is_another(hand, m, seat.admin))
    ]


def _due(plan: Plan, hand: NodeState, now: Readings, *, patient: bool) -> tuple[MemberWrite, ...]:
    """The writes that are due. Out of maint first, so that the balancers' checks begin; then service by service."""
    steps = {m: step for m in plan.members_of(hand.name) if (step := _next(hand, m, now, patient=patient))}
    if now.order is Order.NOW and not hand.stopped:  # a slow endpoint must not use up the time of the others
        return tuple(steps.values())
    checks = tuple(w for w in steps.values() if w.to.admin is AdminState.DRAIN and w.to != hand.found[w.member])
    if checks:
        return checks
    # a claim may name a service that the inventory calls otherwise by now: it comes last
    for service in dict.fromkeys([*(s.name for s in plan.services), *(m.service for m in steps)]):
        members = plan.members_of(hand.name, service)
        due = tuple(steps[m] for m in members if m in steps)
        if due:
            return due
        if patient and any(_rising(hand, m, now) for m in members):
            return ()  # the more critical service goes first; it is on its way
    return ()


def _next(hand: NodeState, member: Member, now: Readings, *, patient: bool) -> MemberWrite | None:
    seat = now.member(member)
    found = hand.found[member]
    if isinstance(seat, Unread) or seat.admin is found.admin or is_another(hand, member, seat.admin):
        return None
    failures = hand.failures.get(member)
    # past the time a write that failed is not tried for ever: each one may take as long as its endpoint's time-out
    if failures is not None and (now.at_s < failures.again_s or not patient):
        return None
    through_checks = hand.stopped and found.admin is AdminState.READY
    if through_checks and seat.admin is AdminState.MAINT:
        return MemberWrite(member, _DRAIN, "back through drain, so that the balancer's own check comes first")
    if through_checks and patient and not serves(seat):
        return None
    return MemberWrite(member, found, "as found")


def _rising(hand: NodeState, member: Member, now: Readings) -> bool:
    seat = now.member(member)
    return (
        isinstance(seat, SeatReading)
        and seat.admin is not hand.found[member].admin
        and not is_another(hand, member, seat.admin)
        and seat.check in (Check.RISING, Check.DOWN)
    )
