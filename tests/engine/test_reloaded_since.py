"""A person had drained a node before the run; a reload of its balancer forgot that. Nobody takes it out again unasked,
and nobody may say that it is as it was found."""

from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.model.cluster import MinReady
from rollsafe.model.reading import AdminState
from rollsafe.model.record import Record
from rollsafe.rehearsal.faults import Crash, CrashPoint
from rollsafe.rehearsal.judgement import Ended
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Call, Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

SCIM, WEB = "tcp://scim-lb1:9999", "tcp://web-lb1:9999"


class Night:
    """A run of n1, which a person had taken out (some services of it), that dies while it restarts a node."""

    def __init__(self, found: AdminState, services: tuple[str, ...], *, dies_at: str) -> None:
        self.cluster, steps = shorten(small_cluster(), EACH_NODE)
        enough = tuple(replace(service, min_ready=MinReady(count=1)) for service in self.cluster.services)
        self.cluster = replace(self.cluster, services=enough)
        self.sim, self.engine = SimWorld(self.cluster), Engine(self.cluster, steps, ("n1", "n2")[: int(dies_at[1])])
        for service in services:
            self.sim.person_sets("n1", found, service)
        first = self.sim.operator("first")
        first.hooks.append(lambda call: die(first, call, f"restarter.begin {dies_at}"))
        with pytest.raises(Crash):
            self.engine("run", first, self.sim.world(first), "r")

    def recover(self) -> tuple[Ended, Operator]:
        operator = self.sim.operator("second")
        return self.engine("recover", operator, self.sim.world(operator), "r2"), operator


def reload(sim: SimWorld) -> None:
    for endpoint in sim.endpoints.values():
        endpoint.reload()
    sim.timeline.pass_time(20.0)


def die(operator: Operator, call: Call, site: str) -> None:
    if call.site.startswith(site):
        operator.crash = CrashPoint("effect", operator.effects + 1, after=True)


@pytest.mark.parametrize("dies_at", ["n1", "n2"])
@pytest.mark.parametrize("found", [AdminState.DRAIN, AdminState.MAINT])
def test_a_node_that_a_reload_gave_back_is_named_with_the_command_that_takes_it_out(
    found: AdminState, dies_at: str
) -> None:
    night = Night(found, ("scim", "web"), dies_at=dies_at)
    night.sim.timeline.pass_time(30.0)
    reload(night.sim)
    ended, second = night.recover()
    assert (ended.exit_code, ended.left_out, ended.others) == (0, (), ()), ended.message
    assert ended.message.startswith("all that the run took out is as it was found. But a reload of its balancer")
    assert f"scim of n1 on {SCIM} is in service, and was found in {found.value}" in ended.message
    assert ended.message.endswith("To take n1 out again: rollsafe drain n1")
    changed = second.records[-1].data["changed"]
    assert {(it["node"], it["service"], it["endpoint"]) for it in changed} == {("n1", "scim", SCIM), ("n1", "web", WEB)}
    told = {(it["state"], it["found"], it["mend"]) for it in changed}
    assert told == {("ready", found.value, "rollsafe drain n1")}
    assert {seat.admin for _, seat in night.sim.seats("n1")} == {AdminState.READY}, "recover takes nothing out"


def test_one_member_of_a_node_has_no_command_and_is_named_with_what_it_was() -> None:
    night = Night(AdminState.MAINT, ("web",), dies_at="n1")
    night.sim.timeline.pass_time(30.0)
    reload(night.sim)
    ended, second = night.recover()
    assert ended.exit_code == 0
    assert ended.message.endswith(f"web of n1 on {WEB} is in service, and was found in maint. Set it so by hand there.")
    assert [it.get("mend") for it in second.records[-1].data["changed"]] == [None]


def test_a_node_that_is_as_a_person_left_it_is_not_named() -> None:
    night = Night(AdminState.MAINT, ("scim", "web"), dies_at="n1")
    night.sim.timeline.pass_time(30.0)
    ended, second = night.recover()
    assert (ended.exit_code, ended.message) == (0, "everything is as it was found.")
    assert "changed" not in second.records[-1].data


def test_a_run_whose_node_was_given_back_while_it_was_watched_says_so_too() -> None:
    cluster, steps = shorten(small_cluster(), EACH_NODE)
    sim, engine = SimWorld(cluster), Engine(cluster, steps, ("n1",))
    sim.person_sets("n1", AdminState.MAINT)
    operator = sim.operator("first")

    def hear(record: Record) -> None:
        if record.type == "step.started" and record.data["step"] == "soak":
            reload(sim)

    operator.listeners.append(hear)
    ended = engine("run", operator, sim.world(operator), "r")
    assert ended.exit_code == 0
    assert "n1 was restarted, is healthy, and is as it was found. But a reload" in ended.message
    assert ended.message.endswith("To take n1 out again: rollsafe drain n1")
