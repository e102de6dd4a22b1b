"""`ready` by hand that does not get to its end: what it names mends it, for the claim tells where it was going."""

import math

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import by_hand
from rollsafe.engine.log import RunLog
from rollsafe.engine.preflight import Selection, survey
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import AdminState
from rollsafe.model.record import Record
from rollsafe.planner.outcome import Ending
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld


class Drained:
    """A cluster whose n1 a person has drained: web in maint, as `drain` leaves it."""

    def __init__(self, endpoints: int = 1) -> None:
        self.cluster, steps = shorten(small_cluster(endpoints=endpoints), EACH_NODE)
        self.sim, self.engine = SimWorld(self.cluster), Engine(self.cluster, steps)
        self.sim.person_sets("n1", AdminState.DRAIN, "scim")
        self.sim.person_sets("n1", AdminState.MAINT, "web")

    def ready(self, operator: Operator) -> Ending:
        world = self.sim.world(operator)
        clock = RunClock(world.clock)
        session = self.engine._session(operator, world, clock, RunLog("r", clock, operator, ()))
        plan, now = survey(world, self.cluster, Selection(("n1",), self.engine.steps), clock)
        return by_hand.ready(session, plan, now)

    def in_service(self) -> bool:
        seats = [seat for endpoint in self.sim.endpoints.values() for seat in endpoint.seats()]
        return {seat.admin for seat in seats} == {AdminState.READY}

    def claims(self) -> list[str]:
        return [name for name, node in self.sim.nodes.items() if node.claim is not None]


def test_a_node_that_is_not_healthy_stays_as_a_person_left_it_and_nothing_is_in_the_way() -> None:
    it = Drained()
    it.sim.nodes["n1"].sick.append((0.0, math.inf, "scim"))
    ended = it.ready(it.sim.operator("first"))
    assert (ended.exit_code, ended.left_out, it.claims()) == (20, (), [])
    assert ended.message.startswith("nothing was written, all as they were found: n1 did not become healthy")
    assert "`rollsafe ready n1`" in ended.message
    it.sim.nodes["n1"].sick.clear()
    assert it.ready(it.sim.operator("second")).exit_code == 0
    assert it.in_service()


def test_a_node_in_service_that_our_own_check_refuses_is_left_to_its_balancer_and_blocks_nobody() -> None:
    it = Drained()
    it.sim.person_sets("n1", AdminState.READY)
    it.sim.timeline.pass_time(5.0)
    seat = next(seat for _, seat in it.sim.seats("n1", "scim"))
    seat.checked = False  # the balancer sees nothing of it
    it.sim.nodes["n1"].sick.append((0.0, math.inf, "scim"))
    operator = it.sim.operator("first")
    ended = it.ready(operator)
    assert (ended.outcome, ended.exit_code, ended.left_out) == ("stopped", 20, ()), ended.message
    assert ended.message.startswith("nothing was written, all as they were found: every member of n1 is in service")
    assert "not healthy: scim refused." in ended.message
    assert ended.nodes["n1"]["outcome"] == "not begun"
    assert (it.claims(), it.sim.outside.acts) == ([], [])
    assert [entry["state"].partition(", ")[2] for entry in ended.others] == ["refused by our own check"]


def down_on_one_endpoint(it: Drained) -> None:
    """The first of SCIM's two balancers has lost its way to the node; the node itself is well."""

    def lose() -> None:
        _, seat = it.sim.seats("n1", "scim")[0]
        seat.up, seat.health = False, 0

    it.sim.timeline.every(0.1, lose)
    it.sim.timeline.pass_time(5.0)


