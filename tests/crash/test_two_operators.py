"""Two people start a rolling restart of one cluster at once: one runs; the other is told who, or runs after it.

Real HAProxy, real sshd, two processes with homes of their own. They want different nodes, so that two nodes would be
out at once if both were let in.
"""

import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from tests.crash.machine import Machine, on_machines, seeded, writes
from tests.testbed import Result

pytestmark = pytest.mark.real
NAMES = ("anna", "bert")
NODES = ("jira1", "jira2")


@dataclass(frozen=True)
class Pair:
    """How much later the second starts; does it wait for the claim?"""

    later_s: float = 0.0
    waits: bool = False


def together(machine: Machine, pair: Pair) -> str:
    """Both run; what must hold holds; returns what came of it, in a word."""
    machine.begin()
    first = machine.operator(NAMES[0], "run", "--yes", "--nodes", NODES[0], home=machine.home(NAMES[0]))
    time.sleep(pair.later_s)
    wait = ("--wait-for-lock", "90s") if pair.waits else ()
    second = machine.operator(NAMES[1], "run", "--yes", "--nodes", NODES[1], *wait, home=machine.home(NAMES[1]))
    results = (first.result(), second.result())
    machine.bed.observer.stop()
    told = f"{pair}\n" + "\n".join(result.text for result in results)
    machine.sound(told)
    machine.as_found(told)
    for name, node, result in zip(NAMES, NODES, results, strict=True):
        assert result.finished["exit_code"] == result.exit, told
        assert machine.restarted(node) == (result.exit == 0), f"{name} says {result.exit}\n{told}"
    codes = [result.exit for result in results]
    assert 0 in codes, f"nobody ran\n{told}"
    if codes == [0, 0]:
        ranges = sorted(held(result) for result in results)
        assert ranges[0][1] <= ranges[1][0], f"both held the claim at once\n{told}"
        return "one after the other"
    assert not pair.waits or codes[1] == 0, told
    loser = codes.index(10)
    refused_by(NAMES[1 - loser], results[loser], told)
    return f"{NAMES[loser]} was refused"


def refused_by(holder: str, result: Result, told: str) -> None:
    """Nothing was touched, and the holder is named with what it does."""
    assert writes(result) == [], told
    message = result.finished["message"]
    assert "nothing was touched" in message, told
    assert f"claimed by {holder} from" in message, told
    assert "it lives" in message or "which has ended since" in message, told


def held(result: Result) -> tuple[float, float]:
    """From when to when the claim was this run's."""
    moments = {e["type"]: datetime.fromisoformat(e["time"]).timestamp() for e in result.events}
    return moments["claim.made"], moments["claim.ended"]


def fifty(chance: random.Random) -> list[Pair]:
    """Most at once; some a moment later, into the other's first steps; some that wait."""
    pairs = [Pair() for _ in range(26)] + [Pair(chance.uniform(0, 1.5)) for _ in range(12)]
    pairs += [Pair(chance.uniform(1, 9)) for _ in range(6)] + [Pair(0, waits=True) for _ in range(6)]
    return pairs


def test_of_two_who_start_at_once_one_runs(tmp_path: Path) -> None:
    pairs = (Pair(), Pair(0.3), Pair(waits=True))

    def one(number: int) -> str:
        with Machine(tmp_path / f"bed{number}") as machine:
            return together(machine, pairs[number])

    with ThreadPoolExecutor(len(pairs)) as pool:
        outcomes = list(pool.map(one, range(len(pairs))))
    assert outcomes[2] == "one after the other" or "anna" in outcomes[2]


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_of_fifty_pairs_who_start_at_once_one_runs_each_time(record_property) -> None:
    seen: Counter[str] = Counter()

    def work(machine: Machine, pair: Pair) -> None:
        outcome = together(machine, pair)
        seen[outcome] += 1
        sys.stdout.write(f"{pair}: {outcome}\n")

    on_machines(fifty(seeded()), work)
    record_property("outcomes", dict(seen))
    sys.stdout.write(f"{seen.total()} pairs: {dict(seen)}\n")
    assert seen.total() == 50
