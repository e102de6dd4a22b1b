"""A run dies within 50 ms after it sent a restart, and the node stops only much later: recover waits for that.

The restart's command holds the claim's lock on its node, and outlives the run. Until it has stopped the node, the node
looks healthy; put back then, it would go down in service.
"""

import random
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.crash.machine import Machine, on_machines, seeded
from tests.testbed import Result
from tests.testbed.process import wait_until

pytestmark = pytest.mark.real
RUN = ("run", "--yes", "--nodes", "jira1")
SENT, ANSWERED = "before the restart of jira1", "after the restart of jira1"
RECOVERS_AT_MOST = 4


@dataclass(frozen=True)
class Death:
    """How long after that point the run dies; how long the node goes on before it stops."""

    point: str
    late_ms: int
    stops_after_s: float
    at_once: bool = False  # recover does not watch the beat first (--take-over)


def die_and_recover(machine: Machine, death: Death) -> str:
    """Kill the run, recover until all is as found, and hold what must hold; returns the exit codes of recover."""
    machine.sleepy_restarts(death.stops_after_s)
    machine.begin()
    killed = machine.crashing(f"late {death.late_ms} {death.point}", *RUN).result()
    assert killed.exit == -signal.SIGKILL, killed.text
    results: list[Result] = []
    while not results or results[-1].exit != 0:
        assert len(results) < RECOVERS_AT_MOST, "\n".join(result.text for result in results)
        results.append(machine.recover(*["--take-over"] * death.at_once))
        told = f"{death}\n" + "\n".join(result.text for result in results)
        assert results[-1].exit in (0, 30), told
        assert results[-1].exit == 0 or "jira1" in results[-1].finished["message"], told
    begun = machine.restarted("jira1")
    wait_until(lambda: not machine.restart_goes_on("jira1"), death.stops_after_s + 20, "the end of the restart")
    machine.bed.observer.stop()
    machine.sound(told)
    machine.as_found(told)
    assert machine.restarted("jira1") == begun, f"it began after recover had ended\n{told}"
    machine.nothing_left_to_do()
    return f"{begun} restarted, recover {', then '.join(str(result.exit) for result in results)}"


def twenty(chance: random.Random) -> list[Death]:
    """Before and after the answer; nodes that stop at once, and only long after the takeover."""
    stops = [0.5, 3, 8, 14, 17, 20, 24, 28, 33, 40]
    return [Death(point, chance.randint(1, 50), after_s) for after_s in stops for point in (SENT, ANSWERED)]


def test_a_node_that_is_still_stopping_is_not_put_back(tmp_path: Path) -> None:
    deaths = (Death(SENT, 50, 4, at_once=True), Death(ANSWERED, 20, 3, at_once=True))

    def one(number: int) -> str:
        with Machine(tmp_path / f"bed{number}") as machine:
            return die_and_recover(machine, deaths[number])

    with ThreadPoolExecutor(len(deaths)) as pool:
        outcomes = list(pool.map(one, range(len(deaths))))
    assert outcomes[1].startswith("1 restarted"), outcomes


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_twenty_nodes_that_are_still_stopping_are_not_put_back(record_property) -> None:
    seen: Counter[str] = Counter()

    def work(machine: Machine, death: Death) -> None:
        outcome = die_and_recover(machine, death)
        seen[outcome] += 1
        sys.stdout.write(f"{death}: {outcome}\n")

    on_machines(twenty(seeded()), work)
    record_property("outcomes", dict(seen))
    sys.stdout.write(f"{seen.total()} runs killed just after a restart was sent: {dict(seen)}\n")
    assert seen.total() == 20
