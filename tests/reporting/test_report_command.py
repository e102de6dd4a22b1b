"""`rollsafe report` on a real journal: files, text, the chain's verdict and its export."""

import json
import os
import sqlite3
import subprocess
import sys

import pytest

from rollsafe.journal.chain import verify_lines
from rollsafe.journal.store import open_store
from rollsafe.model.claim import Who
from tests.reporting import stories

RUN = "20260307-010000-ab12"


@pytest.fixture
def home(tmp_path):
    """A home folder whose journal holds the story of a node that was left out."""
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")}
    database = tmp_path / "rollsafe.db"
    (tmp_path / "inventory.yml").write_text(INVENTORY.format(database=database))
    with open_store(f"sqlite:///{database}") as store:
        writer = store.start_run(RUN, "jira-prod", None, Who("ola", "bastion", 4242, "2026-03-07T01:00:00Z"), "x")
        for record in stories.node_out():
            writer.append(record)
    return tmp_path, environment, database


INVENTORY = """
cluster: jira-prod
product: jira
state: sqlite:///{database}
nodes: {{jira1: 10.0.0.11, jira2: 10.0.0.12}}
balancers:
  lb: {{driver: haproxy, endpoints: ["tcp://10.0.0.1:9999"]}}
services:
  scim: {{port: 5501, balancer: lb, pool: scim, tenants: [{{id: t1}}], drain: {{idle: required, timeout: 90s}}}}
  web: {{port: 8080, balancer: lb, pool: jira, drain: {{idle: preferred, timeout: 5m}}}}
"""


def rollsafe(home, *arguments, code=0):
    folder, environment, _ = home
    done = subprocess.run(
        [sys.executable, "-m", "rollsafe", "report", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def test_all_reports_at_once_and_as_text(home):
    folder = home[0]
    rollsafe(home, RUN[:10], "--html", "r.html", "--markdown", "r.md", "--junit", "r.xml", "--json", "r.json")
    assert "node-out" in (folder / "r.html").read_text()
    assert json.loads((folder / "r.json").read_text())["exit_code"] == 30
    assert (folder / "r.xml").read_text().startswith("<?xml")
    assert rollsafe(home).stdout == (folder / "r.md").read_text()
    line = json.loads(rollsafe(home, "-o", "json").stdout)
    assert (line["run"], line["type"], line["seq"], line["time"][-1]) == (RUN, "report", 1, "Z")
    verified = json.loads(rollsafe(home, "--verify", RUN, "-o", "json").stdout)
    assert (verified["run"], verified["type"], verified["ok"]) == (RUN, "verified", True)


def test_the_chain_is_verified_and_exported(home):
    told = rollsafe(home, "--verify", RUN).stdout
    assert "every record is as it was written" in told
    assert "end is not on record" not in told
    rollsafe(home, "--export", "chain.jsonl")
    lines = (home[0] / "chain.jsonl").read_text().splitlines()
    assert len(lines) == len(stories.node_out()) + 1
    assert verify_lines(lines) == ""
    assert f"{len(lines) - 1} records, the last hash is {json.loads(lines[-1])['hash']}\n" in told
    assert json.loads(rollsafe(home, "--verify", RUN, "-o", "json").stdout.splitlines()[0])["ended"] is True


def test_a_changed_record_is_found(home):
    with sqlite3.connect(home[2]) as connection:
        (table,) = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'record%' LIMIT 1").fetchone()
        for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute(f"UPDATE {table} SET body = replace(body, '\"exit_code\":30', '\"exit_code\":0')")
    connection.close()
    assert "NOT as it was written" in rollsafe(home, "--verify", RUN, code=10).stderr


def test_a_folder_that_is_missing_is_said_before_anything_is_read(home):
    assert "--html" in rollsafe(home, "--html", "missing/r.html", code=2).stderr
