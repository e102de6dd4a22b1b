"""Things that go wrong at once in a run on real programs, as a seed chooses them; and what must hold all the same.

The simulated windows know only what somebody put into the simulation. Here HAProxy, Apache, OpenSSH, the kernel and the
clock are real, and the faults overlap as they like: so nothing is known of a run beforehand but what may never be.
"""

import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.judge import OUTCOMES, claims
from tests.testbed import Result, Testbed
from tests.testbed.command import Running
from tests.testbed.haproxy import Haproxy
from tests.testbed.process import wait_until

LAST_S = 26.0  # a run of three nodes takes about so long
ENDS_IN_S = 150.0  # with every limit of the bed's policy met once
WIRE = ("refuse", "hang", "reset", "slow", "404")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
COMMANDS = (("run", "--yes"), ("recover", "--yes"), ("ready",), ("drain",), ("status",))


@dataclass(frozen=True)
class Trouble:
    """Something that goes wrong `at_s` after the run began, for `lasts_s`."""

    at_s: float
    lasts_s: float
    kind: str
    target: str
    how: str = ""

    def __str__(self) -> str:
        return f"{self.at_s:.2f} s for {self.lasts_s:.2f} s: {self.kind} {self.target} {self.how}".rstrip()


def troubles(seed: int) -> list[Trouble]:
    """What this seed brings, the first first."""
    rng = random.Random(seed)
    return sorted((_trouble(rng) for _ in range(rng.choice((1, 2, 2, 3)))), key=lambda it: it.at_s)


def _trouble(rng: random.Random) -> Trouble:
    at_s, lasts_s = rng.uniform(0.2, LAST_S), rng.choice((0.3, 1.0, 3.0, 6.0, 12.0))
    node, wire = f"jira{rng.randint(1, 3)}", rng.choice(("scim1", "scim2", "web"))
    kind = rng.choice(sorted(KINDS))
    how = {
        "wire": lambda: rng.choice(WIRE),
        "person": lambda: f"{wire} {rng.choice(('drain', 'maint', 'ready'))}",
        "signal": lambda: rng.choice(SIGNALS).name,
        "command": lambda: " ".join(rng.choice(COMMANDS)),
        "start": lambda: rng.choice(("never_up", "tomcat", "flap")),
        "script": lambda: rng.choice(("restart-fails", "restart-hangs", "restart-lies")),
        "sshd": lambda: rng.choice(("refuse", "hang")),
        "balancer": lambda: rng.choice(("reload", "hang", "dies")),
    }.get(kind, str)()
    return Trouble(at_s, lasts_s, kind, wire if kind in ("wire", "balancer") else node, how)


class Weather:
    """Brings the troubles, each on a thread of its own, and takes each away again."""

    def __init__(self, bed: Testbed, what: list[Trouble], run: Running) -> None:
        self._bed, self._what, self._run = bed, what, run
        self._end = threading.Event()
        self.others: list[Result] = []  # what else was typed meanwhile, from another machine
        self.failed: list[str] = []
        self._threads = [threading.Thread(target=self._bring, args=(it,), name=it.kind, daemon=True) for it in what]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def lift(self) -> None:
        """Everything that still goes wrong goes right again; what was not yet begun does not come."""
        self._end.set()
        for thread in self._threads:
            thread.join(ENDS_IN_S)
            assert not thread.is_alive(), thread.name

    def _bring(self, it: Trouble) -> None:
        if self._end.wait(it.at_s):
            return
        try:
            with KINDS[it.kind](self, it):
                self._end.wait(it.lasts_s)
        except Exception as error:  # noqa: BLE001 - a thread of the test: told by the judge
            self.failed.append(f"{it}: {type(error).__name__}: {error}")

    # --- the kinds --------------------------------------------------------------------------------------------------

    def _balancer(self, name: str) -> Haproxy:
        balancers = dict(zip(("scim1", "scim2"), self._bed.scim, strict=False)) | {"web": self._bed.web}
        return balancers.get(name, self._bed.scim[0])

    @contextmanager
    def wire(self, it: Trouble) -> Iterator[None]:
        relay = self._bed.relays.get(it.target, self._bed.relays["scim1"])
        relay.become(it.how)
        yield
        relay.become("pass")

    @contextmanager
    def balancer(self, it: Trouble) -> Iterator[None]:
        balancer = self._balancer(it.target)
        if it.how == "reload":
            balancer.reload()
            yield
        elif it.how == "hang":
            balancer.hang()
            yield
            balancer.wake()
        else:
            balancer.stop()
            yield
            balancer.start()

    @contextmanager
    def sshd(self, it: Trouble) -> Iterator[None]:
        server = self._bed.sshds[it.target]
        server.hang() if it.how == "hang" else server.refuse()
        yield
        server.wake() if it.how == "hang" else server.start()

    @contextmanager
    def death(self, it: Trouble) -> Iterator[None]:
        node = self._bed.node(it.target)
        node.kill()
        yield
        if node.pid is None:
            node.start()

    @contextmanager
    def start_(self, it: Trouble) -> Iterator[None]:
        node = self._bed.node(it.target)
        node.next_faults(
            **{"never_up": {"never_up": True}, "tomcat": {"scim": "tomcat"}, "flap": {"flap_s": 0.7}}[it.how]
        )
        yield
        (node.folder / "next.json").unlink(missing_ok=True)
        node.faults()

    @contextmanager
    def script(self, it: Trouble) -> Iterator[None]:
        node = self._bed.node(it.target)
        node.mark(it.how)
        yield
        node.mark(it.how, present=False)

    @contextmanager
    def person(self, it: Trouble) -> Iterator[None]:
        name, state = it.how.split()
        balancer = self._balancer(name)
        balancer.set_state(it.target, state)
        yield

    @contextmanager
    def signal_(self, it: Trouble) -> Iterator[None]:
        with suppress(ProcessLookupError):
            self._run.process.send_signal(signal.Signals[it.how])
        yield

    @contextmanager
    def stop(self, it: Trouble) -> Iterator[None]:
        with suppress(ProcessLookupError):
            self._run.process.send_signal(signal.SIGSTOP)
        yield
        with suppress(ProcessLookupError):
            self._run.process.send_signal(signal.SIGCONT)

    @contextmanager
    def command(self, it: Trouble) -> Iterator[None]:
        words = it.how.split()
        words += [it.target] if words[0] in ("ready", "drain") else []
        self.others.append(self._bed.rollsafe(*words, timeout_s=ENDS_IN_S, home=elsewhere(self._bed, "second")))
        if words[0] == "drain":
            self.others.append(
                self._bed.rollsafe("ready", it.target, timeout_s=ENDS_IN_S, home=elsewhere(self._bed, "second"))
            )
        yield