def test_a_node_that_one_endpoint_alone_sees_down_is_named_and_blocks_nobody() -> None:
    it = Drained(endpoints=2)
    it.sim.person_sets("n1", AdminState.READY)
    down_on_one_endpoint(it)
    ended = it.ready(it.sim.operator("first"))
    assert (ended.exit_code, ended.left_out) == (20, ()), ended.message
    assert ended.message.startswith(
        "nothing was written, all as they were found: scim of n1 (scim/n1 on tcp://scim-lb1"
    )
    assert "the balancer's own check says down" in ended.message
    assert (it.claims(), it.sim.outside.acts) == ([], [])
    assert [entry["endpoint"] for entry in ended.others] == ["tcp://scim-lb1:9999"]


def test_what_was_put_back_before_one_endpoint_stopped_it_is_told() -> None:
    it = Drained(endpoints=2)
    it.sim.person_sets("n1", AdminState.READY, "scim")
    down_on_one_endpoint(it)
    ended = it.ready(it.sim.operator("first"))
    assert (ended.exit_code, ended.left_out, it.claims()) == (20, (), [])
    assert ended.message.startswith("put back: web of n1 on tcp://web-lb1:9999; nothing else was written: scim of n1")
    assert it.in_service()


def test_a_node_that_is_ill_in_service_is_not_taken_out_by_the_command_that_puts_back() -> None:
    it = Drained()
    it.sim.person_sets("n1", AdminState.READY)
    it.sim.nodes["n1"].sick.append((0.0, math.inf, "scim"))
    it.sim.timeline.pass_time(30.0)  # its balancer sees it, too
    it.ready(it.sim.operator("first"))
    assert it.sim.outside.acts == []
    assert it.in_service(), "as soon as it is well its balancer sends clients there, and nobody has to put it back"


def test_one_that_dies_on_its_way_back_is_put_into_service_by_the_recover_that_is_named() -> None:
    it = Drained()
    first = it.sim.operator("first")
    ill: list[float] = []

    def hear(record: Record) -> None:
        if record.type == "write.done" and not ill:
            ill.append(it.sim.timeline.now)
            it.sim.nodes["n1"].sick.append((it.sim.timeline.now, math.inf, None))

    first.listeners.append(hear)
    ended = it.ready(first)
    assert ended.exit_code == 30
    assert "To put it back: rollsafe recover" in ended.message
    met = it.sim.operator("second")
    assert it.engine("run", met, it.sim.world(met), "r2").exit_code == 30, "another's run names what is out"
    it.sim.nodes["n1"].sick.clear()
    third = it.sim.operator("third")
    recovered = it.engine("recover", third, it.sim.world(third), "r3")
    assert (recovered.exit_code, it.in_service(), it.claims()) == (0, True, [])


def test_what_was_found_is_told_as_it_was() -> None:
    it = Drained()
    operator = it.sim.operator("first")
    assert it.ready(operator).exit_code == 0
    started = next(record for record in operator.records if record.type == "node.started")
    assert {entry["admin"] for entry in started.data["found"]} == {"drain", "maint"}
    written = {record.data["found"] for record in operator.records if record.type == "write.done"}
    assert written == {"drain", "maint"}


@pytest.mark.parametrize("effect", range(4, 14))
def test_wherever_it_dies_recover_puts_the_node_into_service_or_nothing_was_begun(effect: int) -> None:
    it = Drained()
    try:
        ended = it.ready(it.sim.operator("first", crash=CrashPoint("effect", effect, after=True)))
        assert ended.exit_code == 0
    except Crash:
        begun = any(node.claim is not None and node.claim.entries for node in it.sim.nodes.values())
        second = it.sim.operator("second")
        recovered = it.engine("recover", second, it.sim.world(second), "r2")
        assert recovered.exit_code == 0
        assert it.in_service() or not begun
    assert it.claims() == []


def test_where_the_claim_can_not_tell_of_it_nothing_is_begun() -> None:
    it = Drained()
    ended = it.ready(it.sim.operator("first", faults=[Fault(Way.REFUSED, site="claim.swap n2", times=1)]))
    assert ended.exit_code == 10
    assert ended.message.startswith("nothing was touched")
    assert it.claims() == []
