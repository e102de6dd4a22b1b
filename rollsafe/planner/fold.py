"""Records → RunState: the only place where progress changes. A pure reduction, one record at a time."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from rollsafe.model.reading import AdminState, Found, Member
from rollsafe.model.record import Record
from rollsafe.planner.state import DrainState, Failures, Halt, NodeState, Restart, RunState


def fold(records: Iterable[Record], state: RunState | None = None) -> RunState:
    """The state after all of these records."""
    state = state or RunState()
    for record in records:
        state = advance(state, record)
    return state


def advance(state: RunState, record: Record) -> RunState:
    """The state after one more record. Types that carry no progress change nothing."""
    on_run = _ON_RUN.get(record.type)
    if on_run is not None:
        return on_run(state, record)
    on_node = _ON_NODE.get(record.type)
    if on_node is None or record.node is None or record.node not in state.nodes:
        return state
    return _with(state, on_node(state.nodes[record.node], record))


def member_data(member: Member) -> dict[str, str]:
    """A member as JSON."""
    return {**member.place, "pool": member.pool, "seat": member.seat}


def member_of(data: Mapping[str, Any]) -> Member:
    """The member that `member_data` made."""
    return Member(**{key: data[key] for key in ("node", "service", "balancer", "endpoint", "pool", "seat")})


def found_data(member: Member, found: Found) -> dict[str, Any]:
    """A member with the state in which it was found, as JSON."""
    return {**member_data(member), "admin": found.admin.value, "restore": dict(found.restore)}


def _with(state: RunState, node: NodeState) -> RunState:
    return replace(state, nodes={**state.nodes, node.name: node})


def _run_started(state: RunState, record: Record) -> RunState:
    return replace(state, run=record.run, mode=record.data.get("mode", "run"))


def _claim_made(state: RunState, record: Record) -> RunState:
    return replace(state, fine_at_start=frozenset(record.data.get("fine", ())))


def _claim_raising(state: RunState, record: Record) -> RunState:
    return replace(state, raised_by=state.raised_by | {record.data["holder"]})


def _run_resumed(state: RunState, record: Record) -> RunState:
    """Another process goes on: every wait begins anew, and what was drained is drained again.

    A node that was left out is in hand again, and one that was put back without its restart has its turn yet to come.
    """
    nodes = {n: node for n, node in state.nodes.items() if node.outcome != "put back"}
    in_hand = state.in_hand or next((n for n, node in nodes.items() if node.outcome in ("left out", "unknown")), None)
    if in_hand is not None:
        nodes[in_hand] = _taken_up(nodes[in_hand], record)
    return replace(
        state,
        nodes=nodes,
        in_hand=in_hand,
        halt=None,
        gates_closed_s=None,
        claim_stuck_s=None,
        settled_s=record.at_s,
        finished=False,
        epoch=record.data.get("epoch", state.epoch + 1),
        fine_at_start=frozenset(record.data.get("fine", state.fine_at_start)),
    )


def _taken_up(node: NodeState, record: Record) -> NodeState:
    # the raised claim, which resume needs on every node, fences off a restart that could not be fenced off before
    restart = Restart.FAILED if node.restart is Restart.UNFENCED else node.restart
    return replace(
        node,
        outcome=None,
        drains={},
        lifted={},
        failures={},
        not_made_good={},
        gates_closed_s=None,
        healthy_started_s=None,
        healthy_s=None,
        ready_started_s=None if node.ready_s is None else node.ready_started_s,
        soak_started_s=None,
        restart=restart,
        restart_s=record.at_s if node.restart_s is not None else None,
    )


def _gate_checked(state: RunState, record: Record) -> RunState:
    if record.node is not None and record.node in state.nodes:
        hand = state.nodes[record.node]
        # of a node that is out only the act that they were asked for begins the time anew: a yes may not last till then
        if hand.gates_closed_s is not None or record.data.get("allowed", True):
            return state
        return _with(state, replace(hand, gates_closed_s=record.at_s))
    if record.node is None and not record.data.get("allowed", True):  # the act of taking a node in hand failed
        since_s = record.at_s if state.claim_stuck_s is None else state.claim_stuck_s
        return replace(state, claim_stuck_s=since_s, claim_stuck=record.message)
    closed_s = _closed_s(state.gates_closed_s, record)
    return state if closed_s == state.gates_closed_s else replace(state, gates_closed_s=closed_s)


def _closed_s(closed_s: float | None, record: Record) -> float | None:
    if record.data.get("all_allowed"):
        return None
    if record.data.get("allowed", True) or closed_s is not None:
        return closed_s
    return record.at_s


def _node_started(state: RunState, record: Record) -> RunState:
    assert record.node is not None
    found = {member_of(d): Found(AdminState(d.get("goal", d["admin"])), d["restore"]) for d in record.data["found"]}
    read = {member_of(d): AdminState(d["admin"]) for d in record.data["found"] if "goal" in d}
    wrote = {
        member_of(d): frozenset(AdminState(w) for w in d.get("wrote", ()))
        for d in record.data["found"]
        if d.get("wrote")
    }
    node = NodeState(
        record.node,
        record.at_s,
        found,
        read,
        wrote=wrote,
        counts_as_stopped=bool(record.data.get("counts_as_stopped")),
        out_s=record.at_s if wrote else None,  # an earlier run may have taken it out: it is out since then, at least
    )
    return replace(_with(state, node), in_hand=record.node, gates_closed_s=None, claim_stuck_s=None)


def _node_finished(state: RunState, record: Record) -> RunState:
    assert record.node is not None
    node = replace(state.nodes[record.node], outcome=record.data["outcome"])
    return replace(_with(state, node), in_hand=None, gates_closed_s=None, settled_s=record.at_s)


def _run_stopping(state: RunState, record: Record) -> RunState:
    halt = Halt(record.message, record.data.get("remedy", ""), bool(record.data.get("lost")))
    return replace(state, halt=halt)


def _run_finished(state: RunState, _record: Record) -> RunState:
    return replace(state, finished=True)


def _step_started(node: NodeState, record: Record) -> NodeState:
    step = record.data["step"]
    if step == "drain":
        assert record.service is not None
        drains = {**node.drains, record.service: DrainState(record.at_s)}
        return replace(node, drains=drains, gates_closed_s=None)
    if step == "maint":
        assert record.service is not None
        drain = replace(node.drains[record.service], maint_s=record.at_s)
        return replace(node, drains={**node.drains, record.service: drain})
    if step == "ready":  # what failed in taking the node out says nothing about putting it back
        node = replace(node, failures={})
    started = {"healthy": "healthy_started_s", "ready": "ready_started_s", "soak": "soak_started_s"}.get(step)
    return replace(node, **{started: record.at_s}) if started else node  # type: ignore[arg-type]  # names of float fields


def _step_finished(node: NodeState, record: Record) -> NodeState:
    step = record.data["step"]
    if step == "drain" and record.service is not None:
        data = record.data
        drain = replace(node.drains[record.service], outcome=data["outcome"], cut=data.get("cut", 0))
        return replace(node, drains={**node.drains, record.service: drain})
    if step == "healthy":
        return replace(node, healthy_s=record.at_s)
    if step == "ready":
        return replace(node, ready_s=record.at_s)
    return replace(node, soaked=True) if step == "soak" else node


def _write_intent(node: NodeState, record: Record) -> NodeState:
    member, to = member_of(record.data), AdminState(record.data["to"])
    node = replace(
        node,
        lifted=_lifted(node, member, to),
        wrote={**node.wrote, member: node.wrote.get(member, frozenset()) | {to}},
        in_doubt={**node.in_doubt, member: to},
        gates_closed_s=None if record.data.get("taking_out") else node.gates_closed_s,
    )
    drain = node.drains.get(member.service)
    if record.data.get("taking_out") and drain is not None and drain.outcome is not None and not node.stopped:
        # the mark was wiped after it was drained: clients may have come, so that it is drained anew
        anew = DrainState(record.at_s, drain.maint_s and record.at_s, None, drain.rounds + 1)
        node = replace(node, drains={**node.drains, member.service: anew})
    return node


def _lifted(node: NodeState, member: Member, to: AdminState) -> Mapping[Member, int]:
    """A mark that was seen and is to be written again was taken away; another try of that write does not count."""
    if not to.out or node.last_seen.get(member) is not to or member in node.in_doubt or member in node.failures:
        return node.lifted
    return {**node.lifted, member: node.lifted.get(member, 0) + 1}


def _write_done(node: NodeState, record: Record) -> NodeState:
    member, to = member_of(record.data), AdminState(record.data["to"])
    out_s = node.out_s if node.out_s is not None or not to.out else record.at_s
    return replace(
        node,
        drains=_timed_from(node, member, to, record.at_s),
        last_seen={**node.last_seen, member: to},
        last_seen_s={**node.last_seen_s, member: record.at_s},
        in_doubt={m: s for m, s in node.in_doubt.items() if m != member},
        failures={m: f for m, f in node.failures.items() if m != member},
        not_made_good={m: why for m, why in node.not_made_good.items() if m != member},
        out_s=out_s,
    )


def _timed_from(node: NodeState, member: Member, to: AdminState, at_s: float) -> Mapping[str, DrainState]:
    """A drain's time begins when its mark is first seen: a write that only came through late takes none of it away.

    Only the first time counts, so that a mark that is wiped again and again makes no drain endless.
    """
    drain = node.drains.get(member.service)
    if drain is None or drain.outcome is not None or node.stopped or node.last_seen.get(member) is to:
        return node.drains
    if to is AdminState.DRAIN and drain.maint_s is None:
        drain = replace(drain, started_s=at_s)
    elif to is AdminState.MAINT and drain.maint_s is not None:
        drain = replace(drain, maint_s=at_s)
    return {**node.drains, member.service: drain}


def _write_failed(node: NodeState, record: Record) -> NodeState:
    member = member_of(record.data)
    before = node.failures.get(member)
    failures = Failures((before.count if before else 0) + 1, record.at_s, record.message)
    whys = {**node.not_made_good, member: (record.message, record.at_s)}
    node = replace(node, failures={**node.failures, member: failures}, not_made_good=whys)
    if record.data.get("effect") == "none":
        node = replace(node, in_doubt={m: s for m, s in node.in_doubt.items() if m != member})
    return node


def _restart_intent(node: NodeState, record: Record) -> NodeState:
    return replace(
        node,
        restart=Restart.INTENT,
        restart_s=record.at_s,
        identity_before=record.data.get("identity_before"),
        order_until_s=record.data.get("node_uptime_until_s"),
    )


def _restart_begun(node: NodeState, _record: Record) -> NodeState:
    return replace(node, restart=Restart.BEGUN)


def _restart_ended(node: NodeState, record: Record) -> NodeState:
    return replace(node, restart_exit_s=record.at_s)


def _restart_done(node: NodeState, _record: Record) -> NodeState:
    return replace(node, restart=Restart.DONE)


def _restart_failed(node: NodeState, record: Record) -> NodeState:
    """It surely did not happen (the node goes on as not stopped), or it was given up, fenced or not."""
    if record.data.get("effect") == "none":
        return replace(
            node,
            restart=Restart.NONE,
            restart_s=None,
            restart_failure=record.message,
            restart_attempts=node.restart_attempts + 1,
        )
    restart = Restart.FAILED if record.data.get("fenced") else Restart.UNFENCED
    return replace(node, restart=restart, restart_failure=record.message)


_ON_RUN: Mapping[str, Callable[[RunState, Record], RunState]] = {
    "run.started": _run_started,
    "run.resumed": _run_resumed,
    "claim.made": _claim_made,
    "claim.raising": _claim_raising,
    "gate.checked": _gate_checked,
    "node.started": _node_started,
    "node.finished": _node_finished,
    "run.stopping": _run_stopping,
    "run.finished": _run_finished,
}

_ON_NODE: Mapping[str, Callable[[NodeState, Record], NodeState]] = {
    "step.started": _step_started,
    "step.finished": _step_finished,
    "write.intent": _write_intent,
    "write.done": _write_done,
    "write.failed": _write_failed,
    "restart.intent": _restart_intent,
    "restart.begun": _restart_begun,
    "restart.ended": _restart_ended,
    "restart.done": _restart_done,
    "restart.failed": _restart_failed,
}
