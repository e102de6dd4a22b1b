"""`python crasher.py POINT LOG rollsafe-words…`: the real command line, whose process kills or stops itself at a point.

A point stands before and after each journal record, and before and after each remote act: a write to a balancer, a
claim made or changed (a beat does not count, for its moment is chance), a restart sent. Each point that is passed is
written to LOG, with the time. POINT is its number, or its words, such as `after record write.intent` (the first one) or
`after record write.intent #3` (the third). The reading of the claims in front of a write has its words, too, but no
number: a death there is a death after the intent. `stop 12` stops the process there (SIGSTOP) instead of killing it;
`late 35 12` kills it 35 milliseconds after the point; `hang 4500 12` holds only the thread that came there, so long.
"""

import math
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from rollsafe.cli import conduct
from rollsafe.engine.claim import ClaimKeeper, Confirmed
from rollsafe.model.claim import ClaimRecord, Token
from rollsafe.model.plan import Plan
from rollsafe.model.reading import Found, IdentityReading, PoolReading, RestartReading
from rollsafe.model.record import Record
from rollsafe.ports import Balancer, ClaimFile, JournalWriter, Restarter

T = TypeVar("T")


class Points:
    """Counts, and ends the process at the right one."""

    def __init__(self, told: str, log: Path) -> None:
        how, _, rest = told.partition(" ")
        self._stops, self._late_s, self._last = how == "stop", 0.0, rest if how == "stop" else told
        self._hangs = how == "hang"
        if how in ("late", "hang"):
            late_ms, _, self._last = rest.partition(" ")
            self._late_s = int(late_ms) / 1000
        self._log = log
        self._count = 0
        self._met: Counter[str] = Counter()
        self._lock = threading.Lock()

    def around(self, label: str, act: Callable[[], T], *, counted: bool = True) -> T:
        self._pass(f"before {label}", counted=counted)
        answer = act()
        self._pass(f"after {label}", counted=counted)
        return answer

    def _pass(self, label: str, *, counted: bool) -> None:
        if self._is_here(label, counted=counted):
            self._end()

    def _is_here(self, label: str, *, counted: bool) -> bool:
        with self._lock:
            self._count += counted
            self._met[label] += 1
            with self._log.open("a") as log:
                log.write(f"{time.time():.3f} {label}\n")
            names = [f"{label} #{self._met[label]}", label] + [str(self._count)] * counted
            if self._last not in names:
                return False
            self._last = ""
            return True

    def _end(self) -> None:
        if self._hangs:
            time.sleep(self._late_s)
            return
        if self._late_s:
            threading.Timer(self._late_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
            return
        os.kill(os.getpid(), signal.SIGSTOP if self._stops else signal.SIGKILL)
        time.sleep(0.05)  # a signal that another thread took is felt here a moment later


class CrashingBalancer:
    def __init__(self, real: Balancer, points: Points) -> None:
        self._real, self._points = real, points

    def read(self, pool: str) -> PoolReading:
        return self._real.read(pool)

    def write(self, pool: str, seat: str, to: Found, *, within_s: float = math.inf) -> None:
        words = f"{seat} in {pool} to {to.admin.value}"
        self._points.around(words, lambda: self._real.write(pool, seat, to, within_s=within_s))


class CrashingClaim:
    def __init__(self, node: str, real: ClaimFile, points: Points) -> None:
        self._node, self._real, self._points = node, real, points

    def read(self) -> ClaimRecord | None:
        return self._real.read()

    def create(self, record: ClaimRecord) -> bool:
        return self._points.around(f"the claim made on {self._node}", lambda: self._real.create(record))

    def swap(self, expected: Token, record: ClaimRecord | None) -> bool:
        if record is not None and record.token == expected:
            return self._real.swap(expected, record)  # a beat
        what = "removed from" if record is None else "changed on"
        return self._points.around(f"the claim {what} {self._node}", lambda: self._real.swap(expected, record))


class CrashingRestarter:
    def __init__(self, node: str, real: Restarter, points: Points) -> None:
        self._node, self._real, self._points = node, real, points

    def identity(self, *, again_s: float | None = None) -> IdentityReading:
        return self._real.identity(again_s=again_s)

    def begin(self, token: Token, *, until_s: float | None = None) -> bool:
        return self._points.around(f"the restart of {self._node}", lambda: self._real.begin(token, until_s=until_s))

    def progress(self) -> RestartReading:
        return self._real.progress()

    def let_go(self) -> None:
        self._points.around(f"the lock on {self._node} let go", self._real.let_go)

    def end(self) -> bool:
        return self._points.around(f"the restart command on {self._node} ended", self._real.end)


class CrashingJournal:
    def __init__(self, real: JournalWriter, points: Points) -> None:
        self._real, self._points = real, points

    def append(self, record: Record) -> None:
        self._points.around(f"record {record.type}", lambda: self._real.append(record))


def main(words: list[str]) -> None:
    """Never returns: the process ends as rollsafe does, or is killed."""
    points = Points(words[0], Path(words[1]))
    assemble, begin, confirm = conduct.assemble, conduct.Conductor.begin, ClaimKeeper.confirm

    def assembled(*given: object) -> conduct.Assembled:
        made = assemble(*given)  # type: ignore[arg-type]  # handed on as they came
        world = made.world
        world = replace(
            world,
            balancers={key: CrashingBalancer(real, points) for key, real in world.balancers.items()},
            claims={node: CrashingClaim(node, real, points) for node, real in world.claims.items()},
            restarters={node: CrashingRestarter(node, real, points) for node, real in world.restarters.items()},
        )
        return replace(made, world=world)

    def begun(self: conduct.Conductor, plan: Plan | None) -> JournalWriter:
        return CrashingJournal(begin(self, plan), points)

    def confirmed(self: ClaimKeeper, *, taking_out: bool) -> Confirmed:
        return points.around("the look at the claims", lambda: confirm(self, taking_out=taking_out), counted=False)

    ClaimKeeper.confirm = confirmed  # type: ignore[method-assign]  # the same but for the points
    conduct.assemble = assembled  # type: ignore[assignment]  # the same but for the points
    conduct.Conductor.begin = begun  # type: ignore[method-assign]  # the same
    from rollsafe.cli.app import run_command_line

    sys.exit(run_command_line(words[2:]))


if __name__ == "__main__":
    main(sys.argv[1:])
