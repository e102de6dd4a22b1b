"""The ending of a process that must end now, while a call of its engine hangs: what is known, and what is not, by name.

Nothing is asked any more: it is made of the journal's state, of the claims that were met or made, and of what the
balancers last showed.
"""

from collections.abc import Sequence
from typing import Any

from rollsafe.engine.traces import Traces
from rollsafe.model.claim import ClaimRecord, FoundMember
from rollsafe.model.reading import AdminState, Member, SeatReading
from rollsafe.model.wording import ended
from rollsafe.planner.last_known import as_left, last_known, out_by_us
from rollsafe.planner.left_behind import begun, left_behind, silent
from rollsafe.planner.outcome import AS_TOLD, Ending
from rollsafe.planner.state import NodeState, Restart, RunState

OWN_CLAIM = "this run's claim"
NO_TIME = "an SSH or an API call gave no answer, and there was no time left to look again"
ALL_SEEN = "every node that was begun was seen as it was found"
NONE_BEGUN = "stopped before any node was begun; nothing was taken out"
Left = dict[str, str]


def forced_ending(state: RunState, traces: Traces, *, mend: str, at_s: float) -> Ending:
    """30 where a node was last seen out, or was stopped and is not seen back; 40 with each thing that can't be said."""
    left = [*_left_out(state, traces, mend), *_left_by_the_dead(state, traces, mend)]
    out = list(dict.fromkeys(entry["node"] for entry in left))
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
    stopped = [state.nodes[name] for name in out if name in state.nodes and state.nodes[name].stopped]
    down = "".join(f"{node.name} {_stopped(node)}, and was not seen back; " for node in stopped)
    also = f" Not known: {ended('; '.join(doubts))}" if doubts else ""
    return f"{', '.join(out)} is out of service{told}: {down}{_why(state)}{NO_TIME}.{also} To put it back: {mend}"


def _but(state: RunState, doubts: Sequence[str]) -> str:
    """What is known to be well, where something else is not known."""
    if not state.nodes:
        return "no node was begun, but "
    return f"{ALL_SEEN}, but " if len(doubts) == 1 and doubts[0].startswith(OWN_CLAIM) else ""


def _why(state: RunState) -> str:
    return f"{state.halt.reason.rstrip('.')}; " if state.halt is not None else ""


def _left_out(state: RunState, traces: Traces, mend: str) -> list[Left]:
    """What was last known to be out by our hand, and all of a node that was stopped and that nobody saw back."""
    left = []
    for node in state.nodes.values():
        if node.outcome in AS_TOLD:
            continue
        down = _down(state, node, traces)
        for member in node.found:
            last = _last(node, member, traces)
            if last is not None and out_by_us(node, member, last) and node.in_doubt.get(member, last).out:
                left.append({**member.place, "state": last.value, "mend": mend})
            elif down:
                shown = "not read" if last is None else last.value
                words = f"{shown}, but {node.name} {_stopped(node)} and was not seen back"
                left.append({**member.place, "state": words, "mend": mend})
    return left


def _stopped(node: NodeState) -> str:
    surely = node.restart is not Restart.NONE
    return "was stopped" if surely else "may have been stopped"


def _last(node: NodeState, member: Member, traces: Traces) -> AdminState | None:
    """What a member was last seen in: by our write, by the loop's looks, or when the command began."""
    known = last_known(node, member, traces.watch)
    if known is not None or traces.before is None:
        return known
    seat = traces.before.member(member)
    return seat.admin if isinstance(seat, SeatReading) else None


def _left_by_the_dead(state: RunState, traces: Traces, mend: str) -> list[Left]:
    """What the run of a claim that was met had out when the balancers were last read."""
    if traces.met is None or traces.before is None or traces.alive:
        return []
    return [{**entry, "mend": mend} for entry in left_behind(_not_begun(state, traces.met), traces.before)]


def _not_begun(state: RunState, met: ClaimRecord) -> dict[str, tuple[FoundMember, ...]]:
    return {node: entry for node, entry in met.entries.items() if node not in state.nodes}


def _down(state: RunState, node: NodeState, traces: Traces) -> bool:
    """Was it stopped, and did nobody see it back in service?"""
    if node.outcome == "left out":
        return True
    return node.name == state.in_hand and node.stopped and node.ready_s is None and not _untouched(node, traces)


def _untouched(node: NodeState, traces: Traces) -> bool:
    """Is it a node that `ready` or `recover` took in hand, and that is as a person left it, or looked well?"""
    if node.restart is not Restart.NONE:
        return False
    last = {member: _last(node, member, traces) for member in node.found}
    if all(as_left(node, member, admin) for member, admin in last.items()):
        return True
    return node.name in traces.watch.healthy_since and all(last[m] is found.admin for m, found in node.found.items())


def _doubts(state: RunState, traces: Traces, out: Sequence[str]) -> list[str]:
    """What could not be read, each as a sentence."""
    doubts = ["the claims on the nodes could not be read"] if traces.reading else []
    doubts += _unseen_of_the_dead(traces, (*out, *state.nodes))
    if traces.met is not None and traces.before is not None and not traces.alive:
        doubts += silent(_not_begun(state, traces.met), traces.before)
    for node in state.nodes.values():
        doubts += [f"whether {member} is in {to.value} could not be read" for member, to in node.in_doubt.items()]
        if node.name == state.in_hand and node.name not in out and node.counts_as_stopped and node.ready_s is None:
            doubts.append(f"whether {node.name} is in service could not be read to the end")
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
