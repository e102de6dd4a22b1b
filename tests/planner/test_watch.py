"""Streaks: what makes a moment mean something, and what voids it."""

from dataclasses import replace

import pytest

from rollsafe.model.reading import Check, HealthReading, PoolReading, Unread
from rollsafe.planner.decisions import FinishStep, HaltRun, Wait
from rollsafe.planner.readings import PoolKey, Readings, Watch
from rollsafe.planner.watch import observe, serves, trouble_of, unfit
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, decide, look_again, scene

LB1: PoolKey = ("scim-lb", "tcp://lb1:1", "scim-pool")
LB2: PoolKey = ("scim-lb", "tcp://lb2:1", "scim-pool")
KEY = ("a", "scim")


def draining() -> tuple[Look, Story]:
    """SCIM of a is in drain on both endpoints, and was looked at once."""
    look, story = scene(lambda look, story: story.begin("a"))
    story.add("step.started", "a", "web", step="drain")
    story.wrote(look.member("a", "web"), DRAIN)
    story.add("step.finished", "a", "web", step="drain", outcome="cut")
    story.add("step.started", "a", "scim", step="drain")
    for endpoint in (0, 1):
        story.wrote(look.member("a", "scim", endpoint), DRAIN)
    look.process.update({LB1: "7", LB2: "8"})
    look_again(look, story)
    return look, story


IDLE = {
    "0 active once more": (lambda look: None, 2),
    "one request over the second endpoint": (lambda look: look.set("a", "scim", 1, active=1), 0),
    "the product does not say what is active": (lambda look: look.set("a", "scim", 0, active=None), 0),
    "a member reads ready again": (lambda look: look.set("a", "scim", 1, admin=READY), 0),
    "an endpoint does not answer": (lambda look: look.mute("scim", 1), 0),
    "a member is gone": (lambda look: look.seats.pop(look.member("a", "scim", 1)), 0),
    "another process answers on one of two endpoints": (lambda look: look.process.update({LB2: "9"}), 0),
    "the member is in maint by now": (lambda look: look.set("a", "scim", admin=MAINT), 2),
    "another node's request": (lambda look: look.set("b", "scim", active=3), 2),
}


@pytest.mark.parametrize("row", IDLE)
def test_idle_counts_readings_of_nothing_in_flight(row):
    change, count = IDLE[row]
    look, story = draining()
    change(look)
    look_again(look, story)
    assert look.watch.idle[KEY] == count


def test_a_gap_voids_every_streak_and_keeps_what_is_known_of_the_balancers():
    look, story = draining()
    look.mute("scim", 1)
    look_again(look, story)
    look_again(look, story, 30, gap="stopped")
    assert look.watch.idle[KEY] == 0
    assert set(look.watch.healthy_since.values()) == {look.at_s}
    assert look.watch.unread_since == {LB2: look.at_s - 30}
    assert look.watch.process == {LB1: "7", LB2: "8"}


# --- a new process hides what its old one still carries ---------------------------------------------------------


def test_after_a_reload_nothing_is_believed_for_as_long_as_a_request_may_take():
    look, story = draining()
    look.process[LB1] = "99"
    for _ in range(30):
        look_again(look, story)
        assert isinstance(decide(look, story), Wait)
    look_again(look, story)
    assert isinstance(decide(look, story), FinishStep)


def test_an_admin_api_that_is_too_slow_is_named_where_no_three_readings_came_together():
    look, story = draining()
    for turn in range(120):
        look.silent.clear()
        if turn % 2:
            look.mute("scim", 0, "no answer within 1.5 s")
        look_again(look, story)
    look.silent.clear()
    look_again(look, story)
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert "gave no answer in time in 60 looks" in decision.reason
    assert "admin API" in decision.remedy


def test_counts_that_begin_anew_are_a_reload_too_for_the_name_of_a_process_may_stay():
    """Apache with a configured nonce, which a graceful restart keeps."""
    look, story = draining()
    look.set("b", "scim", 0, total=50)
    look_again(look, story)
    look.set("b", "scim", 0, total=2)
    for _ in range(30):
        look_again(look, story)
        look.set("b", "scim", 0, total=3)
        assert isinstance(decide(look, story), Wait)
    look_again(look, story)
    assert isinstance(decide(look, story), FinishStep)


