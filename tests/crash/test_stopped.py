"""A run that stands still (SIGSTOP), is taken over, and wakes: it restarts nothing, and at most one write comes late.

Real HAProxy, real sshd, real SIGSTOP. A takeover watches the beat for 15 s and outwaits 10 s more. A run that wakes
before it is thought dead goes on; one that wakes during the 10 s may still write, and recover comes after it.
"""

import itertools
import random
import re
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.machine import Machine, ended, on_machines, seeded, stopped
from tests.testbed import Result
from tests.testbed.command import Running
from tests.testbed.process import wait_until

pytestmark = pytest.mark.real
RUN = ("run", "--yes", "--nodes", "jira1")
WRITES = [f"before jira1 in {pool} to {state}" for pool, state in (("web", "drain"), ("scim", "drain"))]
BACK = [f"before jira1 in {pool} to ready" for pool in ("scim", "web")]
RESTARTS = ["before the restart of jira1", "after the restart of jira1", "before record restart.intent"]
LOOKS = [f"after the look at the claims #{n}" for n in range(1, 8)]
CLAIMS = ["after the claim made on jira1", "before the claim changed on jira1", "after the claim changed on jira2"]
POINTS = [*WRITES, *BACK, *RESTARTS, *LOOKS, *CLAIMS]
WENT_ON = (0, 20)  # 20: the time allowed for a drain was over when it woke; it put the node back
OUTWAIT_S = 9.5  # 10 s, less what the clocks of two logs may differ


@dataclass(frozen=True)
class Stop:
    """Where a run is stopped, and when it wakes: seconds after recover began, None for after its end."""

    point: str
    wake_s: float | None = None
    at_once: bool = False  # recover does not watch the beat first (--take-over)


@dataclass(frozen=True)
class Woken:
    """What came of it."""

    run: Result
    recovery: Result
    late_writes: int


def stop_and_wake(machine: Machine, stop: Stop) -> Woken:
    """Stop the run there, take it over, wake it, and hold what must hold."""
    machine.begin()
    run = machine.crashing(f"stop {stop.point}", *RUN)
    wait_until(lambda: stopped(run) or ended(run), 40, f"stop {stop.point}")
    told = f"{stop}\n"
    assert stopped(run), f"{told}the point was not met:\n{run.result().text}"
    recovery, woken = taken_over(machine, run, stop)
    machine.bed.observer.stop()
    told = f"{told}{recovery.text}\n--- woken:\n{woken.text}"
    machine.sound(told)
    if recovery.exit == 10:
        assert woken.exit in WENT_ON, told  # its beat was seen: it lives, and went on
        machine.as_found(told)
        return Woken(woken, recovery, 0)
    late = judged(machine, recovery, woken, told)
    mended(machine, woken)
    return Woken(woken, recovery, late)


def taken_over(machine: Machine, run: Running, stop: Stop) -> tuple[Result, Result]:
    """(what recover came to, what the run came to)."""
    words = ["recover", "--yes"] + ["--take-over"] * stop.at_once
    recovery = machine.operator("elsewhere", *words, home=machine.home("elsewhere"))
    if stop.wake_s is None:
        result = recovery.result()
        machine.as_found(f"{stop}: not yet woken\n{result.text}")
        run.send(signal.SIGCONT)
        return result, run.result()
    time.sleep(stop.wake_s)
    run.send(signal.SIGCONT)
    woken = run.result()
    return recovery.result(), woken


def judged(machine: Machine, recovery: Result, woken: Result, told: str) -> int:
    """The truth about both, after a takeover; returns how many writes came late (0 or 1)."""
    assert recovery.exit == 0, told
    mine = [moment(event) for event in recovery.events if event["type"] == "claim.made"]
    if not mine:  # there was no claim yet, or none any more
        assert woken.exit in WENT_ON, told
        machine.as_found(told)
        return 0
    assert machine.restarts_after(mine[0] - OUTWAIT_S) == [], f"a restart came after the claim was raised\n{told}"
    late = [words for at, words in machine.passed() if at > mine[0] and re.match(r"after \S+ in \S+ to ", words)]
    assert len(late) <= 1, f"{late}\n{told}"
    assert woken.exit in (20, 30, 40), told
    out = {line.partition(": ")[0] for line in machine.bed.observer.not_as_found()}
    named = {f"{e['node']} on {e['endpoint'].replace(':9990', ':9999')}" for e in woken.finished["left_out"]}
    assert out <= named, f"out, and not named: {out - named}\n{told}"
    assert len(out) <= len(late), told
    if late:
        _, node, _, pool, _, state = late[0].split()
        assert f"{pool}/{node}" in woken.finished["message"], told
        assert f"to {state}" in woken.finished["message"], told
    return len(late)


def mended(machine: Machine, woken: Result) -> None:
    """The command that the woken run named for what it left out puts it back."""
    for command in {entry["mend"] for entry in woken.finished["left_out"]}:
        words = command.replace(f" -i {machine.bed.inventory}", "").removeprefix("rollsafe ").split()
        yes = () if "--yes" in words else ("--yes",)  # it is told where nobody could be asked
        result = machine.operator("mender", *words, *yes, home=machine.home("mender")).result()
        assert result.exit == 0, f"{woken.text}\n{result.text}"
    machine.as_it_was("after what the woken run named")


def moment(event: dict) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def fifty(chance: random.Random) -> list[Stop]:
    """Every point once until recover has ended; then those that hurt most, woken at moments of all kinds."""
    stops = [Stop(point) for point in POINTS]
    stops += [Stop(str(chance.randint(3, 110))) for _ in range(8)]
    stops += [Stop(point, wake_s=chance.uniform(0.5, 14), at_once=True) for point in [*WRITES, *BACK, *LOOKS[2:6]]]
    stops += [Stop(point, wake_s=chance.uniform(1, 30)) for point in [*WRITES, *BACK, *RESTARTS[:2]]]
    more = itertools.cycle([*WRITES, *BACK])
    while len(stops) < 50:
        stops.append(Stop(next(more), wake_s=chance.uniform(25, 29)))
    return stops


TELLING = [
    Stop(WRITES[0], at_once=True),
    Stop(RESTARTS[0], at_once=True),
    Stop(LOOKS[2], wake_s=4, at_once=True),
]


def test_a_run_that_wakes_after_it_was_taken_over_does_no_harm(tmp_path: Path) -> None:
    def one(number: int) -> Woken:
        with Machine(tmp_path / f"bed{number}") as machine:
            return stop_and_wake(machine, TELLING[number])

    with ThreadPoolExecutor(len(TELLING)) as pool:
        before_write, before_restart, _ = pool.map(one, range(len(TELLING)))
    assert before_write.late_writes == 1, "a process stopped right before its send can't know better"
    assert before_restart.late_writes == 0


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_fifty_runs_that_wake_after_they_were_taken_over_do_no_harm(record_property) -> None:
    seen: Counter[str] = Counter()

    def work(machine: Machine, stop: Stop) -> None:
        woken = stop_and_wake(machine, stop)
        words = f"recover {woken.recovery.exit}, woken {woken.run.exit}, {woken.late_writes} late"
        seen[words] += 1
        sys.stdout.write(f"{stop.point}, wakes {stop.wake_s}, at once {stop.at_once}: {words}\n")

    on_machines(fifty(seeded()), work)
    record_property("outcomes", dict(seen))
    sys.stdout.write(f"{seen.total()} runs stopped and woken: {dict(seen)}\n")
    assert seen.total() == 50
