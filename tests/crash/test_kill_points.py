"""SIGKILL of the real process before and after each journal record and each remote act; then recover from elsewhere.

Real HAProxy, real sshd, real SIGKILL. A recovery takes 27 s because it watches the dead run's beat and outwaits its
last write; so several clusters work side by side.
"""

import signal
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.judge import claims
from tests.testbed import Testbed, command

pytestmark = pytest.mark.real
CRASHER = Path(__file__).with_name("crasher.py")
SIDE_BY_SIDE = 5
MOST_POINTS = 400
TELLING = ("after the claim changed on jira2", "after jira1 in scim to drain", "after the restart of jira1")


class Machine:
    """One small cluster, on which one point after another is tried."""

    def __init__(self, folder: Path) -> None:
        self.bed = Testbed(folder, nodes=2, pair=False, load=False)
        self.turn = 0

    def die_at(self, point: str) -> str:
        """Run until the point (its number, or its words), recover from elsewhere, judge. Empty: there was none."""
        self.turn += 1
        bed, log = self.bed, self.bed.folder / f"points-{self.turn}"
        before = {node.name: node.restarts for node in bed.nodes}
        bed.observer.start()
        killed = self._run(point, log)
        last = log.read_text().splitlines()[-1]
        if killed.exit != -signal.SIGKILL:
            assert killed.exit == 0, killed.text
            bed.observer.stop()
            return ""
        home = bed.folder / f"elsewhere-{self.turn}"
        recovered = bed.rollsafe("recover", "--yes", home=home)
        bed.observer.stop()
        told = f"killed {last}\n{recovered.text}\n{bed.observer.history()}"
        assert recovered.exit == 0, told
        assert bed.all_up(), told
        assert bed.observer.not_as_found() == [], told
        assert bed.observer.stopped_in_service() == [], told
        assert len(bed.observer.most_out_at_once()) <= 1, told
        assert claims(bed) == [], told
        assert all(node.restarts - before[node.name] <= 1 for node in bed.nodes), told
        again = bed.rollsafe("recover", "--yes", home=home)
        assert again.exit == 0, again.text
        assert [e for e in again.events if e["type"].startswith("write.")] == [], "a second recover writes nothing"
        return last

    def _run(self, point: str, log: Path) -> command.Result:
        words = [str(CRASHER), point, str(log), "run", "--yes", "--nodes", "jira1", "-o", "json"]
        process = command.start_python([*words, "-i", str(self.bed.inventory)], self.bed.folder, self.bed.environment)
        return process.result()


def test_a_run_that_dies_at_a_telling_point_is_put_right_from_elsewhere(tmp_path: Path) -> None:
    def one(number: int) -> str:
        machine = Machine(tmp_path / f"bed{number}")
        with machine.bed:
            return machine.die_at(TELLING[number])

    with ThreadPoolExecutor(len(TELLING)) as pool:
        assert all(pool.map(one, range(len(TELLING)))), "each point was met"


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_run_that_dies_at_any_point_is_put_right_from_elsewhere(record_property) -> None:
    """n = 1, 2, 3 … until a run meets no more points."""
    lock, passed = threading.Lock(), [0]
    met: dict[int, str] = {}

    def work(number: int) -> None:
        with tempfile.TemporaryDirectory(prefix="rollsafe-crash-") as folder:
            machine = Machine(Path(folder) / "bed")
            with machine.bed:
                while True:
                    with lock:
                        passed[0] += 1
                        point = passed[0]
                    assert point <= MOST_POINTS
                    last = machine.die_at(str(point))
                    if not last:
                        return
                    met[point] = last

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        list(pool.map(work, range(SIDE_BY_SIDE)))
    record_property("points", len(met))
    sys.stdout.write(f"{len(met)} points, each recovered from elsewhere; the last: {met[max(met)]}\n")
    assert len(met) > 60
