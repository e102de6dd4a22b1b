"""Inventory + what the balancers show → the plan, its exact writes, and how long it takes."""

from dataclasses import replace
from typing import Any

import pytest

from rollsafe.model.cluster import Cluster, DrainRule, Idle, MinReady, Node, Policy, Service
from rollsafe.model.plan import PlannedStep
from rollsafe.model.reading import AdminState, Check, PoolReading, SeatReading, Unread
from rollsafe.model.settings import BalancerSettings, EndpointSettings, RestartSettings, SshSettings
from rollsafe.planner.expand import (
    estimate_s,
    find_members,
    fine_nodes,
    forecast,
    longest_s,
    make_plan,
    pools_of,
    writes_of,
)
from tests.planner import scene
from tests.planner.scene import DRAIN, MAINT, READY, STEPS, Look


def cluster(**more: Any) -> Cluster:
    """Three nodes, the third excluded; SCIM behind a pair, web in two pools behind one endpoint."""
    nodes = tuple(
        Node(n, f"10.0.0.{i}", {"scim": 5501, "web": 8080}, SshSettings(n), RestartSettings("x"), 200 + i)
        for i, n in enumerate(("n1", "n2", "n3"), 1)
    )
    nodes = (*nodes[:2], replace(nodes[2], excluded="disk swap"))
    services = (
        Service("scim", "slb", ("scim",), MinReady(), DrainRule(Idle.REQUIRED, 90)),
        Service("web", "wlb", ("http", "ssh"), MinReady(), DrainRule(Idle.PREFERRED, 300, 30)),
    )
    balancers = (
        BalancerSettings("slb", "haproxy", (EndpointSettings("tcp://a:1"), EndpointSettings("tcp://b:1"))),
        BalancerSettings("wlb", "apache", (EndpointSettings("https://w"),)),
    )
    return Cluster("c", "jira", nodes, services, balancers, (), (), Policy(), **more)


def pools(**changes: PoolReading | Unread) -> dict[tuple[str, str, str], PoolReading | Unread]:
    """Every pool shows every node by its name."""
    seats = tuple(SeatReading(n, AdminState.READY, Check.UP, 0) for n in ("n1", "n2", "n3"))
    return {key: changes.get(key[1][-3:].strip(":/"), PoolReading(key[2], seats)) for key in pools_of(cluster())}


def test_every_pool_on_every_endpoint_is_read():
    assert list(pools_of(cluster())) == [
        ("slb", "tcp://a:1", "scim"),
        ("slb", "tcp://b:1", "scim"),
        ("wlb", "https://w", "http"),
        ("wlb", "https://w", "ssh"),
    ]


def test_every_live_node_has_a_member_in_each_and_an_excluded_one_has_none():
    members, problems = find_members(cluster(), pools())
    assert problems == ()
    assert len(members) == 2 * 4
    assert {m.node for m in members} == {"n1", "n2"}


def test_what_can_not_be_read_or_found_is_told_once_each():
    seats = (SeatReading("n2", AdminState.READY, Check.UP, 0),)
    seen: dict[tuple[str, str, str], PoolReading | Unread] = {
        **pools(),
        ("slb", "tcp://b:1", "scim"): Unread("refused"),
        ("wlb", "https://w", "ssh"): PoolReading("ssh", seats),
    }
    members, problems = find_members(cluster(), seen)
    assert len(members) == 5
    assert problems[0] == "pool scim on tcp://b:1 can't be read: refused"
    assert problems[1].startswith("no member fits web of n1 ")
    assert len(problems) == 2


PLAYBOOKS = {
    "nothing said": ({}, {"healthy_for_s": 15.0, "soak_s": 30.0}, (90, 300, 30), 600),
    "healthy for": ({"healthy": {"for": 60.0}}, {"healthy_for_s": 60.0}, (90, 300, 30), 600),
    "soak for": ({"soak": {"for": 5.0}}, {"soak_s": 5.0}, (90, 300, 30), 600),
    "no soak at all": ({"soak": None}, {"soak_s": 0.0}, (90, 300, 30), 600),
    "drain timeout and linger": ({"drain": {"timeout": 7.0, "linger": 8.0}}, {}, (7, 7, 8), 600),
    "restart timeout": ({"restart": {"timeout": 9.0}}, {}, (90, 300, 30), 9),
}


@pytest.mark.parametrize("row", PLAYBOOKS)
def test_the_playbooks_arguments_outrank_the_inventorys(row):
    said, policy, (scim_s, web_s, linger_s), restart_s = PLAYBOOKS[row]
    steps = tuple(
        PlannedStep(s.name, tuple((said.get(s.name) or {}).items())) for s in STEPS if said.get(s.name, {}) is not None
    )
    plan = make_plan(cluster(), find_members(cluster(), pools())[0], ["n2"], steps)
    assert {name: getattr(plan.policy, name) for name in policy} == policy
    assert [s.timeout_s for s in plan.services] == [scim_s, web_s]
    assert plan.services[1].linger_s == linger_s
    assert [(n.name, n.start_timeout_s, n.restart_timeout_s) for n in plan.nodes] == [("n2", 202, restart_s)]
    assert plan.all_nodes == ("n1", "n2")


