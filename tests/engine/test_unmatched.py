"""The inventory changed between a crash and the recover: what it has goes back, what it does not have is named."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine import session as sessions
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.cluster import Cluster
from rollsafe.model.reading import AdminState
from rollsafe.model.settings import EndpointSettings
from rollsafe.planner.outcome import Ending
from rollsafe.ports import World
from rollsafe.rehearsal.faults import Crash, CrashPoint, Fault, Way
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.sample import small_cluster
from rollsafe.rehearsal.world import SimWorld

LB1, LB2, NEW = "tcp://scim-lb1:9999", "tcp://scim-lb2:9999", "tcp://scim-lb2:1936"
Change = Callable[[Cluster], Cluster]


def killed_in_the_restart() -> SimWorld:
    """A run that died right after it sent the restart of n1, with n1 out on three endpoints."""
    cluster, steps = shorten(small_cluster(endpoints=2), EACH_NODE)
    sim = SimWorld(cluster)
    first = sim.operator("runner")
    first.hooks.append(lambda call: _die_at_restart(first, call.site))
    with pytest.raises(Crash):
        Engine(cluster, steps)("run", first, sim.world(first), "r")
    sim.timeline.pass_time(30.0)
    return sim


def _die_at_restart(operator: Operator, site: str) -> None:
    if site.startswith("restarter.begin"):
        operator.crash = CrashPoint("effect", operator.effects + 1, after=True)


def command(
    sim: SimWorld,
    change: Change,
    mode: str = "recover",
    forget: str = "",
    wait_s: float = 60.0,
    fault: Fault | None = None,
) -> Ending:
    """A command with an inventory that was changed since."""
    cluster = change(sim.cluster)
    operator = sim.operator(faults=[replace(fault)] if fault is not None else None)
    world = as_written(sim.world(operator), cluster)
    clock = RunClock(world.clock)
    log = RunLog(operator.name, clock, operator, ())
    session = Engine(cluster)._session(operator, world, clock, log)
    session = replace(session, forget=frozenset(filter(None, forget.split(","))))
    if mode == "recover":
        return sessions.recover(session, run_id=None, wait_s=wait_s)
    return sessions.cannot_resume(session, "r", "its journal is elsewhere")


def as_written(world: World, cluster: Cluster) -> World:
    """The world as an inventory tells it. NEW is LB2, spelled in another way."""
    there = {url: balancer for (_, url), balancer in world.balancers.items()}
    there[NEW] = there[LB2]
    nodes = {node.name for node in cluster.live_nodes}
    names = dict(zip(("scim", "web"), (service.name for service in cluster.services), strict=True))
    return replace(
        world,
        balancers={(b.name, e.url): there[e.url] for b in cluster.balancers for e in b.endpoints},
        claims={name: claim for name, claim in world.claims.items() if name in nodes},
        elsewhere={node.name: world.claims[node.name] for node in cluster.nodes if node.excluded is not None},
        restarters={name: it for name, it in world.restarters.items() if name in nodes},
        checks={(node, names[service]): it for (node, service), it in world.checks.items() if node in nodes},
    )


def unchanged(cluster: Cluster) -> Cluster:
    return cluster


def with_endpoints(*urls: str) -> Change:
    """SCIM's balancer has these endpoints now."""

    def changed(cluster: Cluster) -> Cluster:
        scim, web = cluster.balancers
        return replace(cluster, balancers=(replace(scim, endpoints=tuple(map(EndpointSettings, urls))), web))

    return changed


def renamed(cluster: Cluster) -> Cluster:
    """SCIM's balancer has another name now."""
    (scim, web), (first, second) = cluster.balancers, cluster.services
    services = (replace(first, balancer="scim-external"), second)
    return replace(cluster, balancers=(replace(scim, name="scim-external"), web), services=services)


def service_renamed(cluster: Cluster) -> Cluster:
    """SCIM is called `idp` now."""
    first, second = cluster.services
    checks = tuple(replace(c, service="idp") if c.service == "scim" else c for c in cluster.checks)
    nodes = tuple(replace(node, ports={"idp": 5501, "web": 8080}) for node in cluster.nodes)
    return replace(cluster, nodes=nodes, services=(replace(first, name="idp"), second), checks=checks)


def without_n1(cluster: Cluster) -> Cluster:
    return replace(cluster, nodes=tuple(node for node in cluster.nodes if node.name != "n1"))


