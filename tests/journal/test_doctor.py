"""`doctor` says of the journal's place what a run would say, and leaves nothing there."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = """cluster: jira-prod
product: jira
nodes: {a: 127.0.0.1, b: 127.0.0.2}
ssh: {port: 1}
balancers: {lb: {driver: haproxy, endpoints: ["tcp://127.0.0.1:1"]}}
services: {scim: {port: 1, balancer: lb, pool: scim, tenants: [{id: t}]}}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inventory.yml").write_text(INVENTORY)
    return tmp_path


def journal_of_doctor(place: Path, home: Path, *, full: bool = False) -> str:
    """What `doctor` says of the journal, where the user's home is there; `full`: no file may grow past 64 KiB."""
    environment = {key: value for key, value in os.environ.items() if key != "XDG_STATE_HOME"}
    done = subprocess.run(
        [sys.executable, "-m", "rollsafe", "doctor"],
        cwd=place,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        preexec_fn=(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))) if full else None,
    )
    return next(line for line in done.stdout.splitlines() if "rollsafe.db" in line)


def test_a_place_for_the_first_run(place: Path) -> None:
    (place / "home").mkdir()
    for home in ("home", "home/that/is/missing"):
        told = journal_of_doctor(place, place / home)
        assert told.startswith("  ok  ")
        assert told.endswith("it will be made by the first run")
    assert list((place / "home").iterdir()) == []


def test_no_room(place: Path) -> None:
    told = journal_of_doctor(place, place, full=True)
    assert told.startswith("  NO  ")
    assert "writing there failed: File too large" in told
    assert sorted(path.name for path in place.iterdir()) == ["inventory.yml"]


def test_a_folder_that_nobody_can_make(place: Path) -> None:
    assert journal_of_doctor(place, Path("/proc/nope")).startswith("  NO  ")
