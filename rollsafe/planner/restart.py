"""From the restart's intent to unbroken health: proof by identity, then every service by our own checks."""

import re

from rollsafe.model.plan import Plan
from rollsafe.model.reading import Check, IdentityReading, Member, RestartReading, SeatReading, Unread
from rollsafe.planner import drain
from rollsafe.planner.decisions import (
    Decision,
    FinishStep,
    GiveUpRestart,
    HaltRun,
    MemberWrite,
    ProveRestart,
    StartStep,
    Wait,
    WriteMembers,
)
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import NodeState, Restart

VOID_MARGIN_S = 3.0  # the uptime is told up to one look after the node was asked whether a restart began
PROOF_PATIENCE_S = 30.0  # after the command has ended well, so long may the identity take to change
FAILED_PATIENCE_S = 15.0  # after it has failed: a stop that was begun may still come, and would cut a node put back
LAST_LINES, LAST_WORDS = 3, 300  # of what a failed command printed, in the sentence; the journal has more
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
NEVER_RAN = (126, 127)  # the shell's word for a command that could not be run, or was not found
GONE_PATIENCE_S = 120.0  # so long where nothing runs any more: it was stopped, so that its start can be waited for
UNREAD_PATIENCE_S = 30.0  # past the command's limit its end must be read: so long may the node be silent


def next_decision(plan: Plan, hand: NodeState, now: Readings) -> Decision:
    """The next act on a node that was stopped, or may have been, until it is healthy."""
    wiped = tuple(write for write in _wiped(plan, hand, now) if _was_out(hand, write.member, now))
    if wiped:
        return WriteMembers(hand.name, wiped, taking_out=True)
    if hand.restart in (Restart.INTENT, Restart.BEGUN):
        return _await_proof(plan, hand, now)
    return _await_healthy(plan, hand, now)


def _wiped(plan: Plan, hand: NodeState, now: Readings) -> tuple[MemberWrite, ...]:
    return drain.rewrites(plan, hand, now) if _must_stay_out(plan, hand, now) else ()


def _was_out(hand: NodeState, member: Member, now: Readings) -> bool:
    """Was it seen out before, or are clients sent to it? What `recover` found in service and down by its balancer's own
    check it leaves there: of a node that died after it was back, which its balancer takes in again by itself."""
    if not hand.counts_as_stopped or member in hand.last_seen or member in now.watch.seen_out:
        return True
    seat = now.member(member)
    return isinstance(seat, SeatReading) and seat.check is not Check.DOWN


def _must_stay_out(plan: Plan, hand: NodeState, now: Readings) -> bool:
    """Is a member that reads ready to be taken out again? Not in a put-back that waits for its health to be seen anew,
    not where a takeover finds the node serving (it was on its way back already), and never by `ready` by hand."""
    if hand.ready_started_s is not None or hand.read:
        return False
    return not (hand.counts_as_stopped and now.healthy(hand.name, tuple(s.name for s in plan.services)))


def _await_proof(plan: Plan, hand: NodeState, now: Readings) -> Decision:
    identity, restart = now.identity, now.restart
    proven = isinstance(identity, IdentityReading) and _changed(hand, identity)
    job = isinstance(identity, IdentityReading) and (identity.job or (identity.ours and not proven))
    ended = isinstance(restart, RestartReading) and restart.finished
    if ended and not job and proven:  # whatever its exit status: the identity is the proof
        return _prove(hand, now)
    if _void(hand, now):
        reason = f"the order to restart {hand.name} did not reach it in time: it was not restarted"
        return GiveUpRestart(hand.name, reason)
    failure = _failure(hand, restart) if ended and not job else ""
    left_s = _proof_left_s(plan, hand, now, ended=ended, job=job)
    if failure:
        assert isinstance(restart, RestartReading)
        left_s = 0.0 if restart.exit_status in NEVER_RAN else min(left_s, _failed_left_s(hand, now))
    if left_s <= 0:
        if proven:
            return _prove(hand, now)
        pending = isinstance(identity, IdentityReading) and identity.job
        return GiveUpRestart(hand.name, failure or _unproven(hand, now, ended=ended), job=pending)
    return Wait(
        "the proof: another identity than before" if ended else "the command to end",
        node=hand.name,
        step="restart",
        left_s=left_s,
        reading={"identity": _identity(now), "ended": ended, "job": job},
        quick=ended,
    )


def _failure(hand: NodeState, restart: RestartReading | Unread | None) -> str:
    """How the restart command failed; empty where it ended well, or without a word, as by a reboot."""
    if not isinstance(restart, RestartReading) or restart.exit_status in (0, None):
        return ""
    said = _last_words(restart.output)
    return f"the restart command of {hand.name} exited {restart.exit_status}{said and ': ' + said}"


def _last_words(output: str) -> str:
    """The last lines of what a command printed, as one that a sentence can hold: the cause mostly stands there."""
    printable = ("".join(c if c.isprintable() else " " for c in _COLOURS.sub("", line)) for line in output.splitlines())
    lines = [" ".join(line.split()) for line in printable if line.strip()]
    said = " | ".join(lines[-LAST_LINES:])
    return said if len(said) <= LAST_WORDS else "…" + said[-LAST_WORDS:]


def _failed_left_s(hand: NodeState, now: Readings) -> float:
    """A script that gives up waiting for the stop (as catalina.sh does) has ordered it all the same."""
    assert hand.restart_exit_s is not None
    return FAILED_PATIENCE_S - _seen_s(hand.restart_exit_s, now)