def n1_excluded(cluster: Cluster) -> Cluster:
    return replace(cluster, nodes=tuple(replace(n, excluded="disk" if n.name == "n1" else None) for n in cluster.nodes))


def out(sim: SimWorld) -> set[str]:
    """The endpoints where n1 is out."""
    return {endpoint.url for endpoint, seat in sim.seats("n1") if seat.admin.out}


def claimed(sim: SimWorld) -> list[str]:
    """The nodes that carry a claim."""
    return [name for name, node in sim.nodes.items() if node.claim is not None]


WEB, NO_LB2 = "tcp://web-lb1:9999", f"the claim names endpoint {LB2} of balancer scim-lb; this inventory does not"
FORGET_IT = f"add --forget {LB2}"
CHANGES = {
    "an endpoint was taken out": (with_endpoints(LB1), {LB2}, [NO_LB2, FORGET_IT]),
    "an endpoint is spelled in another way": (
        with_endpoints(LB1, NEW),
        {LB2},
        [NO_LB2, FORGET_IT, f"On endpoints that the claim does not name is out: scim of n1 on {NEW}: drain"],
    ),
    "the balancer has another name": (renamed, {LB1, LB2}, ["it is scim-external's here. Name that balancer scim-lb"]),
}


@pytest.mark.parametrize(("change", "still_out", "told"), CHANGES.values(), ids=list(CHANGES))
def test_what_the_inventory_has_goes_back_and_the_rest_is_named_with_what_to_type(
    change: Change, still_out: set[str], told: list[str]
) -> None:
    sim = killed_in_the_restart()
    began_s = sim.timeline.now
    ended = command(sim, change)
    assert ended.exit_code == 40, ended.message
    assert [words for words in told if words not in ended.message] == []
    assert out(sim) == still_out
    assert sim.timeline.now - began_s < 100, "nobody waits for an endpoint that nobody can ask"
    assert command(sim, unchanged).exit_code == 0
    assert sim.as_found()


def test_a_service_that_is_called_otherwise_by_now_goes_back_and_is_named() -> None:
    sim = killed_in_the_restart()
    ended = command(sim, service_renamed)
    assert "This inventory has no service scim, which the claim names: name it so again" in ended.message
    assert sim.as_found()
    assert command(sim, unchanged).exit_code == 0


@pytest.mark.parametrize("change", [without_n1, n1_excluded], ids=["taken out", "excluded"])
def test_a_node_in_hand_that_the_inventory_does_not_have_is_named_at_once(change: Change) -> None:
    sim = killed_in_the_restart()
    began_s = sim.timeline.now
    ended = command(sim, change, wait_s=1800.0)
    assert ended.exit_code == 30
    assert {(entry["node"], entry["endpoint"]) for entry in ended.left_out} == {("n1", url) for url in (LB1, LB2, WEB)}
    assert "This inventory does not have n1, or has it excluded, but the claim names it" in ended.message
    assert "healthy" not in ended.message
    assert "add --forget n1" in ended.message
    assert sim.timeline.now - began_s < 60
    assert command(sim, unchanged).exit_code == 0
    assert sim.as_found()


def n3_excluded(cluster: Cluster) -> Cluster:
    return replace(cluster, nodes=tuple(replace(n, excluded="disk" if n.name == "n3" else None) for n in cluster.nodes))


def test_a_copy_of_the_claim_on_an_excluded_node_is_ended_with_the_others() -> None:
    sim = killed_in_the_restart()
    assert claimed(sim) == ["n1", "n2", "n3"]
    ended = command(sim, n3_excluded)
    assert (ended.exit_code, claimed(sim), sim.as_found()) == (0, [], True)
    assert "n3" not in ended.message


def test_a_copy_that_another_took_over_since_is_let_alone() -> None:
    sim = killed_in_the_restart()
    copy = sim.nodes["n3"].claim
    assert copy is not None
    sim.nodes["n3"].claim = replace(copy, token=replace(copy.token, run="another"))
    assert command(sim, n3_excluded).exit_code == 0
    assert claimed(sim) == ["n3"]


def n3_taken_out(cluster: Cluster) -> Cluster:
    return replace(cluster, nodes=tuple(n for n in cluster.nodes if n.name != "n3"))


N3_OFF = Fault(Way.TIMEOUT_BEFORE, site="claim.read n3", times=1000)


