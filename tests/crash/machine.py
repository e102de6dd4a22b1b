"""One small cluster on which runs die, stop and collide, and what must hold afterwards, seen from outside."""

import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from tests.e2e.judge import claims
from tests.testbed import Testbed, command
from tests.testbed.nodes import command_line

CRASHER = Path(__file__).with_name("crasher.py")
SIDE_BY_SIDE = 5  # they wait more than they compute
SLEEPY = 'if [ -e stops-late ]; then sleep "$(cat stops-late)"; fi\npid=$(cat pid'
NO_MORE: Any = object()
T = TypeVar("T")


class Machine:
    """A cluster of two nodes, and operators on machines of their own."""

    def __init__(self, folder: Path) -> None:
        self.bed = Testbed(folder, nodes=2, pair=False, load=False)
        self.turn = 0
        self.restarts_before: dict[str, int] = {}
        self._running: list[command.Running] = []

    def __enter__(self) -> Self:
        self.bed.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        for running in self._running:
            running.stop()
        self.bed.__exit__(*failure)

    def begin(self) -> None:
        """The observer looks from now on."""
        self.turn += 1
        self.restarts_before = {node.name: node.restarts for node in self.bed.nodes}
        self.bed.observer.start()

    # --- operators --------------------------------------------------------------------------------------------------

    def home(self, name: str) -> Path:
        """The home of somebody else, on another machine."""
        return self.bed.folder / f"{name}-{self.turn}"

    def operator(self, name: str, *words: str, home: Path | None = None) -> command.Running:
        """`rollsafe WORDS` by a person of that name."""
        return self._start(["-m", "rollsafe", *words], name, home)

    def crashing(self, point: str, *words: str) -> command.Running:
        """`rollsafe WORDS`, which ends or stops itself at a point of tests/crash/crasher.py."""
        return self._start([str(CRASHER), point, str(self.log), *words], "night-operator", None)

    @property
    def log(self) -> Path:
        """The points that this turn's crashing process passed."""
        return self.bed.folder / f"points-{self.turn}"

    def passed(self) -> list[tuple[float, str]]:
        """(time, words) of each point that this turn's crashing process passed."""
        pairs = (line.split(" ", 1) for line in self.log.read_text().splitlines())
        return [(float(moment), words) for moment, words in pairs]

    @property
    def last_point(self) -> str:
        return self.passed()[-1][1]

    def recover(self, *words: str) -> command.Result:
        """`rollsafe recover --yes`, from elsewhere."""
        return self.bed.rollsafe("recover", "--yes", *words, home=self.home("elsewhere"))

    def _start(self, words: list[str], name: str, home: Path | None) -> command.Running:
        environment = self.bed.environment | {"USER": name, "LOGNAME": name}
        if home is not None:
            environment |= {"HOME": str(home), "XDG_STATE_HOME": str(home / "state")}
        running = command.start_python(
            [*words, "-i", str(self.bed.inventory), "-o", "json"], self.bed.folder, environment
        )
        self._running.append(running)
        return running

    # --- what must hold ---------------------------------------------------------------------------------------------

    def restarted(self, node: str) -> int:
        """How often since `begin`."""
        return self.bed.node(node).restarts - self.restarts_before[node]

    def restarts_after(self, moment: float) -> list[str]:
        """The restart commands that began after that moment."""
        begun = {n.name: n.folder / "restarts" for n in self.bed.nodes}
        told = [(name, t) for name, file in begun.items() if file.exists() for t in file.read_text().split()]
        return [f"{name} at {t}" for name, t in told if float(t) > moment]

    def sound(self, told: str) -> None:
        """Never two nodes out, never one stopped in service, none restarted twice."""
        told = f"{told}\n{self.bed.observer.history()}"
        assert self.bed.observer.stopped_in_service() == [], told
        assert len(self.bed.observer.most_out_at_once()) <= 1, told
        assert all(self.restarted(node.name) <= 1 for node in self.bed.nodes), told

    def as_found(self, told: str) -> None:
        """Every member as found, every node healthy, no claim left."""
        told = f"{told}\n{self.bed.observer.history()}"
        assert self.bed.all_up(), told
        assert self.bed.observer.not_as_found() == [], told
        assert claims(self.bed) == [], told

    def as_it_was(self, told: str) -> None:
        """As `as_found`, by a look taken now."""
        assert self.bed.all_up(), f"{told}\n{self.bed.observer.history()}"
        assert claims(self.bed) == [], told

    def nothing_left_to_do(self) -> None:
        """A second recover writes nothing."""
        again = self.recover()
        assert again.exit == 0, again.text
        assert writes(again) == [], again.text

    def restart_goes_on(self, node: str) -> bool:
        """Does the machine's restart command run just now?"""
        script = str(self.bed.node(node).folder / "restart.sh")
        return any(script in command_line(int(pid.name)) for pid in Path("/proc").iterdir() if pid.name.isdigit())

    # --- between two turns ------------------------------------------------------------------------------------------

    def sleepy_restarts(self, seconds: float) -> None:
        """From now on the restart command takes so long before it stops the node, as a busy machine does."""
        for node in self.bed.nodes:
            script = node.folder / "restart.sh"
            if "stops-late" not in script.read_text():
                script.write_text(script.read_text().replace("pid=$(cat pid", SLEEPY, 1))
            (node.folder / "stops-late").write_text(f"{seconds}\n")


def writes(result: command.Result) -> list[dict]:
    """The balancer writes that a command told of."""
    return [event for event in result.events if event["type"].startswith("write.")]


def stopped(running: command.Running) -> bool:
    """Does SIGSTOP hold the process?"""
    try:
        return Path(f"/proc/{running.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def ended(running: command.Running) -> bool:
    """Has the process ended? Leaves it to be waited for."""
    return os.waitid(os.P_PID, running.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def on_machines(items: Iterable[T], work: Callable[[Machine, T], None], machines: int = SIDE_BY_SIDE) -> None:
    """Work through the items on several clusters side by side. The first failure ends all, with its item told."""
    left, lock, failed = iter(items), threading.Lock(), threading.Event()

    def more() -> Iterator[T]:
        while not failed.is_set():
            with lock:
                item = next(left, NO_MORE)
            if item is NO_MORE:
                return
            yield item

    def one(_: int) -> None:
        with tempfile.TemporaryDirectory(prefix="rollsafe-crash-") as folder, Machine(Path(folder) / "bed") as machine:
            for item in more():
                try:
                    work(machine, item)
                except BaseException:
                    failed.set()
                    sys.stdout.write(f"failed at {item}\n")
                    raise

    with ThreadPoolExecutor(machines) as pool:
        list(pool.map(one, range(machines)))


def seeded() -> random.Random:
    """Chance that can be repeated: ROLLSAFE_SEED=… tells the seed, else it is drawn; it is printed in any case."""
    seed = int(os.environ.get("ROLLSAFE_SEED") or time.time_ns() % 10**9)
    sys.stdout.write(f"ROLLSAFE_SEED={seed}\n")
    return random.Random(seed)
