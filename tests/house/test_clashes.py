"""No output in an input, and no two outputs in one file: refused before anything is opened."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INVENTORY = """cluster: jira-prod
product: jira
state: sqlite:///{state}
nodes: {{a: 127.0.0.1, b: 127.0.0.2}}
ssh: {{port: 1}}
balancers: {{lb: {{driver: haproxy, endpoints: ["tcp://127.0.0.1:1"]}}}}
services: {{scim: {{port: 1, balancer: lb, pool: scim, tenants: [{{id: t}}]}}}}
"""
PLAYBOOK = "name: mine\ndescription: x\neach_node: [drain, restart, healthy, ready]\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "inv").mkdir()
    (tmp_path / "inv" / "a.yml").write_text(INVENTORY.format(state=tmp_path / "my.db"))
    (tmp_path / "inv" / "b.yml").write_text("policy: {soak: 1s}\n")
    (tmp_path / "inv" / "playbooks").mkdir()
    (tmp_path / "inv" / "playbooks" / "mine.yml").write_text(PLAYBOOK)
    (tmp_path / "plan.json").write_text("{}")
    (tmp_path / "link").symlink_to("inv/b.yml")
    (tmp_path / "other").symlink_to("r.json")
    os.link(tmp_path / "inv" / "b.yml", tmp_path / "twin")
    return tmp_path


def rollsafe(place: Path, line: str, code: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "rollsafe", *line.split()],
        cwd=place,
        env={**os.environ, "XDG_STATE_HOME": str(place / "state")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


def files(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(place.rglob("*")) if path.is_file()}


BOTH = "-i inv/a.yml -i inv/b.yml"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (f"run {BOTH} --yes --json inv/b.yml", "--json inv/b.yml: is the same file as the inventory inv/b.yml"),
        (f"run {BOTH} --yes --events link", "--events link: is the same file as the inventory inv/b.yml"),
        (f"run {BOTH} --yes --html twin", "--html twin: is the same file as the inventory inv/b.yml"),
        (f"status {BOTH} --log-file inv/a.yml", "--log-file inv/a.yml: is the same file as the inventory inv/a.yml"),
        (f"plan {BOTH} --out inv/../inv/b.yml", "is the same file as the inventory inv/b.yml, which it would spoil"),
        (f"run {BOTH} -p mine --junit inv/playbooks/mine.yml", "is the same file as the playbook"),
        (f"run {BOTH} --plan plan.json --json plan.json", "--json plan.json: is the same file as --plan plan.json"),
        (f"run {BOTH} --yes --json my.db", "--json my.db: is the same file as the journal "),
        (f"recover {BOTH} --yes --events my.db", "--events my.db: is the same file as the journal "),
        (f"plan {BOTH} --out my.db", "--out my.db: is the same file as the journal "),
        (f"run {BOTH} --yes --html r.json --json r.json", "--json r.json: is the same file as --html r.json, and one"),
        (f"run {BOTH} --yes --html r.json --json other", "--json other: is the same file as --html r.json, and one"),
        (f"drain a {BOTH} --events x --log-file ./x", "--log-file x: is the same file as --events x, and one"),
        (f"plan {BOTH} --out x --log-file x", "is the same file as --"),
        (f"run {BOTH} --no-such --json inv/b.yml", "No such option: --no-such"),
        ("run -iinv/b.yml --no-such --events inv/b.yml", "warning: --events inv/b.yml: is the same file as"),
    ],
)
def test_nothing_is_touched(place: Path, line: str, told: str) -> None:
    before = files(place)
    assert told in rollsafe(place, line, 2)
    assert files(place) == before


def test_a_journal_that_exists_is_known_by_what_it_holds(place: Path) -> None:
    rollsafe(place, f"run {BOTH} --yes", 10)
    before = files(place)
    for line in (f"validate {BOTH} --log-file my.db", "report --json my.db", "run --no-such --events my.db"):
        assert "it is a database" in rollsafe(place, line, 2)
    assert files(place) == before


def test_devices_may_be_named_twice_and_each_report_has_a_file_of_its_own(place: Path) -> None:
    ends = "--html /dev/stdout --junit /dev/stdout --events /dev/stderr --log-file /dev/stderr"
    told = rollsafe(place, f"run {BOTH} --yes {ends} --json r.json --markdown r.md", 10)
    assert "same file" not in told
    assert (place / "r.json").exists()
    assert (place / "r.md").exists()
