"""The drain of the node in hand, from the least critical service up, until nothing but the restart is left."""

from rollsafe.model.cluster import Idle
from rollsafe.model.plan import Plan, PlannedService
from rollsafe.model.reading import AdminState, Check, Found, Member, SeatReading, Unread
from rollsafe.planner import gates
from rollsafe.planner.decisions import (
    Decision,
    FinishStep,
    HaltRun,
    MemberWrite,
    RestartNode,
    StartStep,
    Wait,
    WriteMembers,
)
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import DrainState, NodeState, RunState
from rollsafe.planner.watch import IDLE_READINGS

UNREAD_PATIENCE_S = 10.0  # how long an endpoint may be silent before a node that is not yet stopped is put back
WRITE_TRIES = 3
LIFTS_AT_MOST = 1  # how often a mark may be gone that no reload of the balancer took away
DRAIN_ROUNDS = 4  # how often a drain that was wiped is begun anew before the run gives up
SEND_TRIES = 3  # for a restart that surely was not sent
YOUNG_S = 10.0  # a balancer process that is younger at a run's first look may have come by a reload
SHORT_S = 10.0  # how long too few others may serve before it is
HURRY_S = 3.0  # how long the others may be gone before a drained node that could serve is put back
NEVER_S = float("-inf")
MANY = 1_000_000  # looks
_DRAIN = Found(AdminState.DRAIN)
_SLOW_REMEDY = "find out why that admin API answers so slowly, or ask it through another way"
_MAINT = Found(AdminState.MAINT)


def next_decision(plan: Plan, state: RunState, hand: NodeState, now: Readings, at_s: float) -> Decision:
    """The next act on a node that was begun and not yet stopped."""
    if halt := _hopeless(plan, hand, now) or _needed(plan, hand, now) or _short(plan, hand, now):
        return halt
    for service in reversed(plan.services):
        decision = _service(plan, hand, service, now)
        if decision is not None:
            return decision
    return _stop(plan, state, hand, now, at_s)


def wanted(hand: NodeState, service: str) -> Found:
    """What the members of a service should read as long as the node is out."""
    drain = hand.drains.get(service)
    return _MAINT if drain is not None and drain.maint_s is not None else _DRAIN


def rewrites(plan: Plan, hand: NodeState, now: Readings) -> tuple[MemberWrite, ...]:
    """Marks that were wiped while the node is out (a reload of HAProxy does it), to be written again."""
    return tuple(
        write
        for service in plan.services
        if service.name in hand.drains or hand.stopped
        for write in _due(plan, hand, service.name, now, "the mark is gone")
        if not _serves_anyhow(plan, hand, write.member, now) and not _too_early(hand, write, now)
    )


def _too_early(hand: NodeState, write: MemberWrite, now: Readings) -> bool:
    """Did the last try fail just now? The next one waits a little, longer each time."""
    failures = hand.failures.get(write.member)
    return failures is not None and now.at_s < failures.again_s


def _serves_anyhow(plan: Plan, hand: NodeState, member: Member, now: Readings) -> bool:
    """Would taking the member out again do harm: is it well, and needed, or was it perhaps never stopped?"""
    seat, health = now.member(member), now.health.get((member.node, member.service))
    healthy = health is not None and health.healthy
    if hand.counts_as_stopped and (health is None or healthy):
        return True
    # just after a reload the balancer's check says little yet, and its clients are sent there all the same
    said = (Check.UP, Check.RISING) if health is None and _the_last(plan, member, now) else (Check.UP,)
    up = isinstance(seat, SeatReading) and (seat.check in said or (seat.check is not Check.DOWN and healthy))
    # one look that finds it ill says little, where the look before and the balancer say that it serves
    lately = healthy or now.watch.ill_looks.get((member.node, member.service), MANY) <= 1
    well = up and (health is None or lately or hand.counts_as_stopped)  # nobody knows: the balancer's word is enough
    return well and bool(gates.refusals(gates.min_ready(plan, now, hand.name, member.service)))


