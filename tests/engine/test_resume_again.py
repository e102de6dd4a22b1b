"""A resume that failed at taking the claim over stands in the way of no later one; another machine's recover does."""

import pytest

from rollsafe.engine import takeover
from rollsafe.engine.orders import Orders
from rollsafe.engine.runclock import RunClock
from rollsafe.planner.readings import Order
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.world import SimWorld
from tests.engine.test_old_journal import died


def with_the_journal_of(sim: SimWorld, name: str, before: Operator, *faults: Fault) -> Operator:
    """The next process on the same machine."""
    operator = sim.operator(name, faults=list(faults))
    operator.records = list(before.records)
    return operator


def test_a_node_that_could_not_be_claimed_can_be_later() -> None:
    engine, sim, records = died(8)
    second = sim.operator("second", faults=[Fault(Way.REFUSED, site="claim.swap n2", times=99)])
    second.records = list(records)
    ended = engine("resume", second, sim.world(second), "r")
    assert ended.exit_code == 30, ended
    third = with_the_journal_of(sim, "third", second)
    ended = engine("resume", third, sim.world(third), "r")
    sim.close()
    assert ended.exit_code == 0, ended


def test_a_resume_that_was_stopped_in_the_takeover_can_be_resumed(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, sim, records = died(8)
    second = sim.operator("second")
    second.records = list(records)
    orders, real = engine.orders.setdefault("second", Orders()), takeover._outwait

    def stopped_meanwhile(clock: RunClock, asked: takeover.Asked = takeover.never) -> None:
        orders.give(Order.NOW, "SIGTERM")
        real(clock, asked)

    with monkeypatch.context() as patch:
        patch.setattr(takeover, "_outwait", stopped_meanwhile)
        ended = engine("resume", second, sim.world(second), "r")
    assert ended.exit_code == 30, ended
    third = with_the_journal_of(sim, "third", second)
    ended = engine("resume", third, sim.world(third), "r")
    sim.close()
    assert ended.exit_code == 0, ended


def test_after_another_machines_recover_began_the_journal_is_no_guide_any_more() -> None:
    engine, sim, records = died(8)
    second = sim.operator("second", faults=[Fault(Way.REFUSED, site="claim.swap n2", times=99)])
    second.records = list(records)
    assert engine("resume", second, sim.world(second), "r").exit_code == 30
    elsewhere = sim.operator("elsewhere", crash=CrashPoint("record", 2, after=True))
    with pytest.raises(Crash):
        engine("recover", elsewhere, sim.world(elsewhere), "recovery")
    third = with_the_journal_of(sim, "third", second)
    ended = engine("resume", third, sim.world(third), "r")
    sim.close()
    assert ended.exit_code == 30, ended
    assert "was taken over since" in ended.message
