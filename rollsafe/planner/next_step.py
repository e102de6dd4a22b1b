"""The whole brain: from what was planned, what happened and what is seen to the one next step.

Resuming is calling it again. Recovering is calling it with another wish: everything as it was found.
"""

from rollsafe.model.plan import Plan
from rollsafe.planner import drain, gates, put_back, restart
from rollsafe.planner.decisions import (
    BeginNode,
    Decision,
    Finished,
    FinishNode,
    FinishStep,
    HaltRun,
    RestartNode,
    StartStep,
    Wait,
)
from rollsafe.planner.readings import Level, Order, Ours, Readings, claims_gone
from rollsafe.planner.state import Halt, NodeState, Restart, RunState
from rollsafe.planner.watch import trouble_of

BACK = ("recover", "ready")  # the wishes that take nothing out
ORDERS = {Order.FINISH: "asked to stop after the node in hand", Order.NOW: "asked to stop now"}


def next_step(plan: Plan, state: RunState, now: Readings, at_s: float) -> Decision:
    """The next step of the run. `at_s` is the present on the run's clock; `now` may be a little older."""
    if state.finished:
        return Finished()
    if state.halt is None or not state.halt.lost:
        halt = _reason_to_halt(plan, now)
        if halt is not None and (state.halt is None or halt.lost or _more_urgent(halt, state.halt)):
            return halt
    if state.hand is None:
        return _between_nodes(plan, state, now)
    return _in_hand(plan, state, state.hand, now, at_s)


def _more_urgent(halt: HaltRun, before: Halt) -> bool:
    """A second signal: from now on it is the reason, as for a node that it leaves out."""
    return (halt.reason, before.reason) == (ORDERS[Order.NOW], ORDERS[Order.FINISH])


def _reason_to_halt(plan: Plan, now: Readings) -> HaltRun | None:
    taken = [f"{node}: {view.detail}" for node, view in now.claims.items() if view.ours is Ours.OTHER]
    if taken:
        return HaltRun("the claim was taken over: " + "; ".join(taken), lost=True)
    if claims_gone(now):
        return HaltRun("the claim is on no node any more: it was taken over and ended, or removed", lost=True)
    if now.order is not Order.NONE:
        return HaltRun(ORDERS[now.order])
    if now.budget.level is Level.STOP and not plan.accept_outage:
        return HaltRun(f"the probe's budget is spent: {now.budget.reason}")
    return None


def _between_nodes(plan: Plan, state: RunState, now: Readings) -> Decision:
    if state.mode in BACK:
        rest = [n.name for n in plan.nodes if n.name not in state.nodes]
        return BeginNode(rest[0], ()) if rest and not _over(state) else Finished()
    if state.halt is not None:
        return Finished()
    for planned in plan.nodes:
        if planned.name not in state.nodes:
            return _failed_before(state, now) or _begin(plan, state, now, planned.name)
    return Finished() if state.mode in ("drain", "restart") else _last_look(plan, state, now)


def _failed_before(state: RunState, now: Readings) -> HaltRun | None:
    """Did a write to a node before fail, and none to that member come through since? What failed there (a right that is
    gone, a balancer that refuses) would fail for the next node as well, with that one drained. But the old process of a
    balancer that is reloaded refuses everything, and is gone soon."""
    for node in state.nodes.values():
        for member, (why, at_s) in node.not_made_good.items():
            if now.watch.reloaded_at.get(member.pool_key, at_s) > at_s:
                continue
            return HaltRun(
                f"{member} could not be written to: {why}",
                remedy="see to it that the balancer takes writes before the next run",
            )
    return None


def _over(state: RunState) -> bool:
    return state.halt is not None and (state.halt.lost or state.halt.reason in ORDERS.values())


def _begin(plan: Plan, state: RunState, now: Readings, node: str) -> Decision:
    verdicts = gates.before_begin(plan, state, now, node)
    no = gates.refusals(verdicts)
    if state.claim_stuck_s is not None and now.at_s - state.claim_stuck_s >= plan.policy.gate_timeout_s:
        return HaltRun(f"{node} was not begun: {state.claim_stuck}", remedy="look at the claim's folder there")
    if not no:
        return BeginNode(node, verdicts)
    closed_s = state.gates_closed_s if state.gates_closed_s is not None else now.at_s
    left_s = closed_s + plan.policy.gate_timeout_s - now.at_s
    if left_s <= 0:
        return HaltRun(f"{node} was not begun: {no[0].reason}", remedy=no[0].remedy)
    return Wait(f"the gates of {node}: {no[0].reason}", node=node, step="gates", left_s=left_s, verdicts=verdicts)


def _last_look(plan: Plan, state: RunState, now: Readings) -> Decision:
    """Every node was restarted: is every one that was fine still so, and does each probe see its service?"""
    trouble = trouble_of(plan, state, now)
    probes = gates.budget(plan, now, begun=gates.Begun.YES)
    if not trouble and probes.allowed:
        return Finished()
    since_s = now.watch.trouble_since if trouble else state.settled_s
    left_s = (now.at_s if since_s is None else since_s) + plan.policy.gate_timeout_s - now.at_s
    if left_s <= 0:
        return HaltRun(f"every node was restarted, but {trouble or probes.reason}", "" if trouble else probes.remedy)
    awaited = f"all nodes as fine as before: {trouble}" if trouble else f"each service to be seen: {probes.reason}"
    return Wait(awaited, step="gates", left_s=left_s)


