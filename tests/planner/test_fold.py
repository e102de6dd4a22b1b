"""Records → state: what each record changes, and what a resume keeps and forgets."""

import pytest

from rollsafe.model.reading import AdminState
from rollsafe.planner.decisions import BeginNode, HaltRun, StartStep
from rollsafe.planner.fold import advance, fold, found_data, member_data, member_of
from rollsafe.planner.state import Restart, RunState
from tests.planner.scene import DRAIN, MAINT, READY, decide, scene


def test_folding_at_once_is_folding_one_by_one():
    _, story = scene(lambda look, story: story.back())
    assert fold(story.records) == story.state
    half = fold(story.records[:7])
    assert fold(story.records[7:], half) == story.state


def test_a_member_goes_into_a_record_and_comes_back():
    look, _ = scene()
    member = look.member("b", "scim", 1)
    assert member_of(member_data(member)) == member
    assert found_data(member, look.seats[member].found)["admin"] == "ready"


CHANGES_NOTHING = {
    "an event that carries no progress": ("probe.failed", "a", {}),
    "a step of a node that was never begun": ("step.started", "c", {"step": "drain"}),
    "a step without a node": ("step.finished", None, {"step": "ready"}),
    "a type that a newer rollsafe writes": ("node.polished", "a", {}),
}


@pytest.mark.parametrize("row", CHANGES_NOTHING)
def test_what_changes_nothing(row):
    kind, node, data = CHANGES_NOTHING[row]
    _, story = scene(lambda look, story: story.begin("a"))
    before = story.state
    story.add(kind, node, **data)
    assert story.state == before


def test_a_write_is_in_doubt_until_its_outcome():
    look, story = scene(lambda look, story: story.begin("a"))
    member = look.member("a", "web")
    story.wrote(member, DRAIN, done=False)
    assert story.state.nodes["a"].in_doubt == {member: DRAIN}
    assert story.state.nodes["a"].wrote == {member: frozenset({DRAIN})}
    assert not story.state.nodes["a"].last_seen
    story.wrote(member, DRAIN)
    assert not story.state.nodes["a"].in_doubt
    assert story.state.nodes["a"].last_seen == {member: DRAIN}


FAILURES = [("none", False), ("unknown", True)]


@pytest.mark.parametrize(("effect", "in_doubt"), FAILURES)
def test_a_write_that_failed_is_in_doubt_only_where_it_may_have_landed(effect, in_doubt):
    look, story = scene(lambda look, story: story.begin("a"))
    story.failed(look.member("a", "web"), DRAIN, effect)
    assert bool(story.state.nodes["a"].in_doubt) is in_doubt
    assert story.state.nodes["a"].failures[look.member("a", "web")].count == 1
    story.wrote(look.member("a", "web"), DRAIN)
    assert not story.state.nodes["a"].failures


RESTARTS = {
    "an intent counts as stopped": ((("restart.intent", {}),), Restart.INTENT, True),
    "it began": ((("restart.intent", {}), ("restart.begun", {})), Restart.BEGUN, True),
    "proven": ((("restart.intent", {}), ("restart.done", {})), Restart.DONE, True),
    "surely never sent": ((("restart.intent", {}), ("restart.failed", {"effect": "none"})), Restart.NONE, False),
    "given up and fenced off": (
        (("restart.intent", {}), ("restart.failed", {"effect": "unknown", "fenced": True})),
        Restart.FAILED,
        True,
    ),
    "given up, and it may still run": (
        (("restart.intent", {}), ("restart.failed", {"effect": "unknown", "fenced": False})),
        Restart.UNFENCED,
        True,
    ),
}


@pytest.mark.parametrize("row", RESTARTS)
def test_how_far_a_restart_has_come(row):
    records, restart, stopped = RESTARTS[row]
    _, story = scene(lambda look, story: story.drained())
    for kind, data in records:
        story.add(kind, "a", **data)
    assert story.state.nodes["a"].restart is restart
    assert story.state.nodes["a"].stopped is stopped


