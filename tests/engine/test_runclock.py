"""The run's own clock: what is left of a wait may be too little to move any clock."""

from rollsafe.engine.runclock import RunClock
from rollsafe.rehearsal.clock import Timeline
from rollsafe.rehearsal.operator import OperatorClock


def test_a_wait_that_is_all_but_over_ends() -> None:
    timeline = Timeline()
    timeline.now = 158.1
    clock = RunClock(OperatorClock(timeline))
    until_s = clock.at_s() + 1e-15
    for _ in range(3):
        clock.sleep(until_s - clock.at_s())
    assert clock.at_s() > until_s
    assert timeline.now < 158.2


def test_a_wait_is_an_hour_at_most() -> None:
    timeline = Timeline()
    RunClock(OperatorClock(timeline)).sleep(1e9)
    assert timeline.now == 3600.0
