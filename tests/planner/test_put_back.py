"""As found: which members are written, to what, in which order, and what is left alone."""

from dataclasses import replace

import pytest

from rollsafe.model.reading import Check, Unread
from rollsafe.planner.decisions import FinishNode, FinishStep, HaltRun, StartStep, Wait, WriteMembers
from rollsafe.planner.next_step import next_step
from rollsafe.planner.readings import Order
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, decide, scene


def told(decision: object) -> object:
    """A decision in few words."""
    if isinstance(decision, WriteMembers):
        assert not decision.taking_out
        return [f"{w.member.service}@{w.member.endpoint[6:9]} {w.to.admin.value}" for w in decision.writes]
    if isinstance(decision, FinishStep | StartStep):
        return f"{type(decision).__name__} {decision.step}"
    return type(decision).__name__


def going_back(change: object = None) -> tuple[Look, Story]:
    """Node a was restarted, and is healthy; SCIM is in drain, web in maint."""
    look, story = scene(lambda look, story: story.healthy())
    if change is not None:
        change(look, story)  # type: ignore[operator]  # a row's function
    return look, story


def web_is_in_drain(look: Look, story: Story) -> None:
    story.wrote(look.member("a", "web"), DRAIN, taking_out=False)


def scim_is_back(look: Look, story: Story) -> None:
    web_is_in_drain(look, story)
    for endpoint in (0, 1):
        story.wrote(look.member("a", "scim", endpoint), READY, taking_out=False)


ALL_ENDPOINTS = ["scim@lb1 ready", "scim@lb2 ready"]
AFTER_A_RESTART = {
    "a member in maint goes through drain first, so that its check comes first": (None, ["web@lb3 drain"]),
    "SCIM goes back before web, on every endpoint": (web_is_in_drain, ALL_ENDPOINTS),
    "SCIM is on its way up: web waits for it": (
        lambda look, story: web_is_in_drain(look, story) or look.set("a", "scim", check=Check.RISING),
        "Wait",
    ),
    "SCIM is down by the balancer's check: web waits for it": (
        lambda look, story: web_is_in_drain(look, story) or look.set("a", "scim", 0, check=Check.DOWN),
        ["scim@lb2 ready"],
    ),
    "the balancer has no check: our own health stands in": (
        lambda look, story: web_is_in_drain(look, story) or look.set("a", "scim", check=Check.NOT_CHECKED),
        ALL_ENDPOINTS,
    ),
    "one endpoint is silent: the other goes back by itself": (
        lambda look, story: web_is_in_drain(look, story) or look.mute("scim", 0),
        ["scim@lb2 ready"],
    ),
    "both SCIM endpoints are silent: web does not wait for the dead": (
        lambda look, story: web_is_in_drain(look, story) or (look.mute("scim", 0), look.mute("scim", 1)),
        ["web@lb3 ready"],
    ),
    "web comes last": (scim_is_back, ["web@lb3 ready"]),
    "web is on its way up by its own check": (
        lambda look, story: scim_is_back(look, story) or look.set("a", "web", check=Check.RISING),
        "Wait",
    ),
    "everything is as found": (
        lambda look, story: scim_is_back(look, story) or story.wrote(look.member("a", "web"), READY, taking_out=False),
        "FinishStep ready",
    ),
    "everything reads ready, and one is not up yet": (
        lambda look, story: (
            scim_is_back(look, story)
            or story.wrote(look.member("a", "web"), READY, taking_out=False)
            or look.set("a", "web", check=Check.RISING)
        ),
        "Wait",
    ),
    "everything reads ready, and one endpoint can't be read": (
        lambda look, story: (
            scim_is_back(look, story)
            or story.wrote(look.member("a", "web"), READY, taking_out=False)
            or look.mute("scim", 1)
        ),
        "Wait",
    ),
    "somebody put one member into maint since: it is left alone": (
        lambda look, story: web_is_in_drain(look, story) or look.set("a", "scim", 0, admin=MAINT),
        ["scim@lb2 ready"],
    ),
    "somebody drains a member that we gave back: it is left alone": (
        lambda look, story: scim_is_back(look, story) or look.set("a", "scim", 0, admin=DRAIN),
        ["web@lb3 ready"],
    ),
    "a reload gave a member back already": (
        lambda look, story: web_is_in_drain(look, story) or look.set("a", "scim", 0, admin=READY),
        ["scim@lb2 ready"],
    ),
}


@pytest.mark.parametrize("row", AFTER_A_RESTART)
def test_after_a_restart(row):
    change, expected = AFTER_A_RESTART[row]
    assert told(decide(*going_back(change))) == expected


def test_what_is_left_alone_is_named():
    look, story = going_back(scim_is_back)
    look.set("a", "web", admin=READY).set("a", "scim", 1, admin=MAINT)
    decision = decide(look, story)
    assert isinstance(decision, FinishStep)
    assert decision.data == {"left_alone": [str(look.member("a", "scim", 1))]}