def _hopeless(plan: Plan, hand: NodeState, now: Readings) -> Decision | None:
    """Is there a member that can't be taken out, or whose state can't be known? The node is in service still."""
    for member in plan.members_of(hand.name):
        seat = now.member(member)
        halt = (
            _gone(hand, seat)
            or _wiped(hand, member)
            or _lifted(hand, member, now)
            or _silent(member, seat, now)
            or _unwritten(hand, member)
        )
        if halt is not None:
            return halt
    return None


def _gone(hand: NodeState, seat: SeatReading | Unread) -> HaltRun | None:
    if not isinstance(seat, Unread) or not seat.no_member:
        return None
    remedy = "put it back into its pool, or say in the inventory what it is called now"
    return HaltRun(f"{seat.reason}; {hand.name} was not stopped", remedy)


def _wiped(hand: NodeState, member: Member) -> HaltRun | None:
    drain = hand.drains.get(member.service)
    if drain is None or drain.rounds <= DRAIN_ROUNDS:
        return None
    return HaltRun(f"the drain of {member} was wiped {drain.rounds - 1} times", "find out what reloads it")


def _lifted(hand: NodeState, member: Member, now: Readings) -> HaltRun | None:
    """Does something else set the member to ready again and again? Then it would get clients at the very stop."""
    times, key = hand.lifted.get(member, 0), member.pool_key
    reloads = key in now.watch.reloaded_at or key not in now.watch.process  # or nobody can tell
    if times <= (DRAIN_ROUNDS if reloads else LIFTS_AT_MOST):
        return None
    by = "" if reloads else " though the balancer was not reloaded"
    remedy = (
        "find out what reloads it"
        if reloads
        else "find out what sets it to ready (an agent-check that answers `ready`, a script, a person)"
    )
    return HaltRun(f"the drain of {member} was lifted {times} times{by}; {hand.name} was not stopped", remedy)


def _silent(member: Member, seat: SeatReading | Unread, now: Readings) -> HaltRun | None:
    since = now.watch.unread_since.get(member.pool_key)
    if not isinstance(seat, Unread) or since is None or now.at_s - since <= UNREAD_PATIENCE_S:
        return None
    return HaltRun(f"{member} can't be read for {now.at_s - since:.0f} s: {seat.reason}")


def _unwritten(hand: NodeState, member: Member) -> HaltRun | None:
    failures = hand.failures.get(member)
    if failures is None or failures.count < WRITE_TRIES:
        return None
    return HaltRun(f"{member} could not be taken out in {failures.count} tries: {failures.reason}")


def _needed(plan: Plan, hand: NodeState, now: Readings) -> Decision | None:
    """Is a service dark because this node, which was not stopped, is out? Then it goes back at once."""
    since_s = now.watch.trouble_since
    if plan.accept_outage or (since_s is not None and now.at_s - since_s < HURRY_S):
        return None
    for member in plan.members_of(hand.name):
        if _out_by_us(hand, member, now) and gates.alone(plan, now, member):
            return HaltRun(
                f"no other node serves {member.service} on {member.endpoint} any more; {hand.name} was not stopped yet",
                remedy="bring the other nodes back before the next run",
            )
    return None


def _short(plan: Plan, hand: NodeState, now: Readings) -> Decision | None:
    """Have others failed, so that too few serve while this node, which was not stopped, is out? A check that is still
    rising after a reload, or an endpoint that does not answer, says nothing of that."""
    since_s = now.watch.trouble_since
    if plan.accept_outage or since_s is None or now.at_s - since_s < SHORT_S:
        return None
    for service in plan.services:
        members = plan.members_of(hand.name, service.name)
        if not any(_out_by_us(hand, m, now) for m in members) or not _others_gone(plan, hand, service, now):
            continue
        if no := gates.refusals(gates.min_ready(plan, now, hand.name, service.name)):
            return HaltRun(f"{no[0].reason}; {hand.name} was not stopped yet", remedy=no[0].remedy)
    return None


