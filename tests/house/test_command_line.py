"""The frame of the command line: help that comes at once, one ending for every failure."""

import io
import json
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from rollsafe.cli import ending
from rollsafe.cli.app import COMMANDS
from rollsafe.cli.common import as_typed, node_names
from rollsafe.cli.conduct import Conductor, Options
from rollsafe.cli.exits import ExitCode
from rollsafe.cli.stdout import SafeStdout
from rollsafe.cli.words import inventory_said, mend_command
from rollsafe.clock import SystemClock
from rollsafe.engine.orders import Orders
from rollsafe.errors import BalancerError, InvalidInput, InvariantBroken, JournalError, Refused, RollsafeError
from rollsafe.model.record import Record
from rollsafe.planner.readings import Order
from tests.testbed.process import hearing_a_hangup

HEAVY = {"httpx", "paramiko", "pydantic", "rich", "jinja2", "sqlite3", "yaml", "tenacity", "logging", "asyncio"}
PRESENT = [name for name in COMMANDS if find_spec(f"rollsafe.cli.{name}")]


def rollsafe(*words: str, **more: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rollsafe", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30, **more)  # type: ignore[call-overload] # a plain pass-through


def run_in(body, *words: str) -> int:
    with ending.CommandEnd(words) as end:
        end.returned(body())
    return end.exit_code


# --- help ---------------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from rollsafe.cli.app import run_command_line as r; r(['--help']); print(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30).stdout
    modules = set(shown.splitlines()[-1].split())
    assert "rollsafe.cli.app" in modules
    assert modules & HEAVY == set()
    assert {name for name in modules if name.startswith("rollsafe.cli.")} & {
        f"rollsafe.cli.{c}" for c in COMMANDS
    } == set()


@pytest.mark.parametrize("name", PRESENT)
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    shown = rollsafe(name, "--help", env={**os.environ, "COLUMNS": "120"})
    assert shown.returncode == 0, shown.stderr
    assert re.search(rf"Examples?:\s+.*rollsafe {name}\b", shown.stdout, re.DOTALL), shown.stdout


@pytest.mark.parametrize("name", PRESENT)
def test_a_command_is_one_function_of_its_module(name: str) -> None:
    function = getattr(import_module(f"rollsafe.cli.{name}"), name)
    assert function.__doc__
    assert not re.search(r"(?m)^\s*\x08?\s*$\n\s*rollsafe", COMMANDS[name]), "the list shows one line each"


def test_a_command_that_does_not_exist_is_told_with_the_near_one() -> None:
    shown = rollsafe("rnu", "-o", "json")
    assert shown.returncode == 2
    assert "Did you mean 'run'?" in shown.stderr
    assert json.loads(shown.stdout.splitlines()[-1])["outcome"] == "invalid"


@pytest.mark.parametrize(
    "words", [["run", "--no-such"], ["run", "-o", "yaml"], ["runs", "too", "many"], ["run", "--yes", "--until"]]
)
def test_wrong_usage_is_2_and_says_where_help_is(words: list[str]) -> None:
    """Also where an option has no value: a CI variable that is not set and not quoted is no word at all."""
    shown = rollsafe(*words)
    assert shown.returncode == 2
    assert f"rollsafe {words[0]} --help" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_option_is_blamed_by_its_own_name() -> None:
    for words in (["recover", "--yes", "--forget", ""], ["recover", "--yes", "--forget", "a,a"]):
        shown = rollsafe(*words)
        assert shown.returncode == 2
        assert shown.stderr.startswith("--forget ")
        assert "--nodes" not in shown.stderr


SLOW_SECRET = """cluster: c
product: jira
nodes: {{a: 127.0.0.1, b: 127.0.0.2}}
balancers: {{lb: {{driver: haproxy, endpoints: ["tcp://127.0.0.9:9999"]}}}}
services:
  scim:
    port: 5501
    balancer: lb
    pool: scim
    tenants: [{{id: t, token: "command:sh -c 'touch {asked}; exec sleep 9'"}}]
"""

STARTS_SLOWLY = """
import builtins, signal, sys
real = builtins.__import__
def slow(name, *rest):
    if name == "rollsafe.cli.app":
        signal.raise_signal(signal.SIGTERM)
    return real(name, *rest)
builtins.__import__ = slow
from rollsafe.__main__ import main
main()
"""


# --- the ending -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "before", "after"),
    [
        (InvalidInput(["inventory.yml:3: nodes: missing"]), 2, 40),
        (Refused("a run lives"), 10, 40),
        (JournalError("disk full"), 10, 40),
        (BalancerError("no answer"), 40, 40),
        (InvariantBroken("I2", "two nodes out"), 1, 40),
        (RollsafeError("odd"), 1, 40),
        (ZeroDivisionError("x"), 1, 40),
        (BrokenPipeError(32, "an SSH pipe"), 1, 40),
        (KeyboardInterrupt(), 20, 40),
        (typer.Abort(), 10, 40),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else str(value),
)
@pytest.mark.parametrize("touched", [False, True])
def test_each_failure_has_one_exit_code_and_one_last_line(
    error: BaseException, before: int, after: int, touched: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    def body() -> None:
        if touched:
            ending.now_touching()
        raise error

    code = run_in(body, "run", "-o", "json", "--run-id", "r7")
    shown = capsys.readouterr()
    last = json.loads(shown.out.splitlines()[-1])
    assert code == (after if touched else before)
    assert last["type"] == "run.finished"
    assert last["exit_code"] == code
    assert last["outcome"] == ExitCode(code).outcome
    assert last["run"] == "r7"
    assert last["left_out"] == []
    assert last["message"] in shown.err.replace("\n", " ") or last["message"] in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("name", [name for name in PRESENT if name not in ("demo", "init")])
def test_every_command_takes_the_common_options(name: str, tmp_path: Path) -> None:
    log = ["-v", "--log-file", str(tmp_path / "log")]
    common = ["-p", "rolling-restart", "--reason", "CHG1", *log, "--no-color", "--yes"]
    words = {"schema": ["inventory"], "drain": ["a"], "ready": ["a"], "restart": ["a"]}.get(name, [])
    shown = rollsafe(name, *words, *common, "-o", "json", cwd=tmp_path, env={**os.environ, "HOME": str(tmp_path)})
    assert "No such option" not in shown.stderr


def test_validate_prints_what_every_line_of_json_has_and_knows_the_nodes(tmp_path: Path) -> None:
    (tmp_path / "inventory.yml").write_text(SLOW_SECRET.format(asked=tmp_path / "asked"))
    shown = rollsafe("validate", "--nodes", "a", "-o", "json", cwd=tmp_path)
    line, last = (json.loads(text) for text in shown.stdout.splitlines())
    assert (line["type"], line["run"], line["seq"], line["valid"]) == ("validated", "", 1, True)
    assert line["time"].endswith("Z")
    assert (last["type"], last["seq"], last["outcome"], last["exit_code"]) == ("run.finished", 2, "done", 0)
    shown = rollsafe("validate", "--nodes", "a,c", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (2, "there is no node c in the inventory; there are: a, b\n")


@pytest.mark.parametrize(
    ("command", "number", "code", "said"),
    [
        ("run", signal.SIGINT, 20, ""),
        ("run", signal.SIGTERM, 20, ""),
        ("run", signal.SIGHUP, 20, ""),
        ("resume", signal.SIGTERM, 40, " What an interrupted run left out was not read: rollsafe recover"),
        ("recover", signal.SIGINT, 40, " What an interrupted run left out was not read: rollsafe recover"),
    ],
)
def test_a_signal_before_anything_began_is_told_as_every_ending_is(
    command: str, number: signal.Signals, code: int, said: str, tmp_path: Path
) -> None:
    asked, events = tmp_path / "asked", tmp_path / "events.jsonl"
    (tmp_path / "inventory.yml").write_text(SLOW_SECRET.format(asked=asked))
    words = [command, "--yes", "-o", "json", "--events", str(events), "--markdown", "r.md"]
    program = [sys.executable, "-m", "rollsafe", *words]
    with hearing_a_hangup():
        run = subprocess.Popen(program, cwd=tmp_path, text=True, stdout=subprocess.PIPE)
    for _ in range(300):  # its secret is asked for after the inventory was read, and long before a run could begin
        if asked.exists():
            break
        time.sleep(0.1)
    run.send_signal(number)
    shown, _ = run.communicate(timeout=15)
    last = json.loads(shown.splitlines()[-1])
    assert (run.returncode, last["type"], last["exit_code"]) == (code, "run.finished", code)
    assert last["message"] == f"Interrupted. Nothing was touched.{said}"
    assert (tmp_path / "r.md").exists()


def test_a_signal_while_rollsafe_still_starts_is_not_lost() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", STARTS_SLOWLY, "run", "-o", "json"], text=True, stdout=subprocess.PIPE
    )
    shown, _ = run.communicate(timeout=60)
    assert (run.returncode, json.loads(shown.splitlines()[-1])["exit_code"]) == (20, 20)


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_caller_that_closed_its_ends_gets_the_same_exit_code(closed: str, tmp_path: Path) -> None:
    file = tmp_path / "inventory.yml"
    file.write_text(SLOW_SECRET.format(asked=tmp_path / "asked"))
    for words, code in ((["validate", "-i", str(file)], 0), (["run", "-i", "missing.yml", "-o", "json"], 2)):
        line = f"{sys.executable} -m rollsafe {shlex.join(words)} {closed}"
        assert subprocess.run(["/bin/sh", "-c", line], check=False, timeout=60).returncode == code


def test_a_log_file_on_a_full_disk_is_told_once(tmp_path: Path) -> None:
    code = (
        "import logging; from pathlib import Path; from rollsafe.cli.logs import set_up_logging\n"
        "set_up_logging(0, Path('/dev/full'))\n"
        "for _ in range(3): logging.getLogger('x').info('a line')\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert "Traceback" not in shown.stderr
    assert shown.stderr.count("warning: --log-file /dev/full is incomplete: [Errno 28]") == 1


def test_nohup_keeps_a_command_alive() -> None:
    code = (
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from rollsafe.cli.interrupt import hear_interrupts; hear_interrupts()\n"
        "signal.raise_signal(signal.SIGHUP)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_without_json_stdout_stays_empty(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise Refused("no")

    assert run_in(body, "run") == 10
    assert capsys.readouterr().out == ""


def test_a_last_line_that_was_written_already_is_not_written_twice(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        typer.echo(json.dumps({"type": "run.finished", "seq": 9, "exit_code": 10}))
        raise Refused("no")

    assert run_in(body, "run", "--output=json") == 10
    assert capsys.readouterr().out.count("run.finished") == 1


def test_the_last_line_follows_the_events_before_it_and_a_torn_line(capsys: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        typer.echo(json.dumps({"type": "node.started", "seq": 41, "run": "r9"}))
        typer.echo('{"type": "node.fin', nl=False)
        raise Refused("no")

    run_in(body, "run", "-o", "json")
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (last["seq"], last["run"]) == (42, "r9")


def test_a_traceback_goes_to_the_log_and_with_v_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "rollsafe.log"
    assert run_in(lambda: 1 / 0, "run", "--log-file", str(log)) == 1
    shown = capsys.readouterr().err
    assert str(log) in shown
    assert len(shown.strip().splitlines()) == 1
    assert "ZeroDivisionError" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    run_in(lambda: 1 / 0, "run", "-v")
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "code"), [(None, 0), (ExitCode.NODE_OUT, 30), (20, 20)])
def test_a_returned_code_is_the_exit_code(value: int | None, code: int) -> None:
    assert run_in(lambda: value, "run") == code


# --- stdout -----------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["--help"], ["schema", "inventory"]])
def test_a_full_disk_under_stdout_changes_no_exit_code(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rollsafe", *words], stdout=full, stderr=subprocess.PIPE, check=False, timeout=30
        )
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_reader_that_goes_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "rollsafe", "schema", "inventory"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


def test_safe_stdout_passes_on_what_it_gets(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as stream:
        safe = SafeStdout(stream)
        safe.write('{"a": 1}\n{"b"')
        assert safe.last_event() == {"a": 1}
        safe.end_line()
        safe.flush()
    assert (tmp_path / "out").read_text() == '{"a": 1}\n{"b"\n'


# --- common options -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run"], ""),
        (["run", "-i", "inventory.yml"], ""),
        (["run", "-i", "a b.yml", "--yes", "-ic.yml"], " -i 'a b.yml' -i c.yml"),
        (["recover", "--inventory=prod.yml", "-i"], " -i prod.yml"),
    ],
)
def test_the_inventory_of_a_command_to_be_typed_is_the_one_that_was_named(words: list[str], told: str) -> None:
    assert inventory_said(words) == told


def test_the_inventory_of_the_environment_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROLLSAFE_INVENTORY", "prod.yml")
    assert inventory_said(["run"]) == " -i prod.yml"
    assert inventory_said(["run", "-i", "test.yml"]) == " -i test.yml"


@pytest.mark.parametrize(("text", "names"), [(None, None), ("b,a", ("b", "a")), (" a , b,", ("a", "b"))])
def test_nodes_keep_their_order(text: str | None, names: tuple[str, ...] | None) -> None:
    assert node_names(text) == names


@pytest.mark.parametrize("text", ["", ",", "a,b,a"])
def test_nodes_that_make_no_sense_are_invalid(text: str) -> None:
    with pytest.raises(InvalidInput):
        node_names(text)


@pytest.mark.parametrize(
    ("terminal", "told"),
    [(True, "rollsafe recover -i a.yml"), (False, "rollsafe recover -i a.yml --yes")],
)
def test_the_command_that_mends_works_as_it_stands(terminal: bool, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StandIn(terminal))
    assert mend_command([Path("a.yml")]) == told


class StandIn(io.StringIO):
    """A standard stream that is a terminal, or is none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.isatty = lambda: terminal  # type: ignore[method-assign] # the point of it


@pytest.mark.parametrize(
    ("options", "terminal", "kind", "view"),
    [
        (Options(), True, "xterm", "LiveView"),
        (Options(no_color=True), True, "xterm", "LiveView"),
        (Options(verbose=1), True, "xterm", "PlainLines"),
        (Options(), True, "dumb", "PlainLines"),
        (Options(), False, "xterm", "PlainLines"),
    ],
)
def test_the_live_view_is_for_a_capable_terminal_that_no_log_goes_to(
    options: Options, terminal: bool, kind: str, view: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", StandIn(terminal))
    monkeypatch.setenv("TERM", kind)
    conductor = object.__new__(Conductor)
    conductor.options, conductor.clock, conductor._closers = options, SystemClock(), []
    assert type(conductor._text_listener()).__name__ == view
    for close in conductor._closers:
        close()


def test_what_a_person_is_told_to_type_is_as_short_as_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "clone" / ".venv" / "bin" / "rollsafe"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    assert as_typed() == "clone/.venv/bin/rollsafe"
    monkeypatch.chdir(tmp_path / "clone")
    assert as_typed() == ".venv/bin/rollsafe"
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert as_typed() == str(program)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert as_typed() == "rollsafe"
    monkeypatch.setattr(sys, "argv", ["/somewhere/rollsafe/__main__.py"])
    assert as_typed() == "python3 -m rollsafe"


def test_a_report_that_is_slow_does_not_outlast_the_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    gone, codes = threading.Event(), []
    monkeypatch.setattr("rollsafe.cli.conduct.GONE_WITHIN_S", 0.3)
    monkeypatch.setattr("rollsafe.cli.conduct._gone", lambda code: codes.append(code) or gone.set())
    monkeypatch.setattr("rollsafe.reporting.reports.write_reports", lambda *_: [] if gone.wait(30) else ["too late"])
    conductor = object.__new__(Conductor)
    conductor.options = Options(html=Path("r.html"))
    conductor.orders = Orders()
    conductor.orders.give(Order.NOW, "SIGTERM")
    conductor.clock = SystemClock()
    conductor._ordered_s = math.inf
    conductor._kept = [Record("r", 1, "run.finished", "", 0.0, data={"exit_code": 20})]
    conductor._warned_of_journal = True
    conductor.close = lambda: None  # type: ignore[method-assign] # nothing was opened
    log = SimpleNamespace(broken=None)
    conductor._finish_outputs(log)  # type: ignore[arg-type] # all that is asked of it
    assert gone.is_set()
    assert codes == [20], "what the last line told"
