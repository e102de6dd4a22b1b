"""A store in a folder of its own, a plan, and records."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollsafe.journal.store import Store, open_store
from rollsafe.model.claim import Who
from rollsafe.model.cluster import Idle, MinReady, Policy, WindowRules
from rollsafe.model.plan import Plan, PlannedNode, PlannedService, PlannedStep
from rollsafe.model.reading import Member
from rollsafe.model.record import Record

WHO = Who("anna", "ops1", 4711, "2026-10-03T00:00:00Z", "CHG0042")
STARTED = "2026-10-03T00:00:00Z"


def plan(**changes: Any) -> Plan:
    base: dict[str, Any] = {
        "cluster": "jira-prod",
        "nodes": (PlannedNode("jira1", 1800.0, 600.0), PlannedNode("jira2", 1800.0, 600.0)),
        "all_nodes": ("jira1", "jira2"),
        "services": (PlannedService("scim", Idle.REQUIRED, 90.0, 30.0, MinReady(percent=50)),),
        "members": (Member("jira1", "scim", "lb", "tcp://lb1:9999", "scim", "jira1"),),
        "each_node": (PlannedStep("drain"), PlannedStep("restart", (("timeout", "5m"),))),
        "policy": Policy(),
        "window": WindowRules("Europe/Oslo", ("Sat 02:00-05:00",)),
    }
    return Plan(**{**base, **changes})


def record(seq: int, run: str = "r1", kind: str = "step.started", **changes: Any) -> Record:
    time = f"2026-10-03T00:00:{seq % 60:02d}Z"
    base = {"message": f"step {seq} of jira1 ✓", "node": "jira1", "data": {"step": "drain", "nr": seq, "s": 0.1 * seq}}
    return Record(**{"run": run, "seq": seq, "type": kind, "time": time, "at_s": seq * 1.5, **base, **changes})


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/state/rollsafe.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as store:
        yield store
