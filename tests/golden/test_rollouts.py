"""Whole rollouts of the real engine in a simulated cluster, held against text files: what happens, in what order, when.

`RENEW_GOLDEN=write pytest tests/golden` writes them anew; read the difference before you commit it.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rollsafe.cli.in_rehearsal import Engine
from rollsafe.engine.orders import Orders
from rollsafe.model.reading import AdminState
from rollsafe.model.record import Record
from rollsafe.planner.readings import Order
from rollsafe.rehearsal.balancers import Request
from rollsafe.rehearsal.faults import Crash
from rollsafe.rehearsal.happen import Event, happen
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from rollsafe.reporting.lines import PlainLines

HERE = Path(__file__).parent


class Stage:
    """A cluster, one operator on it, and what the scene asks for."""

    def __init__(self, endpoints: int = 1) -> None:
        self.cluster = small_cluster(nodes=3, endpoints=endpoints)
        self.sim = SimWorld(self.cluster, traffic=False)
        self.engine = Engine(self.cluster)
        self.told: list[str] = []

    def when(self, operator: Operator, type_: str, node: str | None, do: Callable[[], None], nth: int = 1) -> None:
        """Let something happen right after the nth such record."""
        seen = [0]

        def hear(record: Record) -> None:
            if record.type == type_ and node in (None, record.node):
                seen[0] += 1
                if seen[0] == nth:
                    do()

        operator.listeners.append(hear)

    def order(self, operator: Operator, order: Order, name: str) -> None:
        self.engine.orders.setdefault(operator.name, Orders()).give(order, name)

    def play(self, mode: str, operator: Operator) -> None:
        """One command, told as in a log."""
        before = len(operator.records)
        try:
            ended = self.engine(mode, operator, self.sim.world(operator), "window")
            last = f"{operator.name} ends with {ended.exit_code}: {ended.message}"
        except Crash:
            last = f"{operator.name} dies"
        stream = io.StringIO()
        lines = PlainLines(stream, verbose=True)
        for record in operator.records[before:]:
            lines.hear(record)
        lines.close()
        state = ", ".join(
            f"{k[1].partition('//')[2].partition(':')[0]} {k[3]} {v}" for k, v in self.sim.state().items()
        )
        self.told += [f"$ rollsafe {mode}", stream.getvalue().rstrip(), "", last, state, ""]


def good(stage: Stage) -> None:
    stage.play("run", stage.sim.operator("runner"))


def broken(event: str, target: str, type_: str = "write.done", nth: int = 1) -> Callable[[Stage], None]:
    def scene(stage: Stage) -> None:
        runner = stage.sim.operator("runner")
        stage.when(runner, type_, "n1", lambda: happen(stage.sim, Event(event, target)), nth)
        stage.play("run", runner)

    return scene


def request_that_never_ends(stage: Stage) -> None:
    for endpoint, seat in stage.sim.seats("n1", "scim"):
        seat.flying.append(Request("scim", "n1", stage.sim.timeline.now + 3600.0, endpoint.process))
    stage.play("run", stage.sim.operator("runner"))


def signalled(order: Order, name: str, type_: str) -> Callable[[Stage], None]:
    def scene(stage: Stage) -> None:
        runner = stage.sim.operator("runner")
        stage.when(runner, type_, "n1", lambda: stage.order(runner, order, name))
        stage.play("run", runner)

    return scene


def killed_and_recovered(stage: Stage) -> None:
    runner = stage.sim.operator("runner")

    def die() -> None:
        runner.dead = True
        raise Crash(runner.name)

    stage.when(runner, "restart.begun", "n1", die)
    stage.play("run", runner)
    stage.play("run", stage.sim.operator("colleague"))
    stage.play("recover", stage.sim.operator("rescuer"))
    stage.play("recover", stage.sim.operator("again"))


def drained_by_a_person(stage: Stage) -> None:
    stage.sim.found_as("n3", AdminState.DRAIN)
    stage.play("run", stage.sim.operator("runner"))


SCENES: dict[str, Callable[[Stage], None]] = {
    "nothing goes wrong": good,
    "a node never comes up": broken("the node never comes up", "n1"),
    "SCIM stays dead while web runs": broken("SCIM stays dead while web runs", "n1"),
    "the restart command fails": broken("the restart command fails", "n1"),
    "a SCIM request never ends": request_that_never_ends,
    "the balancer reloads in the drain": broken("the balancer reloads", "scim-lb tcp://scim-lb1:9999", nth=3),
    "the balancer reloads while the node is down": broken(
        "the balancer reloads", "scim-lb tcp://scim-lb1:9999", "restart.begun"
    ),
    "an admin API falls silent before the stop": broken("the admin API refuses", "scim-lb tcp://scim-lb1:9999"),
    "an admin API is silent at the put-back": broken(
        "the admin API hangs", "web-lb tcp://web-lb1:9999", "restart.begun"
    ),
    "another node dies while one is out": broken("another node dies", "n3", "restart.begun"),
    "SSH is gone after the restart": broken("SSH refuses", "n1", "restart.begun"),
    "SIGINT before the stop": signalled(Order.FINISH, "SIGINT", "write.done"),
    "SIGINT after the stop": signalled(Order.FINISH, "SIGINT", "restart.begun"),
    "SIGTERM after the stop": signalled(Order.NOW, "SIGTERM", "restart.begun"),
    "killed after the restart and recovered from elsewhere": killed_and_recovered,
    "a member was drained by a person": drained_by_a_person,
}


@pytest.mark.parametrize("scene", SCENES)
def test_a_rollout_is_as_it_was_written_down(scene: str) -> None:
    stage = Stage()
    SCENES[scene](stage)
    text = "\n".join(stage.told)
    path = HERE / f"{scene.replace(' ', '-')}.txt"
    if os.environ.get("RENEW_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
