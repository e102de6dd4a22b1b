"""`rollsafe rehearse` from outside: exit codes, the one JSON object, progress in a log, nothing of the real world."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rollsafe.planner.next_step
from rollsafe.__main__ import run
from rollsafe.planner.state import Restart

INVENTORY = """\
cluster: jira-small
product: jira
nodes: {j1: 192.0.2.11, j2: 192.0.2.12}
ssh: {user: rollsafe, private_key: /nowhere/id_ed25519, known_hosts: /nowhere/known_hosts}
restart: {unit: jira.service}
balancers:
  lb: {driver: haproxy, endpoints: ["tcp://192.0.2.1:9999"]}
services:
  scim:
    port: 5501
    balancer: lb
    pool: scim
    tenants: [{id: t1, token: "env:ROLLSAFE_TEST_IS_NOT_SET"}]
    probe: {base_url: "https://scim.example.invalid"}
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    path = tmp_path / "inventory.yml"
    path.write_text(INVENTORY)
    return path


def rehearse(inventory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rollsafe", "rehearse", "-i", str(inventory), *options]
    environment = {**os.environ, "HOME": str(inventory.parent), "XDG_STATE_HOME": str(inventory.parent / "state")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd=inventory.parent, env=environment
    )


def test_a_whole_rehearsal_in_json_needs_no_secret_no_key_and_no_network(inventory: Path) -> None:
    done = rehearse(inventory, "--output", "json", "--nodes", "j1")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    report, last = (json.loads(line) for line in done.stdout.splitlines())
    assert (last["type"], last["exit_code"], last["message"]) == ("run.finished", 0, report["message"])
    assert {k: report[k] for k in ("type", "cluster", "outcome", "exit_code", "seed", "thorough", "violations")} == {
        "type": "rehearsal.finished",
        "cluster": "jira-small",
        "outcome": "done",
        "exit_code": 0,
        "seed": 0,
        "thorough": False,
        "violations": [],
    }
    assert set(report["points"]) == {"faultless", "crash", "fault", "event", "recover"}
    assert all(0 < kind["played"] <= kind["stand_for"] for kind in report["points"].values())
    assert sum(report["ended"].values()) == sum(kind["stand_for"] for kind in report["points"].values())
    assert report["ended"]["not_as_found"] == 0
    assert report["members"] == {"scim": 2}
    assert report["faultless"]["least_in_service"] == {"scim": 1}
    assert report["requests_cut"] == {}
    assert report["needs_a_person"], "a node that never comes up needs a person"
    for need in report["needs_a_person"]:
        assert need["exit_code"] in (30, 40)
        assert need["why"]
        assert need["example"]
    assert "rehearsing, 0 s: the run without a fault" in done.stderr
    assert not (inventory.parent / "state").exists(), "a rehearsal leaves nothing behind"


@pytest.mark.parametrize("wrong", ["", "cluster: [", "cluster: x\nnodes: {}\n"])
def test_a_bad_inventory_is_2(inventory: Path, wrong: str) -> None:
    inventory.write_text(wrong)
    done = rehearse(inventory)
    assert done.returncode == 2
    assert "inventory.yml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_cluster_that_can_not_be_rolled_is_10_with_the_gate_that_says_no(inventory: Path) -> None:
    never = 'window: {timezone: Europe/Oslo, open: ["Sat 02:00-05:00"], blackouts: ["2026-01-01/2099-12-31"]}\n'
    inventory.write_text(INVENTORY + never)
    done = rehearse(inventory)
    assert done.returncode == 10, done.stderr
    assert "The run without a fault ends with 10" in done.stdout
    assert "blackout" in done.stdout


def test_a_rehearsal_takes_place_in_the_window_whatever_the_hour_is_now(
    inventory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory.write_text(INVENTORY + 'window: {timezone: Europe/Oslo, open: ["Wed 02:00-05:00"]}\n')
    monkeypatch.setattr("rollsafe.rehearsal.rehearse.programme_of", lambda *_: [])
    assert run_here(inventory, monkeypatch) == 0


def test_the_rehearsed_run_restarts_the_nodes_that_are_named_and_judges_those(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rollsafe.rehearsal.rehearse.programme_of", lambda *_: [])
    assert run_here(inventory, monkeypatch, "--nodes", "j2", "-o", "json") == 0
    report = json.loads(capsys.readouterr().out.splitlines()[0])
    assert report["nodes"] == ["j2"]
    assert report["violations"] == []
    assert report["faultless"]["message"].startswith("j2 was restarted")


@pytest.mark.parametrize("nodes", ["j3", "j1,j3", "j1,j1", ","])
def test_nodes_that_are_not_there_or_named_twice_are_2(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], nodes: str
) -> None:
    assert run_here(inventory, monkeypatch, "--nodes", nodes) == 2
    told = capsys.readouterr().err
    assert "j1, j2" in told or "--nodes" in told


def run_here(inventory: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> object:
    monkeypatch.setattr(sys, "argv", ["rollsafe", "rehearse", "-i", str(inventory), *options])
    return run()


def test_a_broken_planner_is_20_and_the_invariant_is_named(
    inventory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        rollsafe.planner.next_step, "_may_go_back", lambda _plan, hand, _now: hand.restart is Restart.DONE
    )
    assert run_here(inventory, monkeypatch) == 20
    told = capsys.readouterr().out
    assert "I4 broke at 1 points" in told
    assert "these invariants broke: I4" in told
