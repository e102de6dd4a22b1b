"""The real claim code, searched: runs, resumes and recovers at once, at every interleaving of their remote steps.

Nodes are cut off, claims and answers are lost, commands come late, processes are stopped and killed. The invariants are
judged by what is true in the abstract world, and in every state everybody is thought dead and a recover is tried.
A search that is cut short says which bound it hit.
"""

from collections.abc import Callable

import pytest

from tests.search.claim_mutants import AGAIN, BOTH, MUTANTS, OTHER, RESUME, RUN, TAKE
from tests.search.claim_operator import Program
from tests.search.claim_parts import Processes
from tests.search.claim_search import EVERYTHING, Limits, Search, Seen, search

Record = Callable[[str, object], None]
ONE, TWO, THREE = ("a",), ("a", "b"), ("a", "b", "c")
FORGETS = Program("t", "recover", (), frozenset({"b"}))
RIVAL = Program("s", "run", ("a",))


def told(name: str, seen: Seen, record_property: Record) -> Seen:
    """The numbers, for the report and for whoever reads the output."""
    record_property("states", seen.states)
    record_property("bound", seen.bound)
    record_property("told", f"{name}: {seen}")
    return seen


WHOLE = {
    # the processes, what may go wrong, and how many states there are at least
    "a run, one fault": ((BOTH,), Limits(faults=1), 1_000),
    "a run and a recover": ((RUN, TAKE), Limits(), 4_000),
    "a run and a resume": ((BOTH, RESUME), Limits(), 2_000),
    "two runs, one stop": ((RUN, OTHER), Limits(stops=1), 10_000),
    "a run and a recover that forgets a node": ((RUN, FORGETS), Limits(), 4_000),
}


@pytest.mark.parametrize("name", WHOLE)
def test_every_state(name: str, record_property: Record) -> None:
    programs, limits, at_least = WHOLE[name]
    seen = told(name, search(TWO, programs, limits), record_property)
    assert seen.broken == []
    assert seen.bound == EVERYTHING
    assert seen.states > at_least
    assert seen.worlds > 10


SLOW = (  # half a minute each on a busy machine: in `make soak`
    "no look at the clock in front of a write",
    "a takeover does not wait 10 s",
    "a change makes a missing file anew",
    "one claim is enough to take a node out",
)


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.soak) if n in SLOW else n for n in MUTANTS])
def test_a_broken_rule_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant = MUTANTS[name]
    mutant.broken(monkeypatch)
    seen = search(TWO, mutant.programs, mutant.limits._replace(most=400_000))
    assert len(seen.broken) == 1, f"{name}: {mutant.why}"
    assert seen.broken[0].startswith(mutant.says)


def test_a_late_write_of_a_stopped_process_is_the_only_one() -> None:
    seen = search(TWO, (RUN, TAKE), Limits(stops=1, most=40_000))
    assert seen.excused > 0
    assert seen.broken == []


def test_processes_at_the_same_place_are_told_as_one_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    few = Search(ONE, (RUN, TAKE), Limits(faults=1))
    merged = few.run()
    monkeypatch.setattr(Processes, "_alike", lambda self, step: self.rests.of(step.rest))
    many = Search(ONE, (RUN, TAKE), Limits(faults=1))
    apart = many.run()
    assert apart.bound == merged.bound == EVERYTHING
    assert apart.states > merged.states
    assert few.clusters() == many.clusters()


WHOLE_LATER = {
    # the nodes, the processes, what may go wrong, and how many states there are at least
    "a run and two recovers, one fault": (TWO, (RUN, TAKE, AGAIN), Limits(faults=1), 20_000_000),
    "a run and two recovers, one stop": (TWO, (RUN, TAKE, AGAIN), Limits(stops=1), 10_000_000),
    "two runs and a recover, one fault": (TWO, (RUN, OTHER, TAKE), Limits(faults=1), 20_000_000),
    "two runs and a recover, one stop": (TWO, (RUN, OTHER, TAKE), Limits(stops=1), 8_000_000),
    "two runs and two takeovers": (TWO, (RUN, OTHER, TAKE, AGAIN), Limits(), 40_000_000),
    "one node, two runs and two takeovers, one fault": (ONE, (RUN, RIVAL, TAKE, AGAIN), Limits(faults=1), 5_000_000),
    "one node, two runs and two takeovers, one stop": (ONE, (RUN, RIVAL, TAKE, AGAIN), Limits(stops=1), 5_000_000),
    "a run and a recover, one fault and one stop": (TWO, (RUN, TAKE), Limits(faults=1, stops=1), 4_000_000),
    "three nodes, a run and a recover, one fault": (THREE, (RUN, TAKE), Limits(faults=1), 3_000_000),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", WHOLE_LATER)
def test_every_state_that_takes_longer(name: str, record_property: Record) -> None:
    nodes, programs, limits, at_least = WHOLE_LATER[name]
    seen = told(name, search(nodes, programs, limits._replace(most=60_000_000, cpu_s=7_200.0)), record_property)
    assert seen.broken == []
    assert seen.bound == EVERYTHING
    assert seen.states > at_least


SOAK = {
    # the nodes, the processes, what may go wrong
    "two runs and two takeovers, one fault": (TWO, (RUN, OTHER, TAKE, AGAIN), Limits(faults=1)),
    "two runs and two takeovers, one stop": (TWO, (RUN, OTHER, TAKE, AGAIN), Limits(stops=1)),
    "a run, a recover and a resume": (TWO, (BOTH, TAKE, RESUME), Limits()),
    "a run, a recover and a resume, one stop": (TWO, (BOTH, TAKE, RESUME), Limits(stops=1)),
    "a run and a resume, one fault and one stop": (TWO, (BOTH, RESUME), Limits(faults=1, stops=1)),
    "three nodes, a run and a recover, one stop": (THREE, (RUN, TAKE), Limits(stops=1)),
}


@pytest.mark.soak
@pytest.mark.parametrize("name", SOAK)
def test_every_state_of_larger_worlds(name: str, record_property: Record) -> None:
    nodes, programs, limits = SOAK[name]
    seen = told(name, search(nodes, programs, limits._replace(most=20_000_000, cpu_s=1_200.0)), record_property)
    assert seen.broken == []
