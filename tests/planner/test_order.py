"""The order of a run: which step follows from what happened and what is seen."""

import pytest

from rollsafe.model.reading import Check
from rollsafe.planner.decisions import BeginNode, Finished, FinishNode, FinishStep, HaltRun, StartStep, Wait
from rollsafe.planner.next_step import next_step
from rollsafe.planner.readings import Budget, ClaimView, Level, Order, Ours, Watch
from tests.planner.scene import DRAIN, READY, Look, Story, decide, look_again, make_plan, scene

TAKEN = HaltRun("the claim was taken over: b: bob's", lost=True)
ASKED, NOW = HaltRun("asked to stop after the node in hand"), HaltRun("asked to stop now")
SPENT = HaltRun("the probe's budget is spent: 20 s")


def taken(look: Look, story: Story) -> None:
    look.claims["b"] = ClaimView(Ours.OTHER, "bob's")


def restarted(story: Story, *nodes: str) -> Story:
    for node in nodes:
        story.back(node)
        story.add("step.finished", node, step="soak", outcome="done")
        story.add("node.finished", node, outcome="restarted")
    return story


def begins(node: str) -> object:
    return lambda decision: isinstance(decision, BeginNode) and decision.node == node


def refused_while_it_was_down(look: Look, story: Story) -> None:
    """A reload wiped the mark, and writing it again was refused; the node is back all the same."""
    story.proven("c")
    story.failed(look.member("c", "scim"), DRAIN)
    look.set("c", admin=READY)
    for step in ("ready", "soak"):
        story.add("step.started", "c", step=step)
        story.add("step.finished", "c", step=step, outcome="done")
    story.add("node.finished", "c", outcome="restarted")


def refused_by_a_process_that_is_gone(look: Look, story: Story) -> None:
    refused_while_it_was_down(look, story)
    look.process[look.member("c", "scim").pool_key] = "7"
    look_again(look, story)
    look.process[look.member("c", "scim").pool_key] = "99"
    look_again(look, story)


def refused_and_then_written(look: Look, story: Story) -> None:
    story.begin("c")
    story.failed(look.member("c", "scim"), DRAIN)
    story.back("c")
    story.add("node.finished", "c", outcome="restarted")


BETWEEN_NODES = {
    "the first of the plan": (lambda look, story: None, begins("c")),
    "the next of the plan, in its order": (lambda look, story: restarted(story, "c"), begins("a")),
    "the last": (lambda look, story: restarted(story, "c", "a"), begins("b")),
    "all are done": (lambda look, story: restarted(story, "c", "a", "b"), Finished()),
    "all are done, and one that was fine is ill: look again": (
        lambda look, story: restarted(story, "c", "a", "b") and look.ill("a"),
        Wait,
    ),
    "all are done, and a probe fails: look again": (
        lambda look, story: restarted(story, "c", "a", "b") and setattr(look, "budget", Budget(Level.HOLD, "failing")),
        Wait,
    ),
    "all are done, and a probe failed for long, which is over": (
        lambda look, story: (
            restarted(story, "c", "a", "b") and setattr(look, "budget", Budget(Level.HOLD, "long ago", over=True))
        ),
        Finished(),
    ),
    "never another after a failure": (
        lambda look, story: restarted(story, "c").halt("c did not become healthy"),
        Finished(),
    ),
    "never another while a balancer takes no writes": (
        refused_while_it_was_down,
        lambda decision: isinstance(decision, HaltRun) and "scim of c" in decision.reason,
    ),
    "what the old process of a reloaded balancer refused is no failure of the new one": (
        refused_by_a_process_that_is_gone,
        begins("a"),
    ),
    "a write that came through at the second try is no failure": (refused_and_then_written, begins("a")),
    "never another once it was asked to stop": (lambda look, story: setattr(look, "order", Order.FINISH), ASKED),
    "never another with the budget spent": (
        lambda look, story: setattr(look, "budget", Budget(Level.STOP, "20 s")),
        SPENT,
    ),
    "a budget on hold waits": (lambda look, story: setattr(look, "budget", Budget(Level.HOLD, "failing")), Wait),
    "the claim is another's: nothing any more": (taken, TAKEN),
    "the claim is another's, and it is known": (
        lambda look, story: taken(look, story) or story.halt("taken over", lost=True),
        Finished(),
    ),
    "it is over": (lambda look, story: story.add("run.finished"), Finished()),
}


