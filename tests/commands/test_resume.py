"""`resume` and `recover` as they are typed, on a simulated cluster: whose claim they touch, and what they record."""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from rollsafe.assembly import Assembled
from rollsafe.cli.app import run_command_line
from rollsafe.cli.in_rehearsal import Engine
from rollsafe.clock import SystemClock
from rollsafe.config.load import load_inventory
from rollsafe.engine.claim import first_record
from rollsafe.engine.takeover import BEAT_WATCH_S
from rollsafe.journal.store import open_store
from rollsafe.model.claim import ClaimRecord, Who
from rollsafe.model.cluster import Cluster
from rollsafe.model.record import Record
from rollsafe.planner.readings import Budget
from rollsafe.ports import World
from rollsafe.probes.watch import Watch
from rollsafe.rehearsal.faults import Crash, CrashPoint
from rollsafe.rehearsal.operator import Call, Operator
from rollsafe.rehearsal.world import SimWorld

INVENTORY = """
cluster: jira-prod
product: jira
state: sqlite:///{state}/rollsafe.db
policy: {{healthy_for: 2s, soak: 2s, poll: 1s}}
nodes: {nodes}
balancers:
  lb: {{driver: haproxy, endpoints: ["tcp://10.0.0.1:9999"]}}
services:
  scim: {{port: 5501, balancer: lb, pool: scim, tenants: [{{id: t1}}], drain: {{idle: required, timeout: 90s}}}}
  web: {{port: 8080, balancer: lb, pool: jira, drain: {{idle: preferred, timeout: 1m}}}}
"""
ALL, TWO = "{jira1: 10.0.0.11, jira2: 10.0.0.12, jira3: 10.0.0.13}", "{jira1: 10.0.0.11, jira2: 10.0.0.12}"
RUN, OTHER = "night", "second"
WHO = Who("anna", "ops1", 4711, "2026-11-21T02:00:00Z")
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class SimClock(SystemClock):
    """The clock of a simulated operator, as the command line holds one."""

    def __init__(self, operator: Operator) -> None:
        super().__init__()
        self._clock = operator.clock

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


class Machine:
    """A cluster whose run died right after it had jira1 restarted, and the machine that has the run's journal."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder, self._patch = folder, patch
        self.inventory(ALL)
        cluster = load_inventory([folder / "inventory.yml"]).cluster
        self.sim, engine = SimWorld(cluster, traffic=False), Engine(cluster)
        first = self.sim.operator("anna")
        first.hooks.append(lambda call: die(first, call))
        with pytest.raises(Crash):
            engine("run", first, self.sim.world(first), RUN)
        with open_store(cluster.state) as store:
            journal = store.start_run(RUN, cluster.name, engine.plans[RUN], WHO, first.records[0].time)
            for record in first.records:
                journal.append(record)
        self.before = first.records
        self.sim.timeline.pass_time(30.0)

    def inventory(self, nodes: str) -> None:
        (self.folder / "inventory.yml").write_text(INVENTORY.format(state=self.folder, nodes=nodes))

    def rollsafe(self, *words: str) -> int:
        """One command, as it is typed; its exit code."""
        operator = self.sim.operator()
        clock = SimClock(operator)

        def assemble(cluster: Cluster, _: SystemClock) -> Assembled:
            return Assembled(self._world(cluster, operator), clock, Watch([], clock), Budget, lambda: None)

        with self._patch.context() as patch:
            patch.setattr("rollsafe.cli.conduct.assemble", assemble)
            patch.setattr("rollsafe.cli.conduct.SystemClock", lambda: clock)
            return run_command_line([*words, "-o", "json", "-i", str(self.folder / "inventory.yml")])

    def _world(self, cluster: Cluster, operator: Operator) -> World:
        """The nodes that the inventory has."""
        world, live = self.sim.world(operator), {node.name for node in cluster.live_nodes}
        claims = {name: it for name, it in world.claims.items() if name in live}
        return replace(world, claims=claims, restarters={n: it for n, it in world.restarters.items() if n in live})

    def claims(self) -> dict[str, ClaimRecord]:
        return {name: node.claim for name, node in self.sim.nodes.items() if node.claim is not None}

    def records(self) -> list[Record]:
        """All that the run's journal holds."""
        with open_store(f"sqlite:///{self.folder}/rollsafe.db") as store:
            return list(store.records(RUN))


def die(operator: Operator, call: Call) -> None:
    if call.site.startswith("restarter.begin"):
        operator.crash = CrashPoint("effect", operator.effects + 1, after=True)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Signals are heard by each command, and ignored after it: not so in the tests that follow."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    machine = Machine(tmp_path, monkeypatch)
    yield machine
    machine.sim.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    last: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return last


def test_resume_goes_on_with_the_run_and_with_its_journal(machine: Machine) -> None:
    assert machine.rollsafe("resume", "--yes") == 0
    assert [len(node.restarts) for node in machine.sim.nodes.values()] == [1, 1, 1]
    assert machine.sim.as_found()
    assert machine.claims() == {}
    records, died = machine.records(), len(machine.before)
    assert records[:died] == machine.before
    assert [record.seq for record in records] == list(range(1, len(records) + 1))
    assert records[-1].type == "run.finished"
    assert records[died].at_s >= records[died - 1].at_s + BEAT_WATCH_S, "the run's clock goes on from where it stood"


def test_without_a_terminal_and_without_yes_nothing_is_gone_on_with(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    claims = machine.claims()
    assert machine.rollsafe("resume") == 10
    assert "without a terminal nobody can be asked; give --yes" in str(last_line(capsys)["message"])
    assert machine.claims() == claims
    assert machine.records() == machine.before


@pytest.mark.parametrize("command", ["resume", "recover"])
def test_a_run_that_left_no_claim_leaves_nothing_to_do_and_anothers_claim_as_it_is(
    machine: Machine, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    claims, acts = machine.claims(), len(machine.sim.outside.acts)
    assert machine.rollsafe(command, "--yes", "--run-id", "nobody") == 0
    assert str(last_line(capsys)["message"]).startswith("nothing to do: ")
    assert machine.claims() == claims
    assert len(machine.sim.outside.acts) == acts


@pytest.mark.parametrize("command", ["resume", "recover"])
def test_of_two_runs_that_left_claims_only_the_named_one_is_touched(machine: Machine, command: str) -> None:
    """The other one comes first where none is named: it has a node to put back."""
    claims, acts = machine.claims(), len(machine.sim.outside.acts)
    claims["jira3"] = machine.sim.nodes["jira3"].claim = first_record("jira-prod", OTHER, "laptop-1", WHO)
    assert machine.rollsafe(command, "--yes", "--run-id", OTHER) in (10, 40), "the first run's claim is in its way"
    assert {**machine.claims(), "jira3": claims["jira3"]} == claims
    assert len(machine.sim.outside.acts) == acts


def test_a_run_is_not_gone_on_with_on_other_nodes_than_it_was_planned_for(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.inventory(TWO)
    claims = machine.claims()
    assert machine.rollsafe("resume", "--yes") == 30
    last = last_line(capsys)
    assert "the inventory has other nodes (jira1, jira2) than the run's plan" in str(last["message"])
    assert last["left_out"]
    assert machine.claims() == claims
    assert machine.records() == machine.before
