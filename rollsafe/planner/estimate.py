"""How long a node's turn takes: what its last turns took, else what the product usually needs."""

from collections.abc import Mapping, Sequence

from rollsafe.model.plan import NodeEstimate, Plan

# Of each node, latest first: the seconds of a turn without its `healthy_for` and `soak`, which are settings.
Past = Mapping[str, Sequence[float]]
LAST_TURNS = 5


def estimates(plan: Plan, past: Past) -> tuple[NodeEstimate, ...]:
    """One for each node of the plan, in its order: the median of its last turns, with the settings of now."""
    waits_s = plan.policy.healthy_for_s + plan.policy.soak_s
    told = []
    for node in plan.nodes:
        turns = list(past.get(node.name, ()))[:LAST_TURNS]
        expected_s = round(_median(turns) + waits_s, 1) if turns else plan.node_estimate_s
        told.append(NodeEstimate(node.name, expected_s, len(turns)))
    return tuple(told)


def _median(numbers: Sequence[float]) -> float:
    """statistics.median, whose import alone takes longer than all of this room's."""
    low, high = (len(numbers) - 1) // 2, len(numbers) // 2
    ranked = sorted(numbers)
    return (ranked[low] + ranked[high]) / 2