def test_the_estimate_is_what_is_unavoidable_and_the_limit_what_every_wait_may_take():
    plan = make_plan(cluster(typical_start_s=100.0), find_members(cluster(), pools())[0], ["n1"], STEPS)
    assert plan.node_estimate_s == 5 + 5 + 15 + 100 + 15 + 10 + 30
    assert longest_s(plan) == 90 + (300 + 30) + (600 + 201) + 15 + 300 + 30
    quick = replace(plan, nodes=(replace(plan.nodes[0], start_timeout_s=3.0),))
    assert estimate_s(quick, 100.0) == 5 + 5 + 3 + 3 + 15 + 10 + 30
    both = replace(quick, nodes=(*quick.nodes, replace(plan.nodes[0], name="n2", start_timeout_s=3600.0)))
    assert estimate_s(both, 100.0) == plan.node_estimate_s, "one quick node makes no other quick"
    assert longest_s(both) == 2 * (90 + (300 + 30) + 600 + 15 + 300 + 30) + 3 + 3600, "nor a slow one slow"


# --- the exact writes -------------------------------------------------------------------------------------------


def written(look: Look, node: str = "a") -> list[str]:
    return [
        f"{w.member.service}@{w.member.endpoint[6:9]} {w.to.admin.value}{' if' if w.condition else ''}"
        for w in writes_of(look.plan, node, look.now())
    ]


ALL = [
    "web@lb3 drain",
    "web@lb3 maint if",
    "scim@lb1 drain",
    "scim@lb2 drain",
    "web@lb3 drain if",
    "scim@lb1 ready if",
    "scim@lb2 ready if",
    "web@lb3 ready if",
]
WRITES = {
    "in service": (lambda look: None, ALL),
    "drained by a person: web goes into maint and back into drain": (
        lambda look: look.set("a", admin=DRAIN),
        ["web@lb3 maint if", "web@lb3 drain if"],
    ),
    "in maint by a person: nothing is written": (lambda look: look.set("a", admin=MAINT), []),
    "SCIM in maint on one endpoint": (
        lambda look: look.set("a", "scim", 1, admin=MAINT),
        [w for w in ALL if "lb2" not in w],
    ),
    "clients of SCIM are pinned to their member: it goes into maint, too": (
        lambda look: look.pinned.add("scim"),
        [
            *ALL[:4],
            "scim@lb1 maint",
            "scim@lb2 maint",
            "scim@lb1 drain if",
            "scim@lb2 drain if",
            *ALL[4:],
        ],
    ),
    "an endpoint that can't be read has no writes": (
        lambda look: look.mute("web"),
        [w for w in ALL if "web" not in w],
    ),
}


@pytest.mark.parametrize("row", WRITES)
def test_the_writes_of_a_nodes_turn(row):
    change, expected = WRITES[row]
    look = Look(scene.make_plan())
    change(look)
    assert written(look) == expected


# --- the forecast -----------------------------------------------------------------------------------------------


def test_a_forecast_holds_every_nodes_writes_verdicts_and_times():
    look = Look(scene.make_plan(selected="ca", node_estimate_s=100.0))
    told = forecast(look.plan, look.now(), ["one warning", "one warning"])
    assert [w.member.node for w in told.writes] == ["c"] * 8 + ["a"] * 8
    assert {node for node, _ in told.verdicts} == {"a", "c"}
    assert all(v.allowed for _, v in told.verdicts)
    assert told.warnings == ("one warning",)
    assert (told.expected_s, told.unchecked) == (200.0, ())
    assert told.longest_s == longest_s(look.plan)


WARNINGS = {
    "TCP mode": (lambda look: look.set("b", "scim", 0, counts="connections"), "is in TCP mode"),
    "no check": (lambda look: look.set("b", "web", check=Check.NOT_CHECKED), "has no check of its own"),
}


@pytest.mark.parametrize("row", WARNINGS)
def test_what_plan_warns_of(row):
    change, words = WARNINGS[row]
    look = Look(scene.make_plan())
    change(look)
    assert [words in warning for warning in forecast(look.plan, look.now()).warnings] == [True]


def test_a_cluster_of_one_is_warned_of_and_refused():
    look = Look(scene.make_plan("a"))
    told = forecast(look.plan, look.now())
    assert "--accept-outage" in told.warnings[0]
    assert any(not v.allowed for _, v in told.verdicts)


def test_what_could_not_be_checked_is_named():
    look = Look(scene.make_plan())
    look.mute("web")
    told = forecast(look.plan, look.now())
    assert told.unchecked == tuple(str(look.member(n, "web")) for n in "abc")


def test_who_is_fine_now():
    look = Look(scene.make_plan())
    look.ill("b")
    look.set("c", "web", admin=READY)
    assert fine_nodes(look.plan, look.now()) == ("a", "c")