@pytest.mark.parametrize("row", BETWEEN_NODES)
def test_between_nodes(row):
    change, expected = BETWEEN_NODES[row]
    look, story = scene(change, plan=make_plan("abc", "cab"))
    decision = decide(look, story)
    if isinstance(expected, type):
        assert isinstance(decision, expected)
    else:
        assert expected(decision) if callable(expected) else decision == expected


def test_a_run_whose_last_look_stays_bad_says_so():
    look, story = scene(lambda look, story: restarted(story, "a", "b", "c"))
    look.ill("a")
    look.watch = Watch(trouble_since=look.at_s - 61)
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason == "every node was restarted, but a: scim is refused by our own check"


def test_a_run_whose_last_probe_keeps_failing_says_so():
    look, story = scene(lambda look, story: restarted(story, "a", "b", "c"))
    look.budget = Budget(Level.HOLD, "the scim probe main: failing for 20.0 s", "it opens when it answers")
    assert isinstance(decide(look, story), Wait)
    look.at_s += look.plan.policy.gate_timeout_s + 1
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason == "every node was restarted, but the scim probe main: failing for 20.0 s"
    assert decision.remedy == "it opens when it answers"


IN_HAND = {
    "halted before anything was written: put back": (
        lambda look, story: story.begin("a").halt(),
        StartStep("a", "ready"),
    ),
    "halted while draining: put back": (lambda look, story: story.drained().halt(), StartStep("a", "ready")),
    "halted while starting: its health is awaited": (lambda look, story: story.proven().halt(), Wait),
    "asked to stop while draining": (
        lambda look, story: story.drained() and setattr(look, "order", Order.FINISH),
        ASKED,
    ),
    "asked to stop now, with the run halted already, and the node stopped": (
        lambda look, story: story.proven().halt() and setattr(look, "order", Order.NOW),
        FinishNode("a", "left out"),
    ),
    "asked to stop, and once more: the second is the reason": (
        lambda look, story: story.proven().halt(ASKED.reason) and setattr(look, "order", Order.NOW),
        NOW,
    ),
    "asked to stop after another failure: that stays the reason": (
        lambda look, story: story.proven().halt("it is ill") and setattr(look, "order", Order.NOW),
        FinishNode("a", "left out"),
    ),
    "asked to stop now, and the node is back": (
        lambda look, story: story.back().halt() and setattr(look, "order", Order.NOW),
        FinishNode("a", "restarted"),
    ),
    "the claim is lost with the node out: nothing more is written": (
        lambda look, story: taken(look, story) or story.drained().halt("taken", lost=True),
        FinishNode("a", "unknown"),
    ),
    "a lost claim outranks a halt": (lambda look, story: taken(look, story) or story.drained().halt(), TAKEN),
    "back: soak": (lambda look, story: story.back(), StartStep("a", "soak")),
    "back in a halted run: no soak": (lambda look, story: story.back().halt(), FinishNode("a", "restarted")),
    "back without a restart": (
        lambda look, story: [
            story.begin("a"),
            story.halt(),
            story.add("step.started", "a", step="ready"),
            story.add("step.finished", "a", step="ready", outcome="done"),
        ],
        FinishNode("a", "put back"),
    ),
}


@pytest.mark.parametrize("row", IN_HAND)
def test_in_hand(row):
    change, expected = IN_HAND[row]
    look, story = scene(change)
    decision = decide(look, story)
    assert isinstance(decision, expected) if isinstance(expected, type) else decision == expected


def soaking(seconds: float) -> tuple[Look, Story]:
    look, story = scene(lambda look, story: story.back())
    story.add("step.started", "a", step="soak")
    look.watch = Watch(calm_since=look.at_s)
    look.at_s += seconds
    return look, story


SOAK = [(19.0, Wait), (20.0, FinishStep)]


@pytest.mark.parametrize(("seconds", "expected"), SOAK)
def test_soak_is_watched_time(seconds, expected):
    assert isinstance(decide(*soaking(seconds)), expected)


def test_soak_counts_calm_time_alone():
    look, story = soaking(30.0)
    look.watch = Watch(calm_since=look.at_s - 19)
    assert isinstance(decide(look, story), Wait)


