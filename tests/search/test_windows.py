"""Random windows: while faults go on nothing breaks (safety), and once they stop everything comes back (liveness).

A failing seed is in the message; `ROLLSAFE_SEED=SEED ROLLSAFE_WINDOWS=1 pytest -m soak tests/search/test_windows.py`
plays that window again.
"""

import gc
import os
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import pytest

from rollsafe.model.reading import AdminState
from rollsafe.planner import next_step
from rollsafe.planner.state import Restart
from rollsafe.rehearsal import clock
from tests.search.windows import Outcome, Window, play, script

SHORT = 200
FIRST = os.environ.get("ROLLSAFE_SEED")  # read here: no test sees the user's own settings
LONG = int(os.environ.get("ROLLSAFE_WINDOWS") or 100_000)
MAINT_BY_A_PERSON = 510613  # its node never came up, and a person had put all its members into maint meanwhile
ONCE_BROKEN = (
    2158997,
    2180212,
    2209557,
    2364522,
    510343,
    MAINT_BY_A_PERSON,
    523473,
    531464,
    543348,
    548525,
    554768,
    705262,
    717184,
    721868,
    728169,
    738197,
    741150,
    750373,
    758115,
    765030,
    776086,
    785760,
    812805,
    909523,
    940114,
    947285,
    954314,
    958869,
    1011948,
    1227742,
    1348431,
    2002746,
    2003055,
    2034369,
)
SHARE = 250  # windows that a process plays before it tells


@contextmanager
def collected_by_hand() -> Iterator[None]:
    """Thousands of short-lived worlds: it is much quicker to collect their remains now and then."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def play_all(seeds: Sequence[int]) -> list[Outcome]:
    """The windows of these seeds."""
    outcomes = []
    with collected_by_hand():
        for count, seed in enumerate(seeds):
            outcomes.append(play(seed))
            if count % 64 == 63:
                gc.collect()
    return outcomes


def told(outcomes: Sequence[Outcome]) -> str:
    broken = [outcome for outcome in outcomes if outcome.broken]
    return f"{len(broken)} of {len(outcomes)} windows broke something, such as\n" + "\n".join(map(str, broken[:3]))


@pytest.fixture(scope="module")
def outcomes() -> list[Outcome]:
    return play_all(range(SHORT))


def test_nothing_breaks_and_everything_comes_back(outcomes: list[Outcome]) -> None:
    assert not any(outcome.broken for outcome in outcomes), told(outcomes)


def test_the_windows_end_in_every_way_that_a_run_can_end(outcomes: list[Outcome]) -> None:
    exits = Counter(outcome.exits[0] for outcome in outcomes)
    assert set(exits) == {None, 0, 10, 20, 30, 40}
    assert min(exits.values()) > SHORT / 50
    assert any(outcome.script.resumes and len(outcome.exits) > 3 for outcome in outcomes)
    assert sum(len(outcome.script.machines) for outcome in outcomes) > SHORT * 1.2


@pytest.mark.parametrize("seed", ONCE_BROKEN)
def test_a_window_that_once_broke_something_does_so_no_more(seed: int) -> None:
    outcome = play(seed)
    assert not outcome.broken, outcome


def test_what_others_changed_is_not_undone_by_a_later_recover() -> None:
    window = Window(script(MAINT_BY_A_PERSON))
    window.play()
    assert window.outcome.exits == [30, 0, 0]
    seats = [seat for endpoint in window.sim.endpoints.values() for seat in endpoint.seats() if seat.node.name == "n2"]
    assert {seat.admin for seat in seats} == {AdminState.MAINT}


def test_a_seed_replays_its_window_exactly() -> None:
    assert script(17) == script(17) != script(18)
    histories = []
    for others_before in (range(0), range(3)):
        play_all(others_before)
        window = Window(script(17))
        window.play()
        records = [(r.at_s, r.type, r.message) for operator in window.sim.operators for r in operator.records]
        histories.append((records, window.sim.outside.acts, str(window.outcome)))
    assert histories[0] == histories[1]


def test_a_broken_planner_is_found_by_some_window_and_the_seed_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_step, "_may_go_back", lambda _plan, hand, _now: hand.restart is Restart.DONE)
    found = [outcome for outcome in play_all(range(20)) if any(v.invariant == "I4" for v in outcome.broken)]
    assert found
    assert f"seed {found[0].script.seed}, exits" in told(found)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_a_hundred_thousand_windows(capsys: pytest.CaptureFixture[str]) -> None:
    first, count = int(FIRST or random.SystemRandom().randrange(10**9)), LONG
    with capsys.disabled():
        print(f"\n{count} windows, ROLLSAFE_SEED={first}", flush=True)
    clock.dismiss()  # a process that forks has one thread only
    shares = [range(at, min(at + SHARE, first + count)) for at in range(first, first + count, SHARE)]
    exits: Counter[int | None] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("fork")) as pool:
        for done, outcomes in enumerate(pool.map(play_all, shares), start=1):
            exits.update(outcome.exits[0] for outcome in outcomes)
            assert not any(outcome.broken for outcome in outcomes), told(outcomes)
            if done % 20 == 0:
                with capsys.disabled():
                    print(f"{sum(exits.values())} windows, first exits {dict(exits)}, nothing broke", flush=True)
    assert sum(exits.values()) == count