def _in_hand(plan: Plan, state: RunState, hand: NodeState, now: Readings, at_s: float) -> Decision:
    if state.halt is not None and state.halt.lost:
        return FinishNode(hand.name, "unknown")
    if now.order is Order.NOW and hand.stopped and hand.ready_s is None:
        return FinishNode(hand.name, "left out")
    decision = _act(plan, state, hand, now, at_s)
    if isinstance(decision, HaltRun) and state.halt is not None:
        return FinishNode(hand.name, "left out")  # nothing safer can be reached
    return decision


def _act(plan: Plan, state: RunState, hand: NodeState, now: Readings, at_s: float) -> Decision:
    if hand.ready_s is not None:
        return _after_ready(plan, state, hand, now)
    if not hand.stopped:
        return _untouched(plan, state, hand, now, at_s)
    if hand.counts_as_stopped and _nothing_left_to_do(plan, hand, now):
        return _all_back(plan, hand, now)
    if hand.restart in (Restart.FAILED, Restart.UNFENCED) and state.halt is None:
        return HaltRun(hand.restart_failure, remedy=f"look at {hand.name} before the next run")
    if _may_go_back(plan, hand, now):
        return put_back.next_decision(plan, hand, now)
    return restart.next_decision(plan, hand, now)


def _untouched(plan: Plan, state: RunState, hand: NodeState, now: Readings, at_s: float) -> Decision:
    """A node that was not stopped: drain it, or put it back at once where the run has halted, or only goes back."""
    if state.halt is not None or state.mode in BACK:
        return put_back.next_decision(plan, hand, now)
    decision = drain.next_decision(plan, state, hand, now, at_s)
    drained_by_hand = state.mode == "drain" and isinstance(decision, RestartNode)
    return FinishNode(hand.name, "drained") if drained_by_hand else decision


def _all_back(plan: Plan, hand: NodeState, now: Readings) -> Decision:
    """No member is left to be put back. `ready` by hand promises more: that the node is healthy. One that its balancers
    see up, and that fails our own check, is not on its way: waiting for it would only keep others out."""
    if not hand.read or now.healthy(hand.name, tuple(s.name for s in plan.services)):
        return FinishNode(hand.name, "put back")
    ill = restart.ill(plan, hand.name, now)
    if not ill:
        return restart.next_decision(plan, hand, now)  # it starts, or has not answered yet
    return HaltRun(
        f"every member of {hand.name} is in service, but by our own check it is not healthy: {ill}",
        remedy=f"look at the logs of {hand.name}, and at its health check in the inventory",
    )


def _nothing_left_to_do(plan: Plan, hand: NodeState, now: Readings) -> bool:
    return all(
        m in hand.found and not put_back.lacking(hand, m, now) and not put_back.touched_unread(hand, m, now)
        for m in plan.members_of(hand.name)
    )


def _may_go_back(plan: Plan, hand: NodeState, now: Readings) -> bool:
    """Is a node that was stopped proven to be back, fenced, and healthy without a break, up to this reading?"""
    if hand.restart in (Restart.INTENT, Restart.BEGUN, Restart.UNFENCED) or hand.healthy_s is None:
        return False
    since = restart.healthy_since(hand, now)
    return since is not None and now.at_s - since >= plan.policy.healthy_for_s


def _after_ready(plan: Plan, state: RunState, hand: NodeState, now: Readings) -> Decision:
    if hand.restart is not Restart.DONE:
        return FinishNode(hand.name, "put back")
    if state.halt is not None or hand.soaked or plan.policy.soak_s <= 0:
        return FinishNode(hand.name, "restarted")
    if hand.soak_started_s is None:
        return StartStep(hand.name, "soak")
    return _soak(plan, state, hand, now)


def _soak(plan: Plan, state: RunState, hand: NodeState, now: Readings) -> Decision:
    assert hand.soak_started_s is not None
    calm_s = now.watch.calm_since
    if calm_s is not None:
        left_s = max(calm_s, hand.soak_started_s) + plan.policy.soak_s - now.at_s
        if left_s <= 0:
            return FinishStep(hand.name, "soak")
        return Wait("watched time", node=hand.name, step="soak", left_s=left_s, next_s=left_s)
    trouble = trouble_of(plan, state, now)
    since_s = now.watch.trouble_since if now.watch.trouble_since is not None else now.at_s
    # trouble that comes and goes (an admin API that answers every other look) must not make the watched time endless
    over_s = plan.policy.soak_s - now.watch.seen_s(hand.soak_started_s, now.at_s)
    left_s = min(since_s - now.at_s, over_s) + plan.policy.gate_timeout_s
    if left_s <= 0:
        return HaltRun(f"after {hand.name} was back: {trouble}")
    return Wait(f"all nodes as fine as before: {trouble}", node=hand.name, step="soak", left_s=left_s)