FOUND = {
    "found ready": (READY, ["web@lb3 ready"]),
    "found in drain: it goes back into drain": (DRAIN, "FinishStep ready"),
    "found in maint: it was never written to": (MAINT, "FinishStep ready"),
}


@pytest.mark.parametrize("row", FOUND)
def test_a_node_that_was_never_stopped_goes_back_at_once_without_health(row):
    found, expected = FOUND[row]
    look, story = scene()
    look.set("a", admin=found).ill("a")
    story.begin("a", found)
    if found is READY:
        story.wrote(look.member("a", "web"), DRAIN)
    story.halt()
    story.add("step.started", "a", step="ready")
    assert told(decide(look, story)) == expected


def test_a_member_found_in_drain_that_we_put_into_maint_goes_back_into_drain_and_needs_no_check():
    look, story = scene()
    look.set("a", "web", admin=DRAIN)
    story.begin("a", DRAIN)
    look.set("a", "scim", admin=DRAIN)
    story.wrote(look.member("a", "web"), MAINT)
    look.set("a", "web", check=Check.DOWN)
    story.halt()
    story.add("step.started", "a", step="ready")
    assert told(decide(look, story)) == ["web@lb3 drain"]


HEALTH = {
    "healthy without a break for long enough": (lambda look: None, ["web@lb3 drain"]),
    "one failure since: the count begins anew": (lambda look: look.watch.healthy_since.clear(), "Wait"),  # type: ignore[attr-defined]  # a dict
}


@pytest.mark.parametrize("row", HEALTH)
def test_a_node_that_was_stopped_goes_back_only_while_it_is_healthy(row):
    change, expected = HEALTH[row]
    look, story = going_back()
    change(look)
    assert told(decide(look, story)) == expected


UNPROVEN = ["restart.intent", "restart.begun"]


@pytest.mark.parametrize("last", UNPROVEN)
def test_a_node_whose_restart_may_be_under_way_never_goes_back(last):
    look, story = scene(lambda look, story: story.drained())
    for kind in UNPROVEN[: UNPROVEN.index(last) + 1]:
        story.add(kind, "a")
    story.halt()
    look.at_s += 50
    assert not isinstance(decide(look, story), WriteMembers)


def test_a_write_that_failed_is_tried_again_after_a_pause():
    look, story = going_back(web_is_in_drain)
    story.failed(look.member("a", "scim"), READY)
    assert told(decide(look, story)) == ["scim@lb2 ready"]
    look.at_s += 2
    assert told(decide(look, story)) == ALL_ENDPOINTS


TIMES = [(99, "Wait"), (101, "HaltRun")]


@pytest.mark.parametrize(("seconds", "expected"), TIMES)
def test_patience_with_a_silent_endpoint_ends(seconds, expected):
    look, story = going_back(scim_is_back)
    look.set("a", "web", admin=READY).mute("scim", 0)
    look.at_s += seconds
    look.watch.healthy_since["a"] = 0.0  # type: ignore[index]  # a dict
    assert told(decide(look, story)) == expected


def test_when_patience_is_over_the_marks_are_restored_whatever_the_balancers_check_says():
    look, story = going_back(web_is_in_drain)
    look.set("a", check=Check.DOWN)
    look.at_s += 101
    assert told(decide(look, story)) == ALL_ENDPOINTS


def test_a_second_no_ends_the_node_as_left_out():
    look, story = going_back(scim_is_back)
    look.set("a", "web", admin=READY).mute("scim", 0)
    look.at_s += 101
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    story.halt(decision.reason)
    assert decide(look, story) == FinishNode("a", "left out")


def test_sigterm_leaves_three_seconds_for_putting_back_a_node_that_was_not_stopped():
    look, story = scene(lambda look, story: story.drained().halt("asked to stop now"))
    story.add("step.started", "a", step="ready")
    look.order, look.order_s = Order.NOW, look.at_s
    look.mute("scim", 0)
    assert told(decide(look, story)) == ["scim@lb2 ready", "web@lb3 ready"]  # a slow one holds up no other
    look.set("a", admin=READY)
    assert isinstance(decide(look, story), Wait)
    look.at_s += 3.5
    assert decide(look, story) == FinishNode("a", "left out")


def test_an_endpoint_that_nobody_can_ask_is_not_waited_for() -> None:
    look, story = going_back(scim_is_back)
    story.wrote(look.member("a", "web"), READY, taking_out=False)
    story.wrote(look.member("a", "scim", 1), DRAIN, taking_out=False)
    look.mute("scim", 1)
    assert told(decide(look, story)) == "Wait"
    now = look.now()
    key = ("scim-lb", "tcp://lb2:1", "scim-pool")
    now = replace(now, pools={**now.pools, key: Unread("this inventory has no such endpoint", for_good=True)})
    decision = next_step(look.plan, story.state, now, look.at_s)
    assert decision == HaltRun("a could not be put back on endpoints that this inventory does not have: tcp://lb2:1")