@pytest.mark.parametrize(("change", "fault"), [(n3_excluded, N3_OFF), (n3_taken_out, None)], ids=["off", "taken out"])
def test_a_copy_of_the_claim_that_can_not_be_asked_for_is_named(change: Change, fault: Fault | None) -> None:
    sim = killed_in_the_restart()
    ended = command(sim, change, fault=fault)
    assert (ended.exit_code, claimed(sim), sim.as_found()) == (0, ["n3"], True)
    assert "n3: not in this inventory, or excluded and silent, and may carry a copy of that claim" in ended.message


def test_a_node_that_is_gone_for_ever_is_not_named_again() -> None:
    assert "n3" not in command(killed_in_the_restart(), n3_taken_out, forget="n3").message


def test_the_other_nodes_go_back_although_one_is_not_in_the_inventory() -> None:
    sim = killed_in_the_restart()
    claim = sim.nodes["n2"].claim
    assert claim is not None
    n2 = tuple(replace(it, member=replace(it.member, node="n2", seat="n2")) for it in claim.entries["n1"])
    told = replace(claim, entries={**claim.entries, "n2": n2}, token=replace(claim.token, revision=9))
    sim.nodes["n2"].claim = told  # n2 was taken out by the same run: an older rollsafe, or a hand on the file
    for endpoint, seat in sim.seats("n2"):
        endpoint.set(seat.pool, seat.seat, AdminState.DRAIN, "runner")
    assert {entry["node"] for entry in command(sim, without_n1).left_out} == {"n1"}
    assert not any(seat.admin.out for _, seat in sim.seats("n2"))


def test_a_node_that_left_the_inventory_for_ever_is_let_go_of() -> None:
    sim = killed_in_the_restart()
    ended = command(sim, without_n1, forget="n1")
    assert (ended.exit_code, ended.left_out) == (0, ())
    assert ended.nodes["n1"]["outcome"] == "forgotten"
    assert claimed(sim) == ["n1"], "where it is, nobody could ask"


def test_an_endpoint_that_is_gone_for_ever_is_let_go_of_and_named() -> None:
    sim = killed_in_the_restart()
    ended = command(sim, with_endpoints(LB1), forget=LB2)
    assert (ended.exit_code, ended.left_out, ended.unread) == (0, (), ())
    assert f"Let go of, as you said, and left as they are: scim of n1 (scim/n1 on {LB2})" in ended.message
    assert out(sim) == {LB2}
    assert claimed(sim) == []


NOT_GONE = {
    "the inventory has it": (unchanged, LB2, "this inventory has that endpoint"),
    "it is another balancer's here": (renamed, LB2, "this inventory has that endpoint"),
    "it is spelled in another way here": (with_endpoints(LB1, NEW), LB2, f"may be what this inventory calls {NEW}"),
    "nobody knows it": (with_endpoints(LB1), "tcp://scim-lb9:1", "the claim names no such node or endpoint, but n1"),
    "no such node": (unchanged, "n7", "the claim names no such node or endpoint, but n1, n2, n3"),
}


@pytest.mark.parametrize(("change", "forget", "told"), NOT_GONE.values(), ids=list(NOT_GONE))
def test_what_is_not_gone_is_not_let_go_of(change: Change, forget: str, told: str) -> None:
    sim = killed_in_the_restart()
    ended = command(sim, change, forget=forget)
    assert (ended.exit_code, ended.outcome) == (30, "node-out"), "nothing was touched, and n1 is still out"
    assert {entry["node"] for entry in ended.left_out} == {"n1"}
    assert told in ended.message
    assert out(sim) == {LB1, LB2, WEB}
    assert claimed(sim) == ["n1", "n2", "n3"]


def test_whoever_meets_the_claim_says_that_an_unknown_endpoint_may_be_out() -> None:
    sim = killed_in_the_restart()
    for url in (LB1, WEB):  # a person has put the node back where the inventory reaches
        next(e for e, _ in sim.seats("n1") if e.url == url).set(*pool_of(sim, url), AdminState.READY, "person")
    ended = command(sim, with_endpoints(LB1), mode="resume")
    assert ended.exit_code == 40
    assert f"it may have left out what can't be read: scim of n1 (scim/n1 on {LB2})" in ended.message


def pool_of(sim: SimWorld, url: str) -> tuple[str, str]:
    return next((seat.pool, seat.seat) for endpoint, seat in sim.seats("n1") if endpoint.url == url)
