"""SIGKILL of the real process before and after each journal record and each remote act; then recover from elsewhere.

Real HAProxy, real sshd, real SIGKILL. A recovery takes 27 s because it watches the dead run's beat and outwaits its
last write; so several clusters work side by side.
"""

import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.crash.machine import Machine, on_machines

pytestmark = pytest.mark.real
RUN = ("run", "--yes", "--nodes", "jira1")
MOST_POINTS = 400
TELLING = ("after the claim changed on jira2", "after jira1 in scim to drain", "after the restart of jira1")


def die_at(machine: Machine, point: str, *words: str) -> str:
    """Run until the point (its number, or its words), recover from elsewhere, judge. Empty: there was none."""
    machine.begin()
    killed = machine.crashing(point, *RUN).result()
    if killed.exit != -signal.SIGKILL:
        assert killed.exit == 0, killed.text
        machine.bed.observer.stop()
        return ""
    recovered = machine.recover(*words)
    machine.bed.observer.stop()
    told = f"killed {machine.last_point}\n{recovered.text}"
    assert recovered.exit == 0, told
    machine.sound(told)
    machine.as_found(told)
    machine.nothing_left_to_do()
    return machine.last_point


def test_a_run_that_dies_at_a_telling_point_is_put_right_from_elsewhere(tmp_path: Path) -> None:
    def one(number: int) -> str:
        with Machine(tmp_path / f"bed{number}") as machine:
            return die_at(machine, TELLING[number], "--take-over")  # the beat is watched in the long test

    with ThreadPoolExecutor(len(TELLING)) as pool:
        assert all(pool.map(one, range(len(TELLING)))), "each point was met"


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_run_that_dies_at_any_point_is_put_right_from_elsewhere(record_property) -> None:
    """n = 1, 2, 3 … until a run meets no more points."""
    met: dict[int, str] = {}
    over: list[int] = []

    def points() -> Iterator[int]:
        for point in range(1, MOST_POINTS):
            if over:
                return
            yield point

    def work(machine: Machine, point: int) -> None:
        last = die_at(machine, str(point))
        if last:
            met[point] = last
        else:
            over.append(point)

    on_machines(points(), work)
    assert over, f"more than {MOST_POINTS} points"
    record_property("points", len(met))
    sys.stdout.write(f"{len(met)} points, each recovered from elsewhere; the last: {met[max(met)]}\n")
    assert len(met) > 60
