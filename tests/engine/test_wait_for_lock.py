"""`--wait-for-lock`: the wait is as long as was said and one look more; a signal to it says that nothing was begun."""

from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine.orders import Orders
from rollsafe.model.record import Record
from rollsafe.planner.readings import Order
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_asked_to_stop import killed

ONE_LOOK_S = 3.0


def second(sim: SimWorld, engine: Engine, wait_s: float) -> tuple[Ended, float]:
    """Another operator's run, and how long it took."""
    patient = Engine(engine.cluster, engine.steps, wait_for_lock_s=wait_s)
    operator, began_s = sim.operator("second"), sim.timeline.now
    ended = patient("run", operator, sim.world(operator), "r2")
    return ended, sim.timeline.now - began_s


@pytest.mark.parametrize("wait_s", [5.0, 17.0, 40.0])
def test_a_dead_run_that_was_waited_for_is_not_watched_once_more(wait_s: float) -> None:
    sim, engine, _ = killed()
    ended, took_s = second(sim, engine, wait_s)
    assert (ended.exit_code, {entry["node"] for entry in ended.left_out}) == (30, {"n1"})
    assert "its beat stands still: it is dead" in ended.message
    assert max(wait_s, 15.0) <= took_s <= max(wait_s, 15.0) + ONE_LOOK_S


def beside_a_living_run(wait_s: float, *, stop_after_s: float = 0.0) -> tuple[Ended, float]:
    """The second run begins while the first, which takes long, has just begun; it may get a SIGINT."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    first, engine = sim.operator("first"), Engine(cluster, steps)
    told: list[tuple[Ended, float]] = []
    patient = Engine(cluster, steps, wait_for_lock_s=wait_s)
    orders = patient.orders["second"] = Orders()

    def waits() -> None:
        sim.timeline.pass_time(1.0)
        operator, began_s = sim.operator("second"), sim.timeline.now
        if stop_after_s:
            sim.timeline.after(stop_after_s, lambda: orders.give(Order.FINISH, "SIGINT"))
        told.append((patient("run", operator, sim.world(operator), "r2"), sim.timeline.now - began_s))

    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1") and None, waits])
    sim.close()
    return told[0]


@pytest.mark.parametrize("wait_s", [5.0, 20.0])
def test_a_run_that_lives_is_told_as_soon_as_the_time_is_up(wait_s: float) -> None:
    ended, took_s = beside_a_living_run(wait_s)
    assert (ended.exit_code, "its beat goes on: it lives" in ended.message) == (10, True), ended.message
    assert wait_s <= took_s <= wait_s + ONE_LOOK_S + 3.0, "5 s is a beat: the shorter wait may have just missed one"


def test_a_signal_to_the_wait_says_that_nothing_was_begun() -> None:
    ended, took_s = beside_a_living_run(600.0, stop_after_s=10.0)
    assert ended.exit_code == 20
    assert ended.message.startswith("nothing was touched: asked to stop before anything was begun; the cluster is")
    assert took_s < 10.0 + ONE_LOOK_S


def test_a_signal_to_the_wait_for_a_dead_run_says_so_too() -> None:
    sim, engine, _ = killed(at="claim.create n3")
    patient = Engine(engine.cluster, engine.steps, wait_for_lock_s=600.0)
    orders, operator = patient.orders.setdefault("second", Orders()), sim.operator("second")
    sim.timeline.after(10.0, lambda: orders.give(Order.FINISH, "SIGINT"))
    ended = patient("run", operator, sim.world(operator), "r2")
    assert ended.exit_code == 20
    assert "asked to stop before anything was begun" in ended.message


def test_the_time_is_one_for_all_that_is_waited_for() -> None:
    """A dead run's claim is cleared after 25 s; while the gates are asked another's appears."""
    sim, engine, _ = killed(at="claim.create n3")
    left = sim.nodes["n1"].claim
    patient, operator, began_s = replace(engine, wait_for_lock_s=45.0), sim.operator("second"), sim.timeline.now

    def clear() -> None:
        for node in sim.nodes.values():
            node.claim = None

    def hear(record: Record) -> None:
        if record.type == "gate.checked":
            sim.nodes["n1"].claim = left

    sim.timeline.after(25.0, clear)
    operator.listeners.append(hear)
    ended = patient("run", operator, sim.world(operator), "r2")
    assert (ended.exit_code, "it is dead" in ended.message) == (10, True), ended.message
    assert 45.0 <= sim.timeline.now - began_s <= 45.0 + ONE_LOOK_S
