"""A pipeline finds its reports also where there was no run: wrong words, a wrong inventory, a defect of the engine."""

import json
import socket
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from rollsafe.cli.common import Output
from rollsafe.cli.conduct import Conductor, Options
from rollsafe.cli.ending import CommandEnd, EngineBroke, judge
from rollsafe.engine.log import RunLog
from rollsafe.errors import InvalidInput, JournalError, Refused
from rollsafe.model.reading import Member
from tests.reporting.test_report_command import INVENTORY


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    return ["--junit", "r.xml", "--html=r.html", "--markdown", "r.md", "--json", "r.json"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["run", "-i", "missing.yml"], "missing.yml", id="no inventory"),
        pytest.param(["run", "--no-such-option"], "no-such-option", id="wrong words"),
        pytest.param(["recover", "-i", "missing.yml", "-o", "json"], "missing.yml", id="recover"),
    ],
)
def test_what_was_wrong_is_an_error_in_every_report(
    files: list[str], words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command_line([*words, *files]) == 2
    case = ET.parse("r.xml").getroot().find("testsuite/testcase/error")
    assert case is not None
    assert says in str(case.get("message"))
    assert json.loads(Path("r.json").read_text())["outcome"] == "invalid"
    for name in ("r.html", "r.md"):
        assert "Nothing was touched" in Path(name).read_text()
    capsys.readouterr()


OLD = '{"run": "r1", "seq": 9, "type": "run.finished", "outcome": "done", "exit_code": 0}\n'


@pytest.mark.parametrize(
    ("words", "error", "code"),
    [
        pytest.param(["run", "--no-such-option"], None, 2, id="wrong words"),
        pytest.param(["run", "-i", "missing.yml", "-o", "json"], None, 2, id="no inventory, with JSON on stdout"),
        pytest.param(["drain", "jira1", "-i", "missing.yml"], None, 2, id="a node by hand"),
        pytest.param(["run"], JournalError("no journal to be had"), 10, id="no journal"),
        pytest.param(["recover"], ZeroDivisionError("a defect"), 1, id="a defect"),
    ],
)
def test_the_events_end_with_this_ending_and_not_with_an_earlier_run_s(
    files: list[str], words: list[str], error: Exception | None, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert files
    Path("ev").write_text(OLD)
    asked = [*words, "--events", "ev", "--run-id=r2"]
    if error is None:
        assert run_command_line(asked) == code
    else:
        with CommandEnd(asked):
            raise error
    old, last = Path("ev").read_text().splitlines(keepends=True)
    told = json.loads(last)
    assert old == OLD
    assert (told["type"], told["exit_code"], told["run"]) == ("run.finished", code, "r2")
    assert "warning" not in capsys.readouterr().err


def test_events_that_can_t_be_written_are_told_once_and_use_no_name_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(INVENTORY.format(database=tmp_path / "rollsafe.db"))
    assert run_command_line(["recover", "--yes", "--events", "no/such/ev", "--run-id", "r1"]) == 2
    assert capsys.readouterr().err.count("no/such/ev") == 1
    conductor = Conductor(Options([inventory], events=tmp_path / "no" / "ev", run_id="r1"))
    with pytest.raises(InvalidInput, match="can't be written"):
        conductor.begin(None)
    with conductor.store() as store:
        assert store.runs() == []


def test_a_report_that_can_t_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["run", "-i", "missing.yml", "--junit", "no/such/r.xml"]) == 2
    assert "no/such" in capsys.readouterr().err


def test_commands_without_a_run_write_none(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["report", "nothing", *files]) == 2
    with CommandEnd(["plan", *files]):
        raise OSError("broken")
    assert list(Path().glob("r.*")) == []
    capsys.readouterr()


def test_a_name_that_was_refused_is_used_again_and_both_attempts_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    inventory = Path("inventory.yml")
    inventory.write_text(INVENTORY.format(database=tmp_path / "rollsafe.db"))
    for why in ("the gate is closed", "nobody can be asked"):
        assert Conductor(Options([inventory], run_id="q1")).refuse(Refused(why)) == 10
    capsys.readouterr()
    assert run_command_line(["runs", "-o", "json"]) == 0
    assert [json.loads(line)["run"] for line in capsys.readouterr().out.splitlines()] == ["q1", "q1~1"]
    for told, why in {"q1": "nobody can be asked", "q1~1": "the gate is closed"}.items():
        assert run_command_line(["show", told]) == 0
        assert why in capsys.readouterr().out
        assert run_command_line(["report", told, "--junit", "r.xml"]) == 0
        assert why in Path("r.xml").read_text()
        assert run_command_line(["report", "--verify", told]) == 0
        capsys.readouterr()


WEB = {"service": "web", "balancer": "web-lb", "endpoint": "tcp://10.0.1.1:9999", "pool": "jira", "seat": "jira1"}


def drain_jira1(log: RunLog) -> None:
    """The records of a drain."""
    found = {"node": "jira1", **WEB, "admin": "ready", "restore": {}}
    log.write("node.started", node="jira1", data={"position": 1, "of": 1, "found": [found]})
    member = Member("jira1", *WEB.values())
    for kind in ("write.intent", "write.done"):
        log.about(kind, member, found="ready", to="drain", why="drain", taking_out=True)


@pytest.mark.parametrize("drained", [False, True])
def test_a_defect_of_the_engine_is_the_end_of_every_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, drained: bool
) -> None:
    inventory, told = tmp_path / "inventory.yml", tmp_path / "r.json"
    inventory.write_text(INVENTORY.format(database=tmp_path / "rollsafe.db"))
    events = tmp_path / "ev"
    conductor = Conductor(Options([inventory], Output.JSON, json=told, html=tmp_path / "r.html", events=events))
    log = conductor.log(conductor.begin_anyhow())
    raised: list[BaseException] = []

    def broken(_session: object) -> None:
        if drained:
            drain_jira1(log)
        raise ZeroDivisionError("a defect")

    def conduct() -> None:
        try:
            conductor.conduct(log, broken)  # type: ignore[arg-type]  # it never gets to return
        except EngineBroke as error:
            raised.append(error)

    thread = threading.Thread(target=conduct)  # signals are for the main thread, which here is the tests' own
    thread.start()
    thread.join(20)
    (error,) = raised
    assert isinstance(error.__cause__, ZeroDivisionError)
    code, text = judge(error, touched=True)
    assert code == (30 if drained else 40)
    assert "A defect of rollsafe ended this command: ZeroDivisionError: a defect" in text
    for last in (events.read_text().splitlines()[-1], capsys.readouterr().out.splitlines()[-1], told.read_text()):
        finished = json.loads(last)
        assert (finished["exit_code"], finished["message"]) == (code, text)
        assert [entry["node"] for entry in finished["left_out"]] == (["jira1"] if drained else [])
    with conductor.store() as store:
        assert [record.type for record in store.records(log.run)][-1] == "run.finished"


