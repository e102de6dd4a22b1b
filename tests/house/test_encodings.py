"""Where stdout is not UTF-8: what can't be shown is spelled out, and everything after it is shown, too."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = """cluster: jira-prod
product: jira
nodes: {a: 127.0.0.1, b: 127.0.0.2}
ssh: {port: 1}
balancers: {lb: {driver: haproxy, endpoints: ["tcp://127.0.0.1:1"]}}
services: {scim: {port: 1, balancer: lb, pool: "jira→prød…", tenants: [{id: t}]}}
"""
ENCODINGS = {
    "latin-1": ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "jira->prød..."),
    "ascii": ({"PYTHONIOENCODING": "ascii"}, "ascii", "jira->pr\\xf8d..."),
    "C": ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, "ascii", "jira->pr\\xf8d..."),
}
NAMES = list(ENCODINGS)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yml").write_text(INVENTORY, encoding="utf-8")
    return tmp_path


def rollsafe(place: Path, name: str, *words: str) -> tuple[int, str, str]:
    own, encoding, _ = ENCODINGS[name]
    environment = {**os.environ, **own, "XDG_STATE_HOME": str(place)}
    command = [sys.executable, "-m", "rollsafe", *words]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, check=False, timeout=60)
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_says_all_that_it_has_to_say(place: Path, name: str) -> None:
    told = ENCODINGS[name][2]
    code, out, err = rollsafe(place, name, "run", "--yes", "--run-id", "r1", "--reason", "Grüße", "--log-file", "log")
    assert code == 10
    assert told in out
    assert "nothing was touched: " in out.splitlines()[-1]
    assert "warning" in err
    for words in (["show", "last"], ["report", "last"], ["plan"]):
        _, out, err = rollsafe(place, name, *words)
        assert told in out, words
        assert "Traceback" not in err
        assert out.endswith("\n")
    assert "UnicodeEncodeError" not in (place / "log").read_text(encoding="utf-8")


def test_json_stays_json(place: Path) -> None:
    for words in (["plan"], ["run", "--yes"], ["runs"]):
        _, out, _ = rollsafe(place, "ascii", *words, "-o", "json")
        events = [json.loads(line) for line in out.splitlines()]
        assert events, words
        assert out.isascii()


def test_a_reason_is_read_as_utf_8_whatever_the_locale_is(place: Path) -> None:
    rollsafe(place, "C", "run", "--yes", "--reason", "Grüße", "--json", "r.json")
    assert json.loads((place / "r.json").read_text())["reason"] == "Grüße"


@pytest.mark.parametrize("name", ["latin-1", "ascii"])
def test_the_live_view_ends_with_the_last_line(place: Path, name: str) -> None:
    own, encoding, told = ENCODINGS[name]
    environment = {**os.environ, **own, "XDG_STATE_HOME": str(place), "TERM": "xterm", "COLUMNS": "100"}
    near, far = pty.openpty()
    command = [sys.executable, "-m", "rollsafe", "run", "--yes", "--no-color"]
    run = subprocess.Popen(command, cwd=place, env=environment, stdout=far, stderr=subprocess.DEVNULL)
    os.close(far)
    shown = b""
    try:
        while chunk := os.read(near, 65536):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(near)
    assert run.wait(60) == 10
    text = shown.decode(encoding)
    assert told in text
    assert "nothing was touched: " in text.strip().splitlines()[-1]
