"""A signal in the waits at a dead run's claim: what that run left out is named, and nothing is written."""

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine.orders import Orders
from rollsafe.planner.readings import Order
from rollsafe.rehearsal.faults import Crash, CrashPoint
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

NOW, FINISH = (Order.NOW, "SIGTERM"), (Order.FINISH, "SIGINT")
MAY_LIVE = "so that it may live"
DIES = "restarter.begin"  # the restart of n1 was sent: every member of it is out


def killed(at: str = DIES) -> tuple[SimWorld, Engine, Operator]:
    """A run that died right after a call, half a minute ago."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps)
    first = sim.operator("runner")

    def die(site: str) -> None:
        if site.startswith(at):
            first.crash = CrashPoint("effect", first.effects + 1, after=True)

    first.hooks.append(lambda call: die(call.site))
    with pytest.raises(Crash):
        engine("run", first, sim.world(first), "r")
    sim.timeline.pass_time(30.0)
    return sim, engine, first


def signalled(sim: SimWorld, engine: Engine, command: str, signal: tuple[Order, str], after_s: float) -> Ended:
    """A command of another operator that gets a signal; `resume` has the dead run's journal."""
    operator = sim.operator("second")
    if command == "resume":
        operator.records.extend(sim.operators[0].records)
    orders = engine.orders["second"] = Orders()
    sim.timeline.after(after_s, lambda: orders.give(*signal))
    run = "r2" if command == "run" else "r"
    return engine(command, operator, sim.world(operator), run)


ROWS = {
    "SIGTERM before recover has read a claim": ("recover", NOW, 0.0, MAY_LIVE),
    "SIGTERM while recover watches the beat": ("recover", NOW, 7.0, MAY_LIVE),
    "SIGTERM while recover waits for the dead run's last writes": ("recover", NOW, 20.0, ""),
    "SIGINT while recover watches the beat": ("recover", FINISH, 7.0, MAY_LIVE),
    "SIGINT while recover waits for the dead run's last writes": ("recover", FINISH, 20.0, ""),
    "SIGTERM to a run that met the dead one": ("run", NOW, 7.0, MAY_LIVE),
    "SIGINT to a run that met the dead one": ("run", FINISH, 7.0, MAY_LIVE),
    "SIGTERM while resume watches the beat": ("resume", NOW, 7.0, MAY_LIVE),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_a_dead_run_left_out_is_named(row: str) -> None:
    command, signal, after_s, words = ROWS[row]
    sim, engine, _ = killed()
    acts = len(sim.outside.acts)
    ended = signalled(sim, engine, command, signal, after_s)
    assert ended.exit_code == 30, ended.message
    assert {(entry["node"], entry["service"]) for entry in ended.left_out} == {("n1", "scim"), ("n1", "web")}
    assert all(entry["mend"] == "rollsafe recover" for entry in ended.left_out)
    assert not ended.others, "what the dead run left out is nobody else's"
    assert words in ended.message
    assert ended.message.startswith("n1 is out of service")
    assert ended.message.endswith("rollsafe recover")
    assert len(sim.outside.acts) == acts, "nothing is written any more"
    engine.orders.clear()
    third = sim.operator("third")
    assert engine("recover", third, sim.world(third), "r3").exit_code == 0
    assert sim.as_found()


def test_where_a_balancer_is_silent_the_member_is_told_to_be_unread() -> None:
    sim, engine, _ = killed(at="claim.swap n3")  # n1 was begun, and nothing of it was written yet
    for endpoint in sim.endpoints.values():
        endpoint.api = "hangs" if endpoint.balancer == "web-lb" else "ok"
    ended = signalled(sim, engine, "recover", NOW, 7.0)
    assert ended.exit_code == 40, ended.message
    assert "web" in ended.message
    assert ended.message.endswith("rollsafe recover")


def test_a_dead_run_that_began_no_node_left_nothing_out() -> None:
    sim, engine, _ = killed(at="claim.create n3")
    ended = signalled(sim, engine, "recover", NOW, 7.0)
    assert (ended.exit_code, ended.left_out) == (20, ())
    assert "Its claim stays. To clear it: rollsafe recover" in ended.message


@pytest.mark.parametrize("signal", [NOW, FINISH])
def test_the_node_of_a_run_that_lives_is_not_called_left_out(signal: tuple[Order, str]) -> None:
    """The second waits for the lock, and sees the beat of the first go on."""
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim = SimWorld(cluster)
    first, second = sim.operator("first"), sim.operator("second")
    engine, patient = Engine(cluster, steps), Engine(cluster, steps, wait_for_lock_s=600.0)
    orders = patient.orders["second"] = Orders()
    told: list[Ended] = []

    def waits() -> None:
        sim.timeline.pass_time(1.0)
        told.append(patient("run", second, sim.world(second), "r2"))

    sim.timeline.at(9.0, lambda: orders.give(*signal))
    sim.timeline.together([lambda: engine("run", first, sim.world(first), "r1") and None, waits])
    sim.close()
    assert (told[0].exit_code, told[0].left_out) == (20, ()), told[0].message
    assert "it lives" in told[0].message
