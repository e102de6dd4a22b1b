"""The ending of a process that must end now, while a call of its engine hangs: what is known, and what is not, by name.

Nothing is asked any more: it is made of the journal's state, of the claims that were met or made, and of what the
balancers last showed.
"""

from collections.abc import Sequence
from typing import Any

from rollsafe.engine.traces import Traces
from rollsafe.model.claim import ClaimRecord, FoundMember
from rollsafe.planner.left_behind import begun, left_behind, silent
from rollsafe.planner.outcome import AS_TOLD, Ending
from rollsafe.planner.state import NodeState, RunState

OWN_CLAIM = "this run's claim"
NO_TIME = "an SSH or an API call gave no answer, and there was no time left to look again"
ALL_SEEN = "every node that was begun was seen as it was found"
NONE_BEGUN = "stopped before any node was begun; nothing was taken out"
Left = dict[str, str]


def forced_ending(state: RunState, traces: Traces, *, mend: str, at_s: float) -> Ending:
    """30 where a node was last seen out, or was stopped and is not seen back; 40 with each thing that can't be said."""
    left = [*_left_out(state, mend), *_left_by_the_dead(state, traces, mend)]
    out = list(dict.fromkeys([*(entry["node"] for entry in left), *_not_back(state)]))
    doubts = _doubts(state, traces, out) + ([] if out else _claims(state, traces))
    nodes = {node.name: _node(node, at_s, out=node.name in out) for node in state.nodes.values()}
    if out:
        return Ending("node-out", 30, _out_text(state, out, left, doubts, mend), nodes, tuple(left), (), tuple(doubts))
    if doubts:
        text = f"{_but(state, doubts)}{'; '.join(doubts)}: {_why(state)}{NO_TIME}. To look and mend: {mend}"
        return Ending("unknown", 40, text, nodes, unread=tuple(doubts))
    return Ending("stopped", 20, f"stopped; {ALL_SEEN}" if state.nodes else NONE_BEGUN, nodes)


def _out_text(state: RunState, out: Sequence[str], left: Sequence[Left], doubts: Sequence[str], mend: str) -> str:
    where = "; ".join(f"{e['service']} on {e['endpoint']}: {e['state']}" for e in left)
    told = f" ({where})" if where else ""
    stopped = [name for name in out if name in state.nodes and state.nodes[name].stopped]
    down = f"{', '.join(stopped)} was stopped, and was not seen back; " if stopped else ""
    also = f" Not known: {'; '.join(doubts)}." if doubts else ""
    return f"{', '.join(out)} is out of service{told}: {down}{_why(state)}{NO_TIME}.{also} To put it back: {mend}"


def _but(state: RunState, doubts: Sequence[str]) -> str:
    """What is known to be well, where something else is not known."""
    if not state.nodes:
        return "no node was begun, but "
    return f"{ALL_SEEN}, but " if len(doubts) == 1 and doubts[0].startswith(OWN_CLAIM) else ""


def _why(state: RunState) -> str:
    return f"{state.halt.reason.rstrip('.')}; " if state.halt is not None else ""


def _left_out(state: RunState, mend: str) -> list[Left]:
    """What was last seen out by our hand."""
    return [
        {**member.place, "state": last.value, "mend": mend}
        for node in state.nodes.values()
        if node.outcome not in AS_TOLD
        for member, last in node.last_seen.items()
        if last.out and not node.found[member].admin.out
    ]


def _left_by_the_dead(state: RunState, traces: Traces, mend: str) -> list[Left]:
    """What the run of a claim that was met had out when the balancers were last read."""
    if traces.met is None or traces.before is None or traces.alive:
        return []
    return [{**entry, "mend": mend} for entry in left_behind(_not_begun(state, traces.met), traces.before)]


def _not_begun(state: RunState, met: ClaimRecord) -> dict[str, tuple[FoundMember, ...]]:
    return {node: entry for node, entry in met.entries.items() if node not in state.nodes}


def _not_back(state: RunState) -> list[str]:
    """Nodes that were stopped, and that nobody saw back in service."""
    hand = state.hand
    names = [name for name, node in state.nodes.items() if node.outcome == "left out"]
    return [*names, hand.name] if hand is not None and hand.stopped and hand.ready_s is None else names


def _doubts(state: RunState, traces: Traces, out: Sequence[str]) -> list[str]:
    """What could not be read, each as a sentence."""
    doubts = ["the claims on the nodes could not be read"] if traces.reading else []
    doubts += _unseen_of_the_dead(traces, (*out, *state.nodes))
    if traces.met is not None and traces.before is not None and not traces.alive:
        doubts += silent(_not_begun(state, traces.met), traces.before)
    for node in state.nodes.values():
        doubts += [f"whether {member} is in {to.value} could not be read" for member, to in node.in_doubt.items()]
    return doubts


def _claims(state: RunState, traces: Traces) -> list[str]:
    """Claims that nobody needs any more, where a node that is out needs them, for `recover`."""
    if state.halt is not None and state.halt.lost:
        return ["what was done since by whoever took the claim over could not be read"]
    claims = traces.claims()
    return [f"{OWN_CLAIM} on {', '.join(claims)} could not be ended, and stays"] if claims else []


def _unseen_of_the_dead(traces: Traces, known: Sequence[str]) -> list[str]:
    """Nodes that the run of a met claim had begun, and that may be out: its own restart may have hit them last."""
    if traces.met is None or traces.alive:  # a run that lives answers for its node
        return []
    run, who = traces.met.token.run, traces.met.who
    return [
        f"whether {node}, which run {run} of {who.who} from {who.host} had begun, is in service could not be read"
        for node in begun(traces.met.entries, traces.met.node_in_hand)
        if node not in known
    ]


def _node(node: NodeState, at_s: float, *, out: bool) -> dict[str, Any]:
    end_s = node.ready_s if node.ready_s is not None and not out else at_s
    out_of_service_s = round(end_s - node.out_s, 1) if node.out_s is not None else 0.0
    return {"outcome": "left out" if out else node.outcome or "unknown", "out_of_service_s": out_of_service_s}