def _out_by_us(hand: NodeState, member: Member, now: Readings) -> bool:
    seat = now.member(member)
    return isinstance(seat, SeatReading) and seat.admin.out and not hand.found[member].admin.out


def _others_gone(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> bool:
    others = (m for m in plan.members if m.node != hand.name and m.service == service.name)
    return any(_is_gone(member, now) for member in others)


def _the_last(plan: Plan, member: Member, now: Readings) -> bool:
    """Is every other of its pool gone, and does none of them only wait for its check, as all do after a reload?"""
    return all(_is_gone(other, now) for other in gates.others_in_pool(plan, member))


def _is_gone(member: Member, now: Readings) -> bool:
    seat, health = now.member(member), now.health.get((member.node, member.service))
    if not isinstance(seat, SeatReading):
        return False
    return seat.admin.out or seat.check is Check.DOWN or (health is not None and not health.healthy)


def _service(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> Decision | None:
    """The next act of one service's drain; None when there is none left."""
    drain = hand.drains.get(service.name)
    why = "drain" if drain is None or drain.maint_s is None else "sticky clients still get into a drained member"
    due = _due(plan, hand, service.name, now, why)
    if due and (shut := _shut(plan, hand, service, now)):
        return shut
    if drain is None:
        return StartStep(hand.name, "drain", service.name)
    if due:
        return _take_out(plan, hand, service, due, now)
    return None if drain.outcome is not None else _await(plan, hand, service, drain, now)


def _take_out(
    plan: Plan, hand: NodeState, service: PlannedService, due: tuple[MemberWrite, ...], now: Readings
) -> Decision:
    writes = tuple(write for write in due if not _too_early(hand, write, now))
    if writes:
        return WriteMembers(hand.name, writes, taking_out=True)
    failed = min((hand.failures[write.member] for write in due), key=lambda failures: failures.again_s)
    left_s = failed.again_s - now.at_s
    return _wait(plan, hand, service, now, left_s=left_s, reason=f"another try: {failed.reason}")


def _await(plan: Plan, hand: NodeState, service: PlannedService, drain: DrainState, now: Readings) -> Decision:
    if silent := [m for m in plan.members_of(hand.name, service.name) if isinstance(now.member(m), Unread)]:
        return _await_answers(plan, hand, service, drain, silent, now)
    if service.idle is Idle.REQUIRED:
        return _await_required(plan, hand, service, drain, now)
    return _await_preferred(plan, hand, service, drain, now)


def _await_answers(
    plan: Plan, hand: NodeState, service: PlannedService, drain: DrainState, silent: list[Member], now: Readings
) -> Decision:
    """Endpoints that take turns at being silent are never silent for long each, and never read together."""
    began_s = max(drain.started_s, drain.maint_s or NEVER_S, _trusted_from(plan, hand, service, now))
    left_s = began_s + service.timeout_s + service.linger_s + UNREAD_PATIENCE_S - now.at_s
    if left_s > 0:
        return _wait(plan, hand, service, now, left_s=left_s, reason=f"an answer of {silent[0].endpoint}")
    seat = now.member(silent[0])
    assert isinstance(seat, Unread)
    long = f"its endpoints did not answer all at once in {now.at_s - drain.started_s:.0f} s of drain"
    return HaltRun(f"{service.name} of {hand.name}: {long}; last: {silent[0]}: {seat.reason}", _SLOW_REMEDY)


def _shut(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> Decision | None:
    """Others may have failed since the node was begun: before each service is taken out, enough of them must serve."""
    verdicts = gates.min_ready(plan, now, hand.name, service.name)
    no = gates.refusals(verdicts)
    if not no:
        return None
    closed_s = hand.gates_closed_s if hand.gates_closed_s is not None else now.at_s
    left_s = closed_s + plan.policy.gate_timeout_s - now.at_s
    if left_s <= 0:
        return HaltRun(f"{service.name} of {hand.name} was not taken out: {no[0].reason}", remedy=no[0].remedy)
    return Wait(
        f"the gates before the drain: {no[0].reason}",
        node=hand.name,
        service=service.name,
        step="drain",
        left_s=left_s,
        verdicts=verdicts,
    )


def _due(plan: Plan, hand: NodeState, service: str, now: Readings, why: str) -> tuple[MemberWrite, ...]:
    to = wanted(hand, service)
    due = []
    for member in plan.members_of(hand.name, service):
        seat = now.member(member)
        if isinstance(seat, SeatReading) and not _out_enough(seat.admin, to.admin):
            due.append(MemberWrite(member, to, why))
    return tuple(due)


def _out_enough(admin: AdminState, wanted_admin: AdminState) -> bool:
    return admin is wanted_admin or admin is AdminState.MAINT


def _await_required(plan: Plan, hand: NodeState, service: PlannedService, drain: DrainState, now: Readings) -> Decision:
    pinned = now.pinned(plan.members_of(hand.name, service.name)) or (hand.name, service.name) in now.watch.arrived
    if drain.maint_s is None and pinned:
        return StartStep(hand.name, "maint", service.name)  # nobody gets in there, and nothing in flight is cut by it
    trusted_s = _trusted_from(plan, hand, service, now)
    if now.watch.idle.get((hand.name, service.name), 0) >= IDLE_READINGS and now.at_s >= trusted_s:
        return FinishStep(hand.name, "drain", service.name, "drained", {"active": 0})
    left_s = max(drain.started_s, trusted_s) + service.timeout_s - now.at_s
    if now.at_s < trusted_s:
        left_s = max(left_s, service.timeout_s)
        if now.at_s - drain.started_s > DRAIN_ROUNDS * service.timeout_s:
            long = f"in {now.at_s - drain.started_s:.0f} s of drain the balancer was reloaded again and again"
            return HaltRun(f"{service.name} of {hand.name}: {long}", "find out what reloads it")
    if left_s > 0:
        hidden = _old_process(plan, hand, service, now) if now.at_s < trusted_s else ""
        return _wait(plan, hand, service, now, left_s=left_s, reason=f"0 active{hidden}")
    active = _active(plan, hand, service, now)
    if not active and (slow := _slow(plan, hand, service, now)):
        return HaltRun(
            f"{service.name} of {hand.name} was drained for {service.timeout_s:g} s, but {slow}", _SLOW_REMEDY
        )
    # 0: somebody was there until just now, or this process stood still and had no time for three readings
    seen = f"still has {active} active" if active else f"read 0 active, but not {IDLE_READINGS} times in a row,"
    return HaltRun(
        f"{service.name} of {hand.name} {seen} after {service.timeout_s:g} s of drain (idle: required)",
        remedy=_remedy(plan, hand, service, now),
    )


def _await_preferred(
    plan: Plan, hand: NodeState, service: PlannedService, drain: DrainState, now: Readings
) -> Decision:
    idle = now.watch.idle.get((hand.name, service.name), 0)
    if drain.maint_s is None:
        left_s = drain.started_s + service.timeout_s - now.at_s
        if idle < IDLE_READINGS and left_s > 0:
            return _wait(plan, hand, service, now, left_s=left_s, reason="0 active")
        return StartStep(hand.name, "maint", service.name)
    # in maint nobody gets in any more, so that one reading of 0 is enough, unless an old process hides requests
    if idle >= 1 and now.at_s >= _hidden_until(plan, hand, service, now, service.linger_s):
        return FinishStep(hand.name, "drain", service.name, "drained", {"active": 0})
    left_s = drain.maint_s + service.linger_s - now.at_s
    if left_s > 0:
        return _wait(plan, hand, service, now, left_s=left_s, reason="0 active in maint")
    active = _active(plan, hand, service, now)
    return FinishStep(hand.name, "drain", service.name, "cut", {"active": active, "cut": active})


def _trusted_from(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> float:
    """From when 0 active means nothing in flight."""
    return _hidden_until(plan, hand, service, now, service.timeout_s)


def _hidden_until(plan: Plan, hand: NodeState, service: PlannedService, now: Readings, limit_s: float) -> float:
    """Until when an old balancer process may carry requests of this node that no one counts.

    Nothing tells when it has ended; `limit_s` bounds how long a request may take. A process that is young at a run's
    first look was mostly just started, so that little time is given to the one that may have been before it.
    """
    keys = [m.pool_key for m in plan.members_of(hand.name, service.name)]
    watch = now.watch
    reloads = [watch.reloaded_at[key] + limit_s for key in keys if key in watch.reloaded_at]
    births = [watch.born_at[key] + min(limit_s, YOUNG_S) for key in keys if key in watch.born_at]
    return max([*reloads, *births], default=NEVER_S)


def _old_process(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> str:
    """Why 0 active is not enough yet."""
    keys = [m.pool_key for m in plan.members_of(hand.name, service.name)]
    came = "was reloaded" if any(key in now.watch.reloaded_at for key in keys) else "began only just before this run"
    return f"; the balancer {came}, and an old process of it may still carry requests"


def _slow(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> str:
    """Which endpoint left so many looks without an answer that no three readings of 0 came together."""
    for member in plan.members_of(hand.name, service.name):
        misses = now.watch.misses.get(member.pool_key, 0)
        if misses >= IDLE_READINGS:
            return (
                f"{member.endpoint} gave no answer in time in {misses} looks: 0 active was not read three times running"
            )
    return ""


def _active(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> int:
    seats = [now.member(m) for m in plan.members_of(hand.name, service.name)]
    return sum(seat.active or 0 for seat in seats if isinstance(seat, SeatReading))


def _remedy(plan: Plan, hand: NodeState, service: PlannedService, now: Readings) -> str:
    seats = [now.member(m) for m in plan.members_of(hand.name, service.name)]
    if any(isinstance(seat, SeatReading) and seat.counts == "connections" for seat in seats):
        return (
            "the pool is in TCP mode, where idle connections count: use HTTP mode, a shorter client time-out, "
            "or idle: preferred"
        )
    return "find out who holds the request, or give the drain a longer timeout"


def _wait(
    plan: Plan, hand: NodeState, service: PlannedService, now: Readings, *, left_s: float | None, reason: str
) -> Wait:
    active = _active(plan, hand, service, now)
    return Wait(
        reason,
        node=hand.name,
        service=service.name,
        step="drain",
        left_s=left_s,
        reading={"active": active, "members": _members(plan.members_of(hand.name, service.name), now)},
        quick=active == 0,
        next_s=left_s,
    )


def _members(members: tuple[Member, ...], now: Readings) -> dict[str, str]:
    return {f"{m.endpoint} {m.pool}/{m.seat}": _shown(now.member(m)) for m in members}


def _shown(seat: SeatReading | Unread) -> str:
    if isinstance(seat, Unread):
        return f"unread: {seat.reason}"
    return f"{seat.raw or seat.admin.value}, {seat.active} active"


def _stop(plan: Plan, state: RunState, hand: NodeState, now: Readings, at_s: float) -> Decision:
    if hand.restart_attempts >= SEND_TRIES:
        return HaltRun(f"{hand.name} was not restarted: {hand.restart_failure}")
    verdicts = gates.before_stop(plan, state, now, hand.name, at_s)
    no = gates.refusals(verdicts)
    if not no:
        return RestartNode(hand.name, verdicts)
    closed_s = hand.gates_closed_s if hand.gates_closed_s is not None else now.at_s
    left_s = closed_s + plan.policy.gate_timeout_s - now.at_s
    if left_s <= 0:
        return HaltRun(f"{hand.name} was not stopped: {no[0].reason}", remedy=no[0].remedy)
    return Wait(
        f"the gates before the stop: {no[0].reason}",
        node=hand.name,
        step="restart",
        left_s=left_s,
        verdicts=verdicts,
        quick=no[0].gate in ("fresh", "claim"),
    )
