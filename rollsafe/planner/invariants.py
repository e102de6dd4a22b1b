"""I1 to I10 as functions: the engine asserts them in production, tests and rehearsal call the same ones.

Each raises InvariantBroken. What only an outside observer can tell (I8, I9, I10 and the claim's history behind I6) is
checked where the outside is: in the rehearsal's and the tests' own observers.
"""

from rollsafe.errors import InvariantBroken
from rollsafe.model.plan import Plan
from rollsafe.model.reading import SeatReading
from rollsafe.planner import gates
from rollsafe.planner.decisions import WriteMembers
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import Restart, RunState


def check_before_write(plan: Plan, state: RunState, decision: WriteMembers) -> None:
    """What must hold in front of every balancer write: I2 and I4."""
    i2_one_node_out(state)
    if not decision.taking_out:
        i4_gates_before_put_back(state, decision.node)
    for write in decision.writes:
        if write.member.node != decision.node:
            raise InvariantBroken("I2", f"a write to {write.member} while {decision.node} is in hand")
        if write.member not in plan.members and state.mode != "recover":
            raise InvariantBroken("I2", f"a write to {write.member}, which is no member of the plan")


def check_before_restart(plan: Plan, state: RunState, now: Readings, node: str) -> None:
    """What must hold in front of every restart: I1, I2 and I3."""
    i1_others_suffice(plan, now, node)
    i2_one_node_out(state)
    i3_read_out(plan, state, now, node)


def i1_others_suffice(plan: Plan, now: Readings, node: str) -> None:
    """I1: our acts never bring a service below min_ready on any endpoint."""
    for verdict in gates.refusals(gates.min_ready(plan, now, node)):
        raise InvariantBroken("I1", verdict.reason)


def i2_one_node_out(state: RunState) -> None:
    """I2: at most one node is out by our hand."""
    out = [n.name for n in state.nodes.values() if n.outcome is None]
    if len(out) > 1:
        raise InvariantBroken("I2", f"more than one node is in hand: {', '.join(out)}")
    for node in state.nodes.values():
        if node.outcome == "left out" and state.in_hand not in (None, node.name) and state.mode != "recover":
            raise InvariantBroken("I2", f"{node.name} was left out, and {state.in_hand} is in hand")


def i3_read_out(plan: Plan, state: RunState, now: Readings, node: str) -> None:
    """I3: no stop unless every endpoint was read out after our last write, with SCIM idle."""
    hand = state.nodes[node]
    if hand.in_doubt:
        raise InvariantBroken("I3", f"a write to {next(iter(hand.in_doubt))} is in doubt")
    for member in plan.members_of(node):
        seat = now.member(member)
        if not isinstance(seat, SeatReading) or not seat.admin.out:
            raise InvariantBroken("I3", f"{member} was not read out")
        cut = hand.drains.get(member.service)
        if seat.active != 0 and not (cut is not None and cut.outcome == "cut"):
            raise InvariantBroken("I3", f"{member} has {seat.active} active")


def i4_gates_before_put_back(state: RunState, node: str) -> None:
    """I4: no put-back before all health gates pass, unless the node was never stopped."""
    hand = state.nodes[node]
    if hand.stopped and hand.healthy_s is None:
        raise InvariantBroken("I4", f"{node} was stopped, and has not been healthy since")
    if hand.restart in (Restart.INTENT, Restart.BEGUN, Restart.UNFENCED):
        raise InvariantBroken("I4", f"the restart of {node} may still be under way")
