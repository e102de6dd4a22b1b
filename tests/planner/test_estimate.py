"""How long a node takes: by its last turns, else by the product's usual start."""

from dataclasses import replace

import pytest

from rollsafe.model.plan import NodeEstimate
from rollsafe.planner.estimate import estimates
from tests.planner import scene

PLAN = scene.make_plan(node_estimate_s=333.0, healthy_for_s=15.0, soak_s=30.0)
TURNS = {
    "nothing is known": ({}, NodeEstimate("a", 333.0, 0)),
    "one turn": ({"a": (100.0,)}, NodeEstimate("a", 145.0, 1)),
    "the median, not the mean: one slow night changes little": (
        {"a": (100.0, 110.0, 3000.0)},
        NodeEstimate("a", 155.0, 3),
    ),
    "only the last five count": ({"a": (10.0, 10.0, 10.0, 10.0, 10.0, 900.0, 900.0)}, NodeEstimate("a", 55.0, 5)),
    "another node's turns say nothing": ({"b": (10.0,)}, NodeEstimate("a", 333.0, 0)),
}


@pytest.mark.parametrize("row", TURNS)
def test_the_estimate_of_a_node(row):
    past, expected = TURNS[row]
    assert estimates(PLAN, past)[0] == expected


def test_the_settings_of_now_count_and_not_those_of_then():
    quick = replace(PLAN, policy=replace(PLAN.policy, soak_s=0.0, healthy_for_s=1.0))
    assert estimates(quick, {"a": (100.0,)})[0].expected_s == 101.0


def test_a_run_takes_what_its_nodes_take():
    plan = replace(PLAN, estimates=estimates(PLAN, {"a": (100.0,), "c": (200.0,)}))
    assert [plan.expected_s(n) for n in "abc"] == [145.0, 333.0, 245.0]
    assert plan.expected_s("a", "c") == 390.0
    assert plan.expected_s() == 723.0
