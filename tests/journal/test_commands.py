"""`rollsafe runs` and `rollsafe show`, as people and machines call them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from rollsafe.journal.store import open_store
from rollsafe.model.record import Record
from tests.journal.conftest import STARTED, WHO, plan

MEMBER = {"pool": "scim", "seat": "jira1", "to": "drain", "found": "ready"}


def records(run: str) -> list[Record]:
    lb = {"balancer": "lb", "endpoint": "tcp://lb1:9999"}
    rows: list[tuple[str, str | None, str | None, dict[str, object]]] = [
        ("run.started", None, None, {"cluster": "jira-prod", "who": "anna", "host": "ops1", "nodes": ["jira1"]}),
        ("gate.checked", "jira1", None, {"gate": "capacity", "allowed": True, "reason": "1 other is in"}),
        ("gate.checked", "jira1", None, {"gate": "capacity", "allowed": True, "reason": "1 other is in"}),
        ("node.started", "jira1", None, {}),
        ("step.started", "jira1", "scim", {"step": "drain"}),
        ("write.intent", "jira1", "scim", {**MEMBER}),
        ("write.done", "jira1", "scim", {**MEMBER}),
        *[("step.waiting", "jira1", "scim", {"step": "drain", "left_s": 90.0 - i}) for i in range(5)],
        ("step.finished", "jira1", "scim", {"step": "drain", "outcome": "drained", "took_s": 5.0}),
        ("something.new", "jira1", None, {"x": [1, {"y": None}]}),
        ("node.finished", "jira1", None, {"outcome": "restarted", "out_of_service_s": 41.2}),
    ]
    made = []
    for seq, (kind, node, service, data) in enumerate(rows, start=1):
        where = lb if kind.startswith("write") else {}
        made.append(Record(run, seq, kind, STARTED, seq * 2.0, "", node, service, data=data, **where))  # type: ignore[arg-type]  # balancer and endpoint only
    return made


def finished(run: str, seq: int) -> Record:
    nodes = {"jira1": {"outcome": "restarted", "out_of_service_s": 41.2}}
    data = {"outcome": "done", "exit_code": 0, "nodes": nodes, "duration_s": 61.0}
    return Record(run, seq, "run.finished", STARTED, 61.0, "All 1 nodes were restarted.", data=data)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    with open_store() as store:
        journal = store.start_run("20261003-aa", "jira-prod", plan(), WHO, STARTED)
        for record in [*records("20261003-aa"), finished("20261003-aa", 16)]:
            journal.append(record)
        journal = store.start_run("20261004-bb", "jira-prod", plan(), replace(WHO, reason="\x1b[31mred"), STARTED)
        for record in records("20261004-bb")[:6]:
            journal.append(record)
    return tmp_path


def test_runs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["runs"]) == 0
    head, interrupted, done = capsys.readouterr().out.splitlines()
    assert head.split() == ["RUN", "CLUSTER", "STARTED", "OUTCOME", "EXIT", "WHO", "REASON"]
    assert interrupted.startswith("20261004-bb")
    assert "no end" in interrupted
    assert "\x1b" not in interrupted
    assert done.split()[3:] == ["done", "0", "anna@ops1", "CHG0042"]


def test_runs_for_machines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["runs", "-o", "json", "--limit", "1"]) == 0
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["run"], row["outcome"], row["records"], row["who"]["who"]) == ("20261004-bb", None, 6, "anna")
    assert (row["type"], row["seq"], row["time"][-1]) == ("run", 1, "Z")


def test_no_runs_yet_makes_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "none"))
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["runs"]) == 0
    assert "No run yet" in capsys.readouterr().out
    assert run_command_line(["show", "last"]) == 2
    assert "no journal yet" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_show_tells_the_story(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show", "20261003"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "run      20261003-aa of jira-prod\nstarted  2026-10-03T00:00:00Z by anna on ops1 (pid 4711)\n"
    )
    assert "reason   CHG0042" in out
    assert "nodes    jira1, jira2" in out
    assert out.count("gate capacity") == 1
    assert out.count("left") == 1, "of five looks at one wait the last is told"
    assert "drained" in out
    assert "something" in out, "a type that is not known is told all the same"
    assert "in doubt" not in out
    assert out.rstrip().endswith("All 1 nodes were restarted.")
    assert run_command_line(["show", "20261003", "-v"]) == 0
    assert capsys.readouterr().out.count("gate capacity") == 2


def test_show_of_a_run_without_an_end(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show"]) == 0
    out = capsys.readouterr().out
    assert "[in doubt] " in out
    assert "rollsafe recover --run-id 20261004-bb" in out


def test_show_for_machines(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show", "20261003-aa", "-o", "json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, 17))
    assert events[-1]["type"] == "run.finished"


def test_show_of_nothing_and_of_several(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["show", "x"]) == 2
    assert "rollsafe runs" in capsys.readouterr().err
    assert run_command_line(["show", "2026"]) == 2
    assert "several runs" in capsys.readouterr().err


def test_a_damaged_journal_is_refused_aloud(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = state / "state" / "rollsafe" / "rollsafe.db"
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b'"took_s":5.0', b'"took_s":4.0'))
    assert run_command_line(["show", "20261003-aa"]) == 10
    err = capsys.readouterr().err
    assert "record 13" in err
    assert "rollsafe recover" in err


@pytest.mark.parametrize("command", [["runs"], ["show"], ["report"]])
def test_a_journal_that_was_cut_to_nothing_is_not_the_same_as_no_run_yet(
    state: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (state / "state" / "rollsafe" / "rollsafe.db").write_bytes(b"")
    assert run_command_line(command) == 10
    err = capsys.readouterr().err
    assert "it is empty" in err
    assert "rollsafe recover" in err


def test_a_broken_inventory_that_lies_here_hides_no_history(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (state / "inventory.yml").write_text("cluster: [")
    assert run_command_line(["runs"]) == 0
    captured = capsys.readouterr()
    assert "20261003-aa" in captured.out
    assert "inventory.yml" in captured.err
    assert run_command_line(["runs", "-i", "inventory.yml"]) == 2
