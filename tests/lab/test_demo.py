"""`rollsafe demo` as a newcomer calls it: the whole way, over real sockets, with the clients as witnesses."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.conftest import processes_of
from rollsafe.lab.faults import FAULTS

DEMO = [sys.executable, "-m", "rollsafe", "demo"]
LONGEST_S = 90


def surroundings(tmp_path: Path) -> dict[str, str]:
    """The demo's folder is below the test's, so that its processes can be found."""
    return os.environ | {"TMPDIR": str(tmp_path)}


@contextmanager
def begun(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    line = [*DEMO, *arguments]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=surroundings(tmp_path)) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def await_line(demo: "subprocess.Popen[str]", text: str) -> str:
    """Read on until a line holds `text`; returns what was read. The demo is bounded in time, and so is this."""
    assert demo.stdout
    read = ""
    for line in demo.stdout:
        read += line
        if text in line:
            return read
    raise AssertionError(f"{text!r} was not said:\n{read}")


def test_the_demo_rolls_the_cluster_and_nobody_notices(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "-o", "json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=surroundings(tmp_path),
    )
    events = [json.loads(line) for line in done.stdout.splitlines()]
    seen, last = events[-2:]

    assert (done.returncode, last["type"], last["exit_code"]) == (0, "run.finished", 0), done.stderr
    assert seen["type"] == "demo.observed"
    assert {name: (facts["failed"], facts["cut"]) for name, facts in seen["services"].items()} == {
        "scim": (0, 0),
        "web": (0, 0),
    }
    assert all(facts["requests"] > 50 for facts in seen["services"].values())
    assert {name: node["restarts"] for name, node in seen["nodes"].items()} == {"jira1": 1, "jira2": 1, "jira3": 1}
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    assert done.stderr.startswith("Building a Jira cluster on this machine: 3 nodes")
    assert processes_of(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_fault_is_shown_with_its_lesson_and_the_meaning_of_the_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--fault", "drain-never-ends", "--nodes", "2"],
        check=False,
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        env=surroundings(tmp_path),
    )

    assert done.returncode == 20, done.stdout + done.stderr
    assert FAULTS["drain-never-ends"].lesson in done.stdout
    assert "rollsafe ended with 20 (stopped)" in done.stdout
    assert processes_of(tmp_path) == []


def test_a_kept_cluster_stays_until_ctrl_c(tmp_path: Path) -> None:
    with begun(tmp_path, "--keep", "--nodes", "2", "--fault", "sshd-dead") as demo:
        said = await_line(demo, "A shell on a node")
        inventory = Path(said.split("ROLLSAFE_INVENTORY=")[1].splitlines()[0])
        assert inventory.exists()
        assert " plan\n" in said
        assert len(processes_of(tmp_path)) >= 6

        demo.send_signal(signal.SIGINT)
        assert demo.wait(15) == 10

    assert not inventory.exists()
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_run_and_then_everything_goes(tmp_path: Path, number: signal.Signals) -> None:
    with begun(tmp_path, "--nodes", "2") as demo:
        await_line(demo, "draining")
        demo.send_signal(number)
        assert demo.wait(30) in (20, 30, 40)

    assert processes_of(tmp_path) == []


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    with begun(tmp_path, "--nodes", "2") as demo:
        await_line(demo, "draining")
        demo.kill()
        demo.wait()
        deadline = time.monotonic() + 8
        while processes_of(tmp_path):
            assert time.monotonic() < deadline, processes_of(tmp_path)
            time.sleep(0.05)


def test_an_unknown_fault_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [*DEMO, "--fault", "meteor"],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env=surroundings(tmp_path),
    )

    assert done.returncode == 2
    assert "node-never-up" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_fault(tmp_path: Path) -> None:
    done = subprocess.run([*DEMO, "--help"], check=True, capture_output=True, text=True, timeout=30)
    words = "".join(done.stdout.split())

    assert all(name in words for name in FAULTS)
