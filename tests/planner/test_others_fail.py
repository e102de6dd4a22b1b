"""Other nodes fail, or people act, while a node is in hand: no act of ours makes an outage, and none is kept going."""

import pytest

from rollsafe.model.cluster import MinReady
from rollsafe.model.reading import Check, HealthReading
from rollsafe.planner.decisions import HaltRun, RestartNode, StartStep, Wait, WriteMembers
from rollsafe.planner.readings import Budget, Level, Watch
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, decide, look_again, make_plan, scene


def web_is_out(plan: object = None) -> tuple[Look, Story]:
    """Node a is in hand, its web is drained, and SCIM is about to be."""
    look, story = scene(plan=plan)  # type: ignore[arg-type]  # None is a plan of three
    story.begin("a")
    story.add("step.started", "a", "web", step="drain")
    for member in look.plan.members_of("a", "web"):
        story.wrote(member, DRAIN)
    story.add("step.finished", "a", "web", step="drain", outcome="drained")
    return look, story


LACKING = {
    "another died": lambda look: look.ill("b").set("b", check=Check.DOWN),
    "another is ill by our own check alone": lambda look: look.ill("b", "scim"),
    "a person drains another on one of two endpoints": lambda look: look.set("b", "scim", 1, admin=DRAIN),
    "another's health is not known": lambda look: look.health.pop(("b", "scim")),
}


@pytest.mark.parametrize("row", LACKING)
def test_scim_is_not_taken_out_when_another_failed_during_the_drain_of_web(row):
    look, story = web_is_out()
    assert isinstance(decide(look, story), StartStep)
    LACKING[row](look)
    decision = decide(look, story)
    assert isinstance(decision, Wait)
    assert decision.verdicts
    assert "1 of 2 others serve" in decision.reason


def test_a_drain_that_may_not_go_on_ends_in_putting_back():
    look, story = web_is_out()
    look.ill("b", "scim")
    story.add("gate.checked", "a", allowed=False)
    look.at_s += 61
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason.startswith("scim of a was not taken out: ")


def test_a_gate_that_opened_again_has_its_whole_time_once_more():
    look, story = web_is_out()
    story.add("gate.checked", "a", allowed=False)
    look.at_s += 50
    story.add("step.started", "a", "scim", step="drain")
    look.at_s += 50
    look.ill("b", "scim")
    assert isinstance(decide(look, story), Wait)


DARK = {
    "the only other died 4 s ago": (4, {}, True),
    "the only other died 1 s ago: it may have been a blink": (1, {}, False),
    "it died 4 s ago, and an outage was accepted": (4, {"accept_outage": True}, False),
}


@pytest.mark.parametrize("row", DARK)
def test_a_drained_node_goes_back_at_once_when_no_other_serves(row):
    seconds, words, halts = DARK[row]
    look, story = scene(lambda look, story: story.drained(), plan=make_plan("ab", **words))
    look.ill("b").set("b", check=Check.DOWN)
    look.watch = Watch(trouble_since=look.at_s - seconds, idle={("a", "scim"): 3, ("a", "web"): 3})
    decision = decide(look, story)
    assert isinstance(decision, HaltRun) is halts
    if halts:
        assert "no other node serves" in decision.reason
        story.halt(decision.reason)
        assert decide(look, story) == StartStep("a", "ready")


SHORT = {
    "one of two died 5 s ago: it may come back": (5, lambda look: look.ill("b").set("b", check=Check.DOWN), False),
    "one of two died 11 s ago": (11, lambda look: look.ill("b").set("b", check=Check.DOWN), True),
    "a person drained one of two 11 s ago": (11, lambda look: look.set("b", admin=DRAIN), True),
    "our own check alone sees it ill": (11, lambda look: look.ill("b"), True),
    "their balancer was reloaded, and its checks are slow": (30, lambda look: look.set("b", check=Check.RISING), False),
    "an endpoint does not answer": (30, lambda look: look.mute("scim", 1), False),
}


@pytest.mark.parametrize("row", SHORT)
def test_a_drained_node_goes_back_when_others_fail_so_that_too_few_serve(row):
    seconds, change, halts = SHORT[row]
    look, story = scene(lambda look, story: story.drained())
    change(look)
    look.watch = Watch(trouble_since=look.at_s - seconds)
    decision = decide(look, story)
    assert isinstance(decision, HaltRun) is halts
    if isinstance(decision, HaltRun):
        assert "1 of 2 others serve" in decision.reason
        assert decision.reason.endswith("a was not stopped yet")


def test_where_enough_others_are_left_a_node_that_fails_does_not_stop_the_drain():
    look, story = scene(lambda look, story: story.drained(), plan=make_plan(min_ready=MinReady(count=1)))
    look.ill("b").set("b", check=Check.DOWN)
    look.watch = Watch(trouble_since=look.at_s - 11)
    assert isinstance(decide(look, story), Wait)


HELD = {
    "an outage that is over holds no node that was begun": (Budget(Level.HOLD, "long ago", over=True), RestartNode),
    "a probe that fails now holds the stop": (Budget(Level.HOLD, "failing"), Wait),
}


@pytest.mark.parametrize("row", HELD)
def test_a_hold_in_front_of_the_stop(row):
    budget, expected = HELD[row]
    look, story = scene(lambda look, story: story.drained())
    look.budget = budget
    assert isinstance(decide(look, story), expected)


def test_a_member_that_a_person_had_drained_before_is_no_reason_to_hurry():
    look, story = scene(plan=make_plan("ab"))
    look.set("a", admin=DRAIN)
    story.begin("a", DRAIN)
    look.ill("b").set("b", check=Check.DOWN)
    look.watch = Watch(trouble_since=look.at_s - 4)
    assert not isinstance(decide(look, story), HaltRun)