@pytest.mark.parametrize(("seconds", "expected"), [(79.0, Wait), (80.0, HaltRun)])
def test_trouble_that_comes_and_goes_does_not_make_the_watched_time_endless(seconds, expected):
    look, story = soaking(seconds)  # 20 s of watched time, and the 60 s that gates may be shut
    look.set("b", check=Check.DOWN)
    look.watch = Watch(trouble_since=look.at_s)
    assert isinstance(decide(look, story), expected)
    look.watch = Watch(trouble_since=look.at_s, blind=((look.at_s, 60.0),))
    assert isinstance(decide(look, story), Wait), "nobody looked for a minute of it"


def test_a_playbook_without_soak_has_none():
    look, story = scene(lambda look, story: story.back(), plan=make_plan(soak_s=0))
    assert decide(look, story) == FinishNode("a", "restarted")


# --- other wishes -----------------------------------------------------------------------------------------------


def recovering(change: object = None) -> tuple[Look, Story]:
    """A takeover met node a in hand, drained; everything was found ready."""
    look, story = scene(mode="recover", plan=make_plan("abc", "a"))
    story.begin("a", stopped=True, wrote=("drain", "maint"))
    look.set("a", admin=DRAIN)
    if change is not None:
        change(look, story)  # type: ignore[operator]  # a row's function
    return look, story


RECOVER = {
    "it counts as stopped: health first": (None, StartStep("a", "healthy")),
    "everything reads as found: nothing is written": (
        lambda look, story: look.set("a", admin=READY),
        FinishNode("a", "put back"),
    ),
    "everything reads as found, and the balancer sees it down": (
        lambda look, story: look.set("a", admin=READY, check=Check.DOWN),
        StartStep("a", "healthy"),
    ),
    "everything that can be read is as found": (
        lambda look, story: look.set("a", admin=READY).mute("web"),
        StartStep("a", "healthy"),
    ),
    "the claim is another's": (taken, TAKEN),
}


@pytest.mark.parametrize("row", RECOVER)
def test_recover_wants_everything_as_it_was_found(row):
    change, expected = RECOVER[row]
    assert decide(*recovering(change)) == expected


def test_recover_begins_what_the_claim_names_without_asking_gates():
    look, story = scene(mode="recover", plan=make_plan("abc", "b"))
    look.claims.clear()
    look.ill("c")
    assert decide(look, story) == BeginNode("b", ())
    story.begin("b", stopped=True)
    story.add("node.finished", "b", outcome="left out")
    assert decide(look, story) == Finished()


def test_recover_never_drains_or_restarts_a_node_that_it_goes_back_with():
    look, story = scene(mode="recover", plan=make_plan("abc", "a"))
    story.begin("a", wrote=("drain", "maint"))  # an older copy of the claim names it, and another node is in hand
    look.set("a", "web", admin=DRAIN)
    assert decide(look, story) == StartStep("a", "ready")


def test_drain_by_hand_ends_where_a_run_would_restart():
    look, story = scene(lambda look, story: story.drained(), mode="drain")
    assert decide(look, story) == FinishNode("a", "drained")
    story.add("node.finished", "a", outcome="drained")
    assert next_step(make_plan("abc", "a"), story.state, look.now(), look.at_s) == Finished()


def test_ready_by_hand_puts_back_after_health():
    look, story = scene(mode="ready")
    look.set("a", admin=DRAIN)
    story.begin("a", stopped=True, wrote=("drain", "maint"))
    assert decide(look, story) == StartStep("a", "healthy")


# --- a claim that can be read and not changed --------------------------------------------------------------------


def test_a_claim_that_can_be_read_and_not_changed_ends_the_run_at_the_gates_time():
    look, story = scene()
    for _ in range(70):
        decision = decide(look, story)
        if isinstance(decision, HaltRun):
            break
        assert isinstance(decision, BeginNode)
        for verdict in decision.verdicts:
            story.add("gate.checked", "a", allowed=verdict.allowed, all_allowed=True)
        story.add("gate.checked", None, None, "a: the disk is full", allowed=False, gate="claim")
        look.at_s += 1
    assert isinstance(decision, HaltRun)
    assert decision.reason == "a was not begun: a: the disk is full"
