"""A pipeline finds its reports also where there was no run: wrong words, a wrong inventory, a defect of the engine."""

import json
import threading
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from rollsafe.cli.app import run_command_line
from rollsafe.cli.common import Output
from rollsafe.cli.conduct import Conductor, Options
from rollsafe.cli.ending import Ending
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


def test_a_report_that_can_t_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command_line(["run", "-i", "missing.yml", "--junit", "no/such/r.xml"]) == 2
    assert "no/such" in capsys.readouterr().err


def test_commands_without_a_run_write_none(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command_line(["report", "nothing", *files]) == 2
    with Ending(["plan", *files]):
        raise OSError("broken")
    assert list(Path().glob("r.*")) == []
    capsys.readouterr()


def test_a_defect_of_the_engine_is_the_end_of_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inventory, told = tmp_path / "inventory.yml", tmp_path / "r.json"
    inventory.write_text(INVENTORY.format(database=tmp_path / "rollsafe.db"))
    conductor = Conductor(Options([inventory], Output.JSON, json=told, html=tmp_path / "r.html"))
    log = conductor.log(conductor.begin_anyhow())
    raised: list[BaseException] = []

    def broken(_session: object) -> None:
        raise ZeroDivisionError("a defect")

    def conduct() -> None:
        try:
            conductor.conduct(log, broken)  # type: ignore[arg-type]  # it never gets to return
        except ZeroDivisionError as error:
            raised.append(error)

    thread = threading.Thread(target=conduct)  # signals are for the main thread, which here is the tests' own
    thread.start()
    thread.join(20)
    assert len(raised) == 1
    assert json.loads(told.read_text())["exit_code"] == 40
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["type"] == "run.finished"
    with conductor.store() as store:
        assert [record.type for record in store.records(log.run)] == ["run.finished"]
