"""One guard, and the places that many of them name."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """One guard. `test` is FILE::FUNCTION, with [ROW] where one row of a table is enough."""

    name: str
    prevents: str
    invariant: str
    file: str
    old: str
    new: str
    test: str


P, E, D, T = "rollsafe/planner/", "rollsafe/engine/", "rollsafe/drivers/remote/", "tests/planner/"
GATES, BEGIN, STOP = (
    P + "gates.py",
    "test_gates.py::test_gates_of_taking_a_node_in_hand",
    "test_gates_in_front_of_the_stop",
)
OTHERS = T + "test_others_fail.py::"
ENGINE = "tests/guards/test_engine_guards.py::"
