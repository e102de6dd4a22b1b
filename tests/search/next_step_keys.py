"""One text for equal states: moments are told as ages, and ages no further than any limit looks.

What only reports read (when a node was out) is left out.
"""

from collections.abc import Mapping

from rollsafe.planner.next_step import ORDERS
from rollsafe.planner.readings import Watch
from rollsafe.planner.state import NodeState, RunState
from tests.search.next_step_operator import Operator
from tests.search.next_step_world import POLICY, SCIM_DRAIN_S

LONGEST_S = 12.0  # longer than each limit of the plan, and than each patience as the search sets it
STREAK_S = max(POLICY.healthy_for_s, POLICY.soak_s)


def operator_key(operator: Operator | None, t: int) -> object:
    """One process."""
    if operator is None:
        return None
    order_age = _age(operator.order_s, t, 4.0) if operator.order else None
    looked_s = None if operator.looked_s is None else min(t - operator.looked_s, 4)
    return (
        operator.number,
        operator.mode,
        operator.order,
        order_age,
        looked_s,
        tuple(n.name for n in operator.plan.nodes),
        state_key(operator.state, t),
        _watch_key(operator.watch, t),
    )


def state_key(state: RunState, t: int) -> object:
    """What was folded."""
    nodes = tuple(
        _node_key(n, t) if n.outcome is None else (n.name, n.outcome, n.restart, n.soaked, _wrote(n))
        for n in state.nodes.values()
    )
    halt = (
        None
        if state.halt is None
        else (state.halt.lost, state.halt.reason if state.halt.reason in ORDERS.values() else "")
    )
    return (
        state.mode,
        nodes,
        state.in_hand,
        halt,
        _age(state.gates_closed_s, t, POLICY.gate_timeout_s),
        state.fine_at_start,
        state.finished,
        state.epoch,
    )


def _wrote(node: NodeState) -> object:
    return (
        tuple(node.found.items()) and tuple(f.admin for f in node.found.values()),
        tuple(node.wrote.items()),
        tuple(node.last_seen.items()),
        tuple(node.in_doubt.items()),
    )


def _node_key(node: NodeState, t: int) -> object:
    failures = tuple((m, f.count, _age(f.last_s, t, 10.0)) for m, f in sorted(node.failures.items()))
    drains = tuple(
        (s, _age(d.started_s, t, LONGEST_S), _age(d.maint_s, t, LONGEST_S), d.outcome, d.rounds)
        for s, d in node.drains.items()
    )
    moments = (
        _age(node.restart_s, t, LONGEST_S),
        _age(node.restart_exit_s, t, LONGEST_S),
        _age(node.healthy_started_s, t, LONGEST_S),
        node.healthy_s is None,
        _age(node.ready_started_s, t, LONGEST_S),
        node.ready_s is None,
        _age(node.soak_started_s, t, LONGEST_S),
        _age(node.gates_closed_s, t, POLICY.gate_timeout_s),
    )
    return (
        node.name,
        tuple(f.admin for f in node.found.values()),
        _sorted(node.wrote),
        _sorted(node.last_seen),
        _sorted(node.in_doubt),
        failures,
        tuple(sorted(node.lifted.items())),
        drains,
        node.counts_as_stopped,
        node.restart,
        node.restart_attempts,
        node.identity_before,
        node.soaked,
        moments,
    )


def _watch_key(watch: Watch, t: int) -> object:
    return (
        watch.seen_out,
        tuple((k, min(count, 3)) for k, count in watch.idle.items()),
        tuple((n, _age(s, t, STREAK_S)) for n, s in watch.healthy_since.items()),
        tuple((pair, min(looks, 2)) for pair, looks in watch.ill_looks.items()),
        _age(watch.calm_since, t, STREAK_S),
        _age(watch.trouble_since, t, LONGEST_S),
        tuple((k, _age(s, t, LONGEST_S)) for k, s in watch.unread_since.items()),
        tuple(watch.process.values()),
        tuple((k, _age(s, t, SCIM_DRAIN_S + 1.0)) for k, s in watch.reloaded_at.items()),
        tuple((k, _age(s, t, SCIM_DRAIN_S + 1.0)) for k, s in watch.born_at.items()),
    )


def _sorted(values: Mapping[object, object]) -> tuple[object, ...]:
    return tuple(sorted(values.items(), key=lambda pair: str(pair[0])))


def _age(moment: float | None, t: int, most: float) -> float | None:
    return None if moment is None else min(t - moment, most)