def _void(hand: NodeState, now: Readings) -> bool:
    """Was an order that had no answer surely not obeyed, and will not be: by the node's own clock it came too late?"""
    identity, restart = now.identity, now.restart
    if hand.restart is not Restart.INTENT or hand.order_until_s is None:
        return False
    if not isinstance(identity, IdentityReading) or identity.uptime_s is None or identity.ours:
        return False
    none_begun = isinstance(restart, RestartReading) and not restart.begun
    return none_begun and identity.uptime_s > hand.order_until_s + VOID_MARGIN_S


def _changed(hand: NodeState, identity: IdentityReading) -> bool:
    return identity.identity is not None and identity.identity != hand.identity_before and not identity.job


def _prove(hand: NodeState, now: Readings) -> ProveRestart:
    assert isinstance(now.identity, IdentityReading)
    assert now.identity.identity is not None
    return ProveRestart(hand.name, now.identity.identity)


def _proof_left_s(plan: Plan, hand: NodeState, now: Readings, *, ended: bool, job: bool) -> float:
    planned = plan.node(hand.name)
    assert hand.restart_s is not None
    if job:  # systemd, or our own command, is still at it: that is progress, up to the node's own start limit
        return planned.restart_timeout_s + planned.start_timeout_s - _seen_s(hand.restart_s, now)
    if not ended or hand.restart_exit_s is None:
        silent = isinstance(now.restart, Unread) or isinstance(now.identity, Unread)
        patience_s = UNREAD_PATIENCE_S if silent else 0.0
        return planned.restart_timeout_s + patience_s - _seen_s(hand.restart_s, now)
    gone = isinstance(now.identity, IdentityReading) and now.identity.identity is None and hand.identity_before
    patience_s = min(planned.start_timeout_s, GONE_PATIENCE_S) if gone else 0.0
    return max(PROOF_PATIENCE_S, patience_s) - _seen_s(hand.restart_exit_s, now)


def _seen_s(since_s: float, now: Readings) -> float:
    return now.watch.seen_s(since_s, now.at_s)


def _identity(now: Readings) -> str:
    if isinstance(now.identity, IdentityReading):
        return now.identity.identity or "none"
    return f"unread: {now.identity.reason}" if now.identity is not None else "not asked"


def _unproven(hand: NodeState, now: Readings, *, ended: bool) -> str:
    if isinstance(now.identity, IdentityReading) and now.identity.job:
        return f"systemd is still at the restart of {hand.name}, past every limit"
    if not ended and isinstance(now.restart, Unread):
        return f"whether the restart command of {hand.name} has ended can't be read: {now.restart.reason}"
    if not ended:
        return f"the restart command of {hand.name} did not end in time (identity: {_identity(now)})"
    if not isinstance(now.identity, IdentityReading):
        return f"the restart command of {hand.name} ended well, but its identity can't be read: {_identity(now)}"
    if now.identity.identity is None:
        return f"the restart command of {hand.name} ended well, but nothing runs there that has an identity"
    return (
        f"the restart command of {hand.name} ended well, but its identity is the same as before "
        f"({hand.identity_before}): it was not restarted"
    )


def _await_healthy(plan: Plan, hand: NodeState, now: Readings) -> Decision:
    if hand.healthy_started_s is None:
        return StartStep(hand.name, "healthy")
    if hand.restart is Restart.UNFENCED:
        return HaltRun(f"{hand.name} stays out: a restart of it may still be under way")
    since = healthy_since(hand, now)
    if since is not None and now.at_s - since >= plan.policy.healthy_for_s:
        return FinishStep(hand.name, "healthy", data={"unbroken_s": round(now.at_s - since, 3)})
    left_s = start_timeout_s(plan, hand.name) - _seen_s(hand.healthy_started_s, now)
    states = {s.name: _state(now, hand.name, s.name) for s in plan.services}
    if left_s <= 0 and since is None:  # a streak that has begun is seen to its end, or to its break
        shown = ", ".join(f"{service} {state}" for service, state in states.items())
        return HaltRun(
            f"{hand.name} did not become healthy in {start_timeout_s(plan, hand.name):g} s: {shown}",
            remedy=f"look at the logs of {hand.name}; when it is healthy, {_mending(hand)} puts it back",
        )
    return Wait(
        f"health unbroken for {plan.policy.healthy_for_s:g} s",
        node=hand.name,
        step="healthy",
        left_s=max(left_s, 0.0),
        reading=states,
        next_s=None if since is None else plan.policy.healthy_for_s - (now.at_s - since),
    )


def _mending(hand: NodeState) -> str:
    """`ready` by hand begins anew; what a run or a restart has out goes back by `recover`."""
    return f"`rollsafe ready {hand.name}`" if hand.read and not hand.last_seen else "recover"


def healthy_since(hand: NodeState, now: Readings) -> float | None:
    """Since when the node has been healthy without a break; what was seen before its restart does not count."""
    since = now.watch.healthy_since.get(hand.name)
    if since is None or hand.healthy_started_s is None:
        return None
    return max(since, hand.healthy_started_s)


def ill(plan: Plan, node: str, now: Readings) -> str:
    """What of a node fails our own checks, and is not on its way (STARTING); empty where nothing does, as read."""
    readings = {s.name: now.health.get((node, s.name)) for s in plan.services}
    failed = [name for name, it in readings.items() if it is not None and not it.healthy and not it.progress]
    return ", ".join(f"{name} {_state(now, node, name)}" for name in failed)


def start_timeout_s(plan: Plan, node: str) -> float:
    """How long a node may take to start; nodes that the run does not restart have the policy's."""
    for planned in plan.nodes:
        if planned.name == node:
            return planned.start_timeout_s
    return plan.policy.start_timeout_s


def _state(now: Readings, node: str, service: str) -> str:
    reading = now.health.get((node, service))
    if reading is None:
        return "no answer"
    status = reading.evidence.status
    told = reading.healthy or reading.progress or status is None or str(status) in reading.state
    return reading.state if told else f"{reading.state} (HTTP {status})"