UPTIMES = {
    "an old process": ("run", 4000.0, True),
    "a run finds a process of 3 s: an older one may still hide requests": ("run", 3.0, False),
    "a run finds a process of 11 s: it was mostly just started": ("run", 11.0, True),
    "a resume finds a process of 3 s: an older one may hide requests": ("resume", 3.0, False),
    "a resume finds a process of 11 s: what was before is not known": ("resume", 11.0, False),
    "a resume finds a process of 31 s: the longest request of 30 s is over": ("resume", 31.0, True),
    "the product does not say": ("resume", None, True),
}


@pytest.mark.parametrize("row", UPTIMES)
def test_the_first_look_of_a_process_believes_its_uptime(row):
    mode, uptime_s, believed = UPTIMES[row]
    look, story = draining()
    look.watch = Watch()
    state = replace(story.state, epoch=2 if mode == "resume" else 1)

    def aged(passed_s: float) -> Readings:
        now = look.now()
        pool = now.pools[LB1]
        assert isinstance(pool, PoolReading)
        age_s = None if uptime_s is None else uptime_s + passed_s
        return replace(now, pools={**now.pools, LB1: replace(pool, uptime_s=age_s)})

    for passed_s in range(4):
        look.at_s += 1
        look.watch = observe(look.plan, state, look.watch, aged(passed_s), gap="")
    assert isinstance(decide(look, story), FinishStep) is believed


def test_silence_is_counted_from_its_first_look_and_ends_with_an_answer():
    look, story = draining()
    look.mute("scim", 0)
    look_again(look, story)
    first_s = look.at_s
    look_again(look, story, 5)
    assert look.watch.unread_since == {LB1: first_s}
    look.silent.clear()
    look_again(look, story)
    assert look.watch.unread_since == {}


# --- who is fine ------------------------------------------------------------------------------------------------

UNFIT = {
    "all is well": (lambda look: None, ""),
    "a check fails": (lambda look: look.ill("b", "scim"), "scim is refused by our own check"),
    "no answer": (lambda look: look.health.pop(("b", "web")), "web did not answer our own check"),
    "a member is drained on one endpoint": (lambda look: look.set("b", "scim", 1, admin=DRAIN), "is in drain"),
    "the balancer sees it down": (lambda look: look.set("b", "web", check=Check.DOWN), "is down by the balancer"),
    "the balancer has no check": (lambda look: look.set("b", "web", check=Check.NOT_CHECKED), ""),
    "an endpoint is silent": (lambda look: look.mute("web"), "can't be read: refused"),
    "the member is gone": (lambda look: look.seats.pop(look.member("b", "web")), "has no member b any more"),
}


@pytest.mark.parametrize("row", UNFIT)
def test_who_is_in_up_and_healthy(row):
    change, words = UNFIT[row]
    look, _ = scene()
    change(look)
    why = unfit(look.plan, look.now(), "b")
    assert words in why
    assert bool(why) is bool(words)


def test_serving_by_the_balancers_word():
    seats = {check: serves(replace(next(iter(scene()[0].seats.values())), check=check)) for check in Check}
    assert seats == {Check.UP: True, Check.NOT_CHECKED: True, Check.RISING: False, Check.DOWN: False}


TROUBLE = {
    "a peer that was fine is ill": (lambda look, story: look.ill("b"), True),
    "a peer that was never fine is ill": (lambda look, story: look.ill("c"), False),
    "the node in hand is ill: it is its turn": (lambda look, story: story.begin("a") and look.ill("a"), False),
    "the node in hand is ill after it was back": (lambda look, story: story.back() and look.ill("a"), True),
}


@pytest.mark.parametrize("row", TROUBLE)
def test_trouble_is_a_node_that_was_fine_and_is_not(row):
    change, troubled = TROUBLE[row]
    look, story = scene(change, fine="ab")
    assert bool(trouble_of(look.plan, story.state, look.now())) is troubled
    look_again(look, story)
    assert (look.watch.trouble_since is not None) is troubled
    assert (look.watch.calm_since is None) is troubled


def test_calm_begins_anew_after_trouble():
    look, story = scene()
    look_again(look, story)
    look.health["b", "web"] = HealthReading("b", "web", False, "timed out")
    look_again(look, story, 5)
    since_s = look.at_s
    look_again(look, story, 5)
    assert look.watch.trouble_since == since_s
    look.well("b")
    look_again(look, story, 5)
    assert (look.watch.trouble_since, look.watch.calm_since) == (None, look.at_s)


def test_a_pool_that_was_not_read_is_no_pool():
    now = replace(scene()[0].now(), pools={})
    member = scene()[0].member("a", "web")
    assert now.member(member) == Unread("it was not read")
