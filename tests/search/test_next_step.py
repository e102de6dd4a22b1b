"""The real planner, searched: every state of small clusters, with faults, people, crashes and takeovers.

The invariants are judged by what is true in the abstract world. A search that is cut short says which bound it hit.
"""

from collections.abc import Callable

import pytest

from rollsafe.planner import drain, restart
from tests.search.next_step_search import Found, Limits, search
from tests.search.next_step_world import Shape

TWO, PAIR, THREE, FOUR = Shape(2), Shape(2, scim_endpoints=2), Shape(3), Shape(4)
BLIND = Shape(2, checked=False)
SHORT = Shape(2, window_s=30)
EVERYTHING = "none: every state was seen"
Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits that are constants become a few looks long, as all others are: fewer moments that differ in nothing."""
    monkeypatch.setattr(drain, "UNREAD_PATIENCE_S", 2.0)
    monkeypatch.setattr(restart, "PROOF_PATIENCE_S", 2.0)
    monkeypatch.setattr(restart, "UNREAD_PATIENCE_S", 2.0)


def told(name: str, found: Found, record_property: Record) -> Found:
    """The numbers, for the report and for whoever reads the output."""
    record_property("states", found.states)
    record_property("bound", found.bound)
    record_property("told", f"{name}: {found}")
    return found


WHOLE = {
    # the shape, faults, crashes, and how many states there are at least
    "two nodes, nothing goes wrong": (TWO, 0, 0, 30),
    "two nodes, one crash": (TWO, 0, 1, 3_000),
    "two nodes behind an HA pair, one fault": (PAIR, 1, 0, 6_000),
    "two nodes, a window for one, one crash": (SHORT, 0, 1, 1_000),
    "three nodes, nothing goes wrong": (THREE, 0, 0, 50),
    "three nodes, one crash": (THREE, 0, 1, 5_000),
    "four nodes, one crash": (FOUR, 0, 1, 8_000),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_state(name: str, record_property: Record) -> None:
    shape, faults, crashes, at_least = WHOLE[name]
    found = told(name, search(shape, Limits(faults, crashes)), record_property)
    assert found.bound == EVERYTHING
    assert found.states > at_least
    assert 0 in found.endings or shape.window_s is not None


WHOLE_LATER = {
    # as above, and longer
    "two nodes without checks of the balancers, one fault": (BLIND, 1, 0, 4_000),
    "three nodes, one fault": (THREE, 1, 0, 15_000),
    "four nodes, one fault": (FOUR, 1, 0, 20_000),
    "two nodes, two crashes": (TWO, 0, 2, 70_000),
    "three nodes, two crashes": (THREE, 0, 2, 140_000),
    "two nodes, one fault and one crash": (TWO, 1, 1, 500_000),
}
SOAK = {
    # the shape, faults, crashes
    "two nodes, two faults": (TWO, 2, 0),
    "two nodes, two faults and one crash": (TWO, 2, 1),
    "two nodes behind an HA pair, one fault and one crash": (PAIR, 1, 1),
    "two nodes without checks of the balancers, one fault and one crash": (BLIND, 1, 1),
    "two nodes, a window for one, one fault and one crash": (SHORT, 1, 1),
    "three nodes, one fault and one crash": (THREE, 1, 1),
    "four nodes, one fault and one crash": (FOUR, 1, 1),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", WHOLE_LATER)
def test_every_state_that_takes_longer(name: str, record_property: Record) -> None:
    shape, faults, crashes, at_least = WHOLE_LATER[name]
    found = told(name, search(shape, Limits(faults, crashes, 2_000_000, 3_000.0)), record_property)
    assert found.bound == EVERYTHING
    assert found.states > at_least


@pytest.mark.soak
@pytest.mark.parametrize("name", SOAK)
def test_every_state_of_larger_worlds(name: str, record_property: Record) -> None:
    shape, faults, crashes = SOAK[name]
    found = told(name, search(shape, Limits(faults, crashes, 2_000_000, 1_200.0)), record_property)
    assert sum(found.endings.values()) > 0
