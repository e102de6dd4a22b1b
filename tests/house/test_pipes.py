"""Files that are none: pipes with and without a reader, links, and the ends of the process itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rollsafe.reporting.opening import is_stream
from rollsafe.reporting.reports import replace_file

INVENTORY = """cluster: jira-prod
product: jira
nodes: {a: 127.0.0.1, b: 127.0.0.2}
ssh: {port: 1}
balancers: {lb: {driver: haproxy, endpoints: ["tcp://127.0.0.1:1"]}}
services: {scim: {port: 1, balancer: lb, pool: scim, tenants: [{id: t}]}}
"""
NO_READER = "nobody reads this pipe (start its reader first)"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def rollsafe(place: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Through a shell, as operators redirect. It hangs nowhere: 30 s are for a slow machine."""
    whole = f"{sys.executable} -m rollsafe {line}"
    environment = {**os.environ, "XDG_STATE_HOME": str(place)}
    return subprocess.run(
        ["/bin/bash", "-c", whole], cwd=place, env=environment, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize(
    "line",
    [
        "run --yes --events pipe",
        "run --yes --html pipe",
        "run --yes --json pipe",
        "recover --yes --junit pipe",
        "drain a --events pipe",
        "run --yes --log-file pipe",
        "validate --log-file pipe",
        "plan --out pipe",
        "report --export pipe",
        "report --markdown pipe",
    ],
)
def test_a_pipe_without_a_reader_is_told_at_once(place: Path, line: str) -> None:
    done = rollsafe(place, line)
    assert done.returncode == 2
    assert f"{' '.join(line.split()[-2:])}: " in done.stderr
    assert done.stderr.count(NO_READER) == 1


@pytest.mark.parametrize("line", ["run --yes --json pipe", "run --yes --json /dev/fd/3 3> pipe"])
def test_a_pipe_with_a_reader_gets_the_whole_report(place: Path, line: str) -> None:
    with (place / "got").open("w") as got, subprocess.Popen(["cat", "pipe"], cwd=place, stdout=got):
        assert rollsafe(place, line).returncode == 10
    assert json.loads((place / "got").read_text())["exit_code"] == 10


def test_events_and_log_go_through_pipes(place: Path) -> None:
    with (place / "got").open("w") as got, subprocess.Popen(["cat", "pipe"], cwd=place, stdout=got):
        assert rollsafe(place, "run --yes --events pipe --log-file >(cat > log)").returncode == 10
    kinds = [json.loads(line)["type"] for line in (place / "got").read_text().splitlines()]
    assert kinds == ["run.started", "run.finished"]


def test_what_stdout_holds_already_stays_when_a_report_goes_there(place: Path) -> None:
    rollsafe(place, "run --yes --json /dev/stdout --events /dev/stderr > both 2>&1")
    told = (place / "both").read_text()
    assert told.index("warning") < told.index("rolling restart of") < told.index("nothing was touched")
    assert told.index('"type": "run.started"') < told.index('"type": "run.finished"')
    assert told.index("nothing was touched") < told.rindex('"cluster": "jira-prod"')
    assert told.endswith("}\n")


def test_devices_and_ends_of_the_process_are_never_replaced() -> None:
    for path in ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/fd/9", "/proc/self/fd/9"):
        assert is_stream(Path(path))  # asked, not tried: where it is wrong, root would lose the device


def test_a_reader_that_takes_nothing_is_not_waited_for_long(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollsafe.reporting.opening.STALL_MS", 100)
    reader = os.open(place / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match=r"its reader took nothing for 0\.1 s"):
        replace_file(place / "pipe", "x" * 200_000)
    os.close(reader)