KINDS = {
    "wire": Weather.wire,
    "balancer": Weather.balancer,
    "sshd": Weather.sshd,
    "death": Weather.death,
    "start": Weather.start_,
    "script": Weather.script,
    "person": Weather.person,
    "signal": Weather.signal_,
    "stop": Weather.stop,
    "command": Weather.command,
}


def elsewhere(bed: Testbed, name: str) -> Path:
    """Another machine, with the inventory only."""
    home = bed.folder / name
    (home / ".ssh").mkdir(parents=True, exist_ok=True)
    return home


def judged(bed: Testbed, result: Result, weather: Weather, what: list[Trouble]) -> list[str]:
    """All that must hold, and does not, of the run and of what was typed beside it."""
    wrong = list(weather.failed)
    for one in (result, *weather.others):
        wrong += _of_a_command(one)
    kinds = {it.kind for it in what}
    wrong += [f"cut: {request}" for request in bed.cut_requests() if ": scim " in request]
    if not any((it.kind, it.how) in (("balancer", "reload"), ("balancer", "dies")) for it in what) and (
        not kinds & {"person", "command"}
    ):
        wrong += bed.observer.stopped_in_service()
    if result.exit == 0 and any(node.restarts == 0 for node in bed.nodes):
        wrong.append("exit 0, and a node was not restarted")
    return wrong


def _of_a_command(result: Result) -> Iterator[str]:
    told = " ".join(result.command)
    if "Traceback" in result.stderr or result.exit == 1:
        yield f"{told}: a defect: {result.stderr[-2000:]}"
    if result.exit < 0:
        return
    finished = result.finished
    if finished["exit_code"] != result.exit or finished["outcome"] != OUTCOMES.get(result.exit):
        yield f"{told}: exit {result.exit}, told {finished['exit_code']} {finished['outcome']}"
    if result.exit == 30 and not all(e["node"] in finished["message"] for e in finished["left_out"]):
        yield f"{told}: 30, and the last line does not name what is out: {finished['message']}"
    status = "status" in result.command  # 30 there: something is out, by whomever
    if result.exit == 30 and not finished["left_out"] and not (status and finished["others"]):
        yield f"{told}: 30, and nothing is left out"
    if result.exit in (0, 10, 20) and finished["left_out"]:
        yield f"{told}: {result.exit}, and left out: {finished['left_out']}"


def mended(bed: Testbed, what: list[Trouble]) -> list[str]:
    """Everything works again: a person starts what is dead, recover puts back the rest. What is wrong then."""
    for node in bed.nodes:
        node.end_restart()
        if node.pid is None:
            node.start()
    told = []
    for _ in range(2):
        result = bed.rollsafe("recover", "--yes", timeout_s=ENDS_IN_S, home=elsewhere(bed, "third"))
        told.append(result.text)
        if result.exit == 0:
            break
    else:
        return [f"recover does not end with 0: {told[-1]}"]
    wrong = [f"claims left after recover: {claims(bed)}"] if claims(bed) else []
    for balancer in bed.balancers if any(it.kind in ("person", "command") for it in what) else ():
        for node in bed.nodes:
            balancer.set_state(node.name, "ready")
    try:
        wait_until(bed.all_up, 15, "all members up")
    except AssertionError:
        seats = {b.endpoint: b.seats() for b in bed.balancers}
        wrong.append(f"not all as found after recover: {seats}\n{told[-1]}")
    return wrong


def play(bed: Testbed, seed: int) -> list[str]:
    """One window with its weather: all that was wrong in it."""
    what = troubles(seed)
    bed.observer.start()
    run = bed.start("run", "--yes")
    weather = Weather(bed, what, run)
    weather.start()
    began = time.monotonic()
    result = run.result(ENDS_IN_S)
    weather.lift()
    bed.settle()
    wrong = judged(bed, result, weather, what) + mended(bed, what)
    if not wrong:
        print(f"seed {seed}: exit {result.exit} after {time.monotonic() - began:.0f} s; {'; '.join(map(str, what))}")
        return []
    others = "\n".join(other.text[-1500:] for other in weather.others)
    head = f"seed {seed}: {'; '.join(map(str, what))}"
    return [head, *wrong, result.text, bed.observer.history(), others]