def test_the_gates_of_the_next_node_are_closed_since_their_first_no_and_open_with_a_yes_of_all():
    look, story = scene()
    story.add("gate.checked", "a", allowed=False, all_allowed=False)
    look.at_s += 5
    story.add("gate.checked", "a", allowed=False, all_allowed=False)
    assert story.state.gates_closed_s == 100.0
    story.add("gate.checked", "a", allowed=True, all_allowed=False)
    assert story.state.gates_closed_s == 100.0
    story.add("gate.checked", "a", allowed=True, all_allowed=True)
    assert story.state.gates_closed_s is None


def test_the_gates_of_a_node_that_is_out_stay_closed_until_something_is_done():
    look, story = scene(lambda look, story: story.drained())
    story.add("gate.checked", "a", allowed=False, all_allowed=False)
    since_s = look.at_s
    look.at_s += 5
    story.add("gate.checked", "a", allowed=True, all_allowed=True)
    assert story.state.nodes["a"].gates_closed_s == since_s, "a yes that no act followed"


# --- resume ----------------------------------------------------------------------------------------------------


def resumed(story: object) -> RunState:
    story.add("run.finished")  # type: ignore[attr-defined]  # a Story
    story.add("run.resumed", epoch=2)  # type: ignore[attr-defined]  # a Story
    return story.state  # type: ignore[attr-defined, no-any-return]  # a Story


def test_a_resume_forgets_waits_and_streaks_and_keeps_what_was_found_and_written():
    look, story = scene(lambda look, story: story.proven())
    before = story.state.nodes["a"]
    state = resumed(story.halt())
    hand = state.nodes["a"]
    assert (state.halt, state.finished, state.in_hand, state.epoch) == (None, False, "a", 2)
    assert (hand.found, hand.wrote, hand.restart) == (before.found, before.wrote, Restart.DONE)
    assert (hand.drains, hand.healthy_started_s) == ({}, None)
    assert decide(look, story) == StartStep("a", "healthy")


LEFT = {
    "left out after its restart": (lambda story: story.proven(), Restart.DONE, StartStep("a", "healthy")),
    "left out because its restart could not be fenced off: the raised claim does": (
        lambda story: story.sent().add("restart.failed", "a", None, "no proof", effect="unknown", fenced=False),
        Restart.FAILED,
        HaltRun("no proof", "look at a before the next run"),
    ),
}


@pytest.mark.parametrize("row", LEFT)
def test_a_node_that_was_left_out_is_in_hand_again(row):
    change, restart, expected = LEFT[row]
    look, story = scene(lambda look, story: change(story))
    story.halt()
    story.add("node.finished", "a", outcome="left out")
    state = resumed(story)
    assert (state.in_hand, state.nodes["a"].outcome, state.nodes["a"].restart) == ("a", None, restart)
    assert decide(look, story) == expected


def test_a_node_that_was_put_back_without_its_restart_has_its_turn_after_a_resume():
    look, story = scene(lambda look, story: story.begin("a").halt())
    story.add("node.finished", "a", outcome="put back")
    assert "a" not in resumed(story).nodes
    decision = decide(look, story)
    assert isinstance(decision, BeginNode)
    assert decision.node == "a"


def test_a_node_that_was_restarted_has_no_second_turn():
    look, story = scene(lambda look, story: story.back())
    story.add("node.finished", "a", outcome="restarted")
    assert resumed(story).in_hand is None
    decision = decide(look, story)
    assert isinstance(decision, BeginNode)
    assert decision.node == "b"


def test_a_claim_tells_what_may_have_been_written():
    _, story = scene(lambda look, story: story.begin("a", stopped=True, wrote=("drain", "maint")), mode="recover")
    hand = story.state.nodes["a"]
    assert set(hand.wrote.values()) == {frozenset({DRAIN, MAINT})}
    assert {f.admin for f in hand.found.values()} == {READY}
    assert hand.stopped


def test_a_drain_that_is_written_again_after_it_was_drained_begins_anew():
    look, story = scene(lambda look, story: story.drained())
    look.at_s += 7
    story.wrote(look.member("a", "scim", 1), AdminState.DRAIN)
    drain = story.state.nodes["a"].drains["scim"]
    assert (drain.outcome, drain.rounds, drain.started_s) == (None, 2, 107.0)


def test_the_fold_of_nothing_is_a_run_that_has_not_begun():
    assert fold([]) == RunState()
    assert advance(RunState(), scene()[1].records[0]).mode == "run"
