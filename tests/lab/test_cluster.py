"""The lab as a whole: it starts, it tells the truth about what was cut, and it leaves nothing behind."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.conftest import processes_of
from rollsafe.errors import InvalidInput
from rollsafe.lab.cluster import HOST, TOKEN, Lab
from rollsafe.lab.faults import FAULTS
from rollsafe.lab.texts import TENANT

SCIM_PATH = f"/scim/{TENANT}/v2/Users?count=0"


def get(port: int, path: str, **headers: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPConnection(HOST, port, timeout=5)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if body.startswith(b"{") else {}


def until(there: Callable[[], bool], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.03)


def state_of(port: int) -> str:
    try:
        return str(get(port, "/status")[1]["state"])
    except OSError:
        return "refused"


def restart(lab: Lab, index: int) -> None:
    subprocess.run([str(lab.places.nodes[index].folder / "restart.sh")], check=True, timeout=15)


def test_both_ports_answer_as_jira_and_kantega_do(lab: Lab) -> None:
    node = lab.places.nodes[0]
    assert get(node.web_port, "/status") == (200, {"state": "RUNNING"})

    status, body = get(node.scim_port, SCIM_PATH)
    assert (status, body["status"]) == (401, "401")
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:Error"]

    status, body = get(lab.places.scim.port, SCIM_PATH, Authorization=f"Bearer {TOKEN}")
    assert status == 200
    assert body["schemas"] == ["urn:ietf:params:scim:api:messages:2.0:ListResponse"]


def test_a_restart_is_slow_and_scim_comes_last(lab: Lab) -> None:
    node = lab.places.nodes[1]
    restart(lab, 1)
    steps = []

    def up() -> bool:
        state = state_of(node.web_port)
        try:
            scim = get(node.scim_port, SCIM_PATH)[0] == 401
        except OSError:
            scim = False
        if (state, scim) not in steps:
            steps.append((state, scim))
        return scim

    until(up)

    assert steps == [("refused", False), ("STARTING", False), ("RUNNING", False), ("RUNNING", True)]
    until(lambda: lab.summary().nodes["jira2"].down_s is not None)
    assert lab.summary().nodes["jira2"].restarts == 1


def test_a_restart_without_care_is_seen_by_the_clients(tmp_path: Path) -> None:
    """Requests that never end are in flight: the restart cuts them, and says so; the clients say so, too."""
    with Lab(tmp_path / "lab", nodes=2, fault="drain-never-ends") as lab:
        restart(lab, 0)
        until(lambda: lab.summary().services["scim"].failed > 0)
        seen = lab.summary().services["scim"]

    assert seen.cut >= 1
    assert seen.longest_outage_s > 0
    assert sum(seen.reasons.values()) == seen.failed <= seen.requests


def test_traffic_flows_without_failures_while_nothing_happens(lab: Lab) -> None:
    until(lambda: lab.summary().services["web"].requests > 20)
    lab.stop_traffic()
    seen = lab.summary().services

    assert {name: (facts.failed, facts.cut, facts.longest_outage_s) for name, facts in seen.items()} == {
        "scim": (0, 0, 0.0),
        "web": (0, 0, 0.0),
    }
    assert seen["scim"].requests > 0


def test_a_peer_dies_while_the_victim_is_stopped(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", fault="peer-dies") as lab:
        assert state_of(lab.places.nodes[2].web_port) == "RUNNING"
        restart(lab, 1)
        until(lambda: state_of(lab.places.nodes[2].web_port) == "refused")
        until(lambda: state_of(lab.places.nodes[1].web_port) == "RUNNING")


@pytest.mark.parametrize(
    ("fault", "web", "scim_open"),
    [
        ("node-never-up", {"STARTING"}, False),
        ("scim-dead", {"RUNNING"}, False),
        ("flapping", {"STARTING", "RUNNING"}, True),
    ],
)
def test_a_victim_comes_back_with_its_fault(tmp_path: Path, fault: str, web: set[str], scim_open: bool) -> None:
    with Lab(tmp_path / "lab", nodes=2, fault=fault) as lab:
        node = lab.places.nodes[1]
        restart(lab, 1)
        until(lambda: state_of(node.web_port) == "STARTING")
        if "RUNNING" in web:
            until(lambda: state_of(node.web_port) == "RUNNING")
        states = set()
        for _ in range(16):
            states.add(state_of(node.web_port))
            time.sleep(0.1)

        assert states == web
        if not scim_open:
            with pytest.raises(ConnectionRefusedError):
                get(node.scim_port, SCIM_PATH)


def test_a_restart_command_that_fails_leaves_the_node_alone(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", nodes=2, fault="restart-fails") as lab:
        folder = lab.places.nodes[1].folder
        before = (folder / "node.id").read_text()
        done = subprocess.run([str(folder / "restart.sh")], check=False, capture_output=True, text=True, timeout=10)

        assert done.returncode == 1
        assert "jira2 could not be stopped" in done.stderr
        assert (folder / "node.id").read_text() == before


@pytest.mark.parametrize("fault", ["balancer-dead", "reload"])
def test_a_balancer_fails_at_the_worst_moment(tmp_path: Path, fault: str) -> None:
    def say(lab: Lab, command: str) -> str:
        try:
            with socket.create_connection((HOST, lab.places.scim.admin_port), timeout=5) as sock:
                sock.sendall(command.encode() + b"\n")
                return sock.makefile().read()
        except OSError:
            return ""

    with Lab(tmp_path / "lab", fault=fault) as lab:
        say(lab, "set server scim/jira2 state drain")
        pid = say(lab, "show info").split("Pid: ")[1].split()[0]
        restart(lab, 1)
        if fault == "balancer-dead":
            until(lambda: say(lab, "show info") == "")
            assert get(lab.places.scim.port, SCIM_PATH)[0] == 401
        else:
            until(lambda: say(lab, "show info").split("Pid: ")[1].split()[0] != pid)
            states = say(lab, "show servers state scim").splitlines()[2:5]
            assert [line.split()[6] for line in states] == ["0", "0", "0"]


def test_an_unknown_fault_is_named_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no such fault.*node-never-up"):
        Lab(tmp_path / "lab", fault="meteor")


def test_a_fault_of_our_own_balancer_is_refused_with_the_real_program(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="leave --haproxy out"):
        Lab(tmp_path / "lab", fault="reload", haproxy=True)


def test_every_fault_says_what_happens_and_what_it_teaches() -> None:
    for fault in FAULTS.values():
        assert fault.happens.endswith(".")
        assert fault.lesson.endswith(".")


@pytest.mark.real
def test_with_the_real_haproxy_the_same_lab_comes_up(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", haproxy=True) as lab:
        assert get(lab.places.scim.port, SCIM_PATH)[0] == 401
        assert get(lab.places.web.port, "/status") == (200, {"state": "RUNNING"})
    assert processes_of(tmp_path) == []


def test_after_stop_nothing_runs(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab") as lab:
        restart(lab, 1)
        assert len(processes_of(tmp_path)) >= 7

    assert processes_of(tmp_path) == []


@pytest.mark.parametrize("haproxy", [False, pytest.param(True, marks=pytest.mark.real)])
def test_a_killed_builder_leaves_no_orphans(tmp_path: Path, haproxy: bool) -> None:
    code = (
        "import sys, time; from pathlib import Path; from rollsafe.lab.cluster import Lab\n"
        f"lab = Lab(Path(sys.argv[1]), nodes=2, haproxy={haproxy}); lab.start()\n"
        "print('up', flush=True); time.sleep(60)"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "lab")]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout
        assert builder.stdout.readline() == "up\n"
        assert len(processes_of(tmp_path)) >= 6
        os.kill(builder.pid, signal.SIGKILL)

    until(lambda: processes_of(tmp_path) == [])