ALONE = """
cluster: jira-prod
product: jira
state: sqlite:///{database}
notify: [env:DEAD]
ssh: {{user: nobody, port: {port}}}
nodes: {{jira1: 127.0.0.1, jira2: 127.0.0.2}}
balancers:
  lb: {{driver: haproxy, endpoints: ["tcp://127.0.0.1:{port}"]}}
services:
  scim: {{port: 5501, balancer: lb, pool: scim, tenants: [{{id: t1}}]}}
"""


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_a_resume_that_could_ask_no_node_is_recorded_as_one_and_a_dead_notification_address_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("apprise", reason="the extra rollsafe[notify] is not installed")
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    monkeypatch.setenv("DEAD", f"json://ola:canary-4711@127.0.0.1:{port}/canary-4711")
    Path("inventory.yml").write_text(ALONE.format(database=tmp_path / "rollsafe.db", port=port))
    assert run_command_line(["resume", "--yes", "-o", "json", "--json", "r.json"]) == 40
    told = capsys.readouterr()
    records = [json.loads(line) for line in told.out.splitlines()]
    assert (records[0]["type"], records[0]["mode"]) == ("run.started", "resume")
    assert records[-1]["type"] == "run.finished"
    assert "warning: notify[0]: 2 of 2 messages are not known to have been delivered" in told.err
    assert "canary-4711" not in told.out + told.err


MISSING = {
    # what is set, what is not installed, and the warning
    "apprise": ({}, "notify: needs Apprise; install it: pip install 'rollsafe[notify]'"),
    "opentelemetry.sdk.trace": (
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        "traces: need OpenTelemetry; install it: pip install 'rollsafe[otel]'",
    ),
    "nothing": ({"ROLLSAFE_METRICS_PORT": "many"}, "ROLLSAFE_METRICS_PORT=many: is no port; write a number"),
}


@pytest.mark.parametrize("module", MISSING)
@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
def test_a_listener_that_can_not_be_had_is_a_warning_and_keeps_no_recovery_waiting(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, warning = MISSING[module]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]  # None: may not be imported
    for name, value in {"DEAD": "nonsense-canary", **environment}.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    Path("inventory.yml").write_text(ALONE.format(database=tmp_path / "rollsafe.db", port=port))
    assert run_command_line(["recover", "--yes", "-o", "json"]) == 40, "as without it: no node could be asked"
    assert f"warning: {warning}" in capsys.readouterr().err
    assert run_command_line(["doctor"]) == 40
    told = capsys.readouterr()
    assert warning in told.out
    assert "canary" not in told.out + told.err