# --- after the stop: a mark that is gone ------------------------------------------------------------------------

WIPED = {
    "the node is down: the mark is written again": (lambda look: look.ill("a").set("a", check=Check.DOWN), True),
    "the node is well again, the others suffice: the mark is written again": (lambda look: look.well("a"), True),
    "the node is well again, and the only other is gone: it stays in": (
        lambda look: look.well("a").ill("b").set("b", check=Check.DOWN),
        False,
    ),
    "the balancer sees the node up, nobody asked it yet, and the only other is gone: it stays in": (
        lambda look: [look.health.pop(("a", s)) for s in ("web", "scim")] and look.ill("b"),
        False,
    ),
    "the balancer's check is rising, nobody asked the node yet, and the only other is gone: it stays in": (
        lambda look: unasked(look, Check.RISING).ill("b"),
        False,
    ),
    "the balancer's check is rising, nobody asked the node yet, and the other's rises too: the mark is written again": (
        lambda look: unasked(look, Check.RISING).set("b", check=Check.RISING),
        True,
    ),
    "the balancer has no check, nobody asked the node yet, and the only other is gone: the mark is written again": (
        lambda look: unasked(look, Check.NOT_CHECKED).ill("b"),
        True,
    ),
    "the balancer has no check, the node is ill, and the other is gone: the mark is written again": (
        lambda look: look.ill("a").ill("b").set("a", check=Check.NOT_CHECKED),
        True,
    ),
    "the balancer has no check, the node is well, and the other is gone: it stays in": (
        lambda look: look.ill("b").set("a", check=Check.NOT_CHECKED),
        False,
    ),
    "the node's check fails now and then, its balancer sees it up, and the other is gone: it stays in": (
        lambda look: looks(look.ill("b"), "a", "well", "ill"),
        False,
    ),
    "the node's check fails twice running, and the other is gone: the mark is written again": (
        lambda look: looks(look.ill("b"), "a", "well", "ill", "ill"),
        True,
    ),
}


def unasked(look, check):
    """While its restart's command runs, a node's health is not asked: the balancer's word is all that there is."""
    for service in ("web", "scim"):
        look.health.pop(("a", service))
    return look.set("a", check=check)


def looks(look, node, *moods):
    """One look after another that finds the node so."""
    for mood in moods:
        getattr(look, mood)(node)
        look_again(look, Story(look))


@pytest.mark.parametrize("row", WIPED)
def test_a_mark_that_is_gone_after_the_stop(row):
    change, again = WIPED[row]
    look, story = scene(lambda look, story: story.proven(), plan=make_plan("ab"))
    look.set("a", "scim", admin=READY)
    change(look)
    decision = decide(look, story)
    assert isinstance(decision, WriteMembers) is again
    if isinstance(decision, WriteMembers):
        assert {(w.member.service, w.to.admin) for w in decision.writes} == {("scim", DRAIN)}
        assert decision.taking_out


MET = {
    "well: nobody takes SCIM out, which perhaps never was": (lambda look: None, False),
    "nobody asked it yet": (lambda look: look.health.clear(), False),
    "ill: the mark protects its clients": (lambda look: look.ill("a"), True),
    "ill by our own check, up by the balancer's, and needed: it stays in": (
        lambda look: look.ill("a").ill("b").set("b", check=Check.DOWN),
        False,
    ),
    "ill, down by the balancer's check, and it was seen out before: the mark protects its clients": (
        lambda look: (
            look_again(look.set("a", admin=MAINT), Story(look))
            or look.ill("a").set("a", "scim", admin=READY).set("a", check=Check.DOWN)
        ),
        True,
    ),
}


@pytest.mark.parametrize("mode", ["recover", "ready"])
@pytest.mark.parametrize("row", MET)
def test_a_node_that_a_takeover_or_a_person_meets_half_drained(row, mode):
    change, written = MET[row]
    look, story = scene(mode=mode)
    look.set("a", "web", admin=MAINT)
    story.begin("a", stopped=True, wrote=("drain", "maint"))
    change(look)
    assert isinstance(decide(look, story), WriteMembers) is written


def test_recover_takes_out_nothing_that_died_after_it_was_back():
    look, story = scene(mode="recover")
    story.begin("a", stopped=True, wrote=("drain", "maint"))
    look.ill("a").set("a", check=Check.DOWN)
    assert isinstance(decide(look, story), StartStep | Wait)  # its balancer sends nobody, and takes it in by itself


# --- what stops a run, whatever it does -------------------------------------------------------------------------


def test_a_spent_budget_puts_back_what_was_not_stopped():
    look, story = web_is_out()
    look.budget = Budget(Level.STOP, "20 s of outage")
    decision = decide(look, story)
    assert decision == HaltRun("the probe's budget is spent: 20 s of outage")
    story.halt(decision.reason)
    assert decide(look, story) == StartStep("a", "ready")


def test_a_budget_on_hold_does_not_stop_a_drain_that_goes_on():
    look, story = web_is_out()
    look.budget = Budget(Level.HOLD, "failing")
    assert decide(look, story) == StartStep("a", "drain", "scim")


def test_soak_waits_for_an_ill_peer_and_then_stops_the_run():
    look, story = scene(lambda look, story: story.back())
    story.add("step.started", "a", step="soak")
    look.health["b", "web"] = HealthReading("b", "web", False, "refused")
    look_again(look, story)
    assert isinstance(decide(look, story), Wait)
    look_again(look, story, 61)
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason == "after a was back: b: web is refused by our own check"
