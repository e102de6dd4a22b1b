"""Every event of whole rollouts is what `rollsafe schema events` promises, each value with a type of its field."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from rollsafe.cli.probe_news import ProbeNews
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.record import Record
from rollsafe.planner.readings import Budget
from rollsafe.rehearsal.faults import Fault, Way
from rollsafe.reporting.events_schema import events_schema
from rollsafe.reporting.jsonl import as_json
from tests.golden.test_rollouts import SCENES, Stage, killed_and_recovered

SCHEMA = events_schema()
KINDS = {
    "string": str,
    "array": list,
    "object": dict,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "null": type(None),
}


def breaches(records: Iterable[Record]) -> set[str]:
    """Where a line of `-o json` is not what the schema says of it."""
    return {text for record in records for text in wrong_with(json.loads(as_json(record)))}


def wrong_with(event: dict[str, Any]) -> list[str]:
    arms = [arm["then"] for arm in SCHEMA["allOf"] if arm["if"]["properties"]["type"]["const"] == event["type"]]
    assert len(arms) == 1, f"{event['type']} is not in the schema"
    wrong = []
    for part in (SCHEMA, *arms):
        wrong += [f"{event['type']}.{name} is missing" for name in part["required"] if name not in event]
        wrong += [
            f"{event['type']}.{name} is {event[name]!r}, and no {field['type']}"
            for name, field in part["properties"].items()
            if name in event and not fits(event[name], field["type"])
        ]
    return wrong


def fits(value: object, types: str | list[str]) -> bool:
    names = [types] if isinstance(types, str) else types
    return any(isinstance(value, KINDS[name]) and (name == "boolean") == isinstance(value, bool) for name in names)


def told(stage: Stage) -> list[Record]:
    """What all operators of a stage have recorded."""
    return [record for operator in stage.sim.operators for record in operator.records]


@pytest.mark.parametrize("endpoints", [1, 2])
@pytest.mark.parametrize("scene", SCENES)
def test_every_event_of_a_rollout(scene: str, endpoints: int) -> None:
    stage = Stage(endpoints)
    SCENES[scene](stage)
    assert len(told(stage)) > 10
    assert breaches(told(stage)) == set()


@pytest.mark.parametrize("mode", ["recover", "resume"])
@pytest.mark.parametrize(
    "site", ["balancer.read", "balancer.write", "restarter", "claim.read", "claim.swap n1", "check"]
)
def test_every_event_of_a_run_that_goes_on_among_failures(mode: str, site: str) -> None:
    stage = Stage()
    stage.play("run", stage.sim.operator("runner", faults=[Fault(Way.RESET, 200, site, times=3)]))
    stage.play(mode, stage.sim.operator("rescuer", faults=[Fault(Way.TIMEOUT_BEFORE, 1, site, times=4)]))
    assert breaches(told(stage)) == set()


def a_log(stage: Stage) -> tuple[RunLog, sessions.Session, list[Record]]:
    operator = stage.sim.operator("runner")
    world = stage.sim.world(operator)
    clock = RunClock(world.clock)
    log = RunLog("r", clock, operator, ())
    return log, stage.engine._session(operator, world, clock, log), operator.records


def test_every_event_of_a_resume_that_can_not_be() -> None:
    stage = Stage()
    killed_and_recovered(stage)
    _, session, records = a_log(stage)
    sessions.cannot_resume(session, "r", "the journal of this run is not here")
    assert {"run.started", "run.finished"} <= {record.type for record in records}
    assert breaches(records) == set()


@pytest.mark.parametrize("evidence", [Evidence(), Evidence(detail="timed out"), Evidence(404, "no", 0.2, "no SCIM")])
def test_every_event_of_a_probe(evidence: Evidence) -> None:
    stage = Stage()
    log, session, records = a_log(stage)
    news = ProbeNews(log, session.world.clock, session.clock, Budget, lambda: None)
    sample = ProbeSample("scim", "scim", 0.0, 0.0, False, 10.0, evidence)
    for kind in ("failed", "recovered"):
        news.changed(kind, ProbeSummary("scim", "scim", 1, 1), sample)
    assert [record.type for record in records] == ["probe.failed", "probe.recovered"]
    assert breaches(records) == set()
