"""The exit code is the state of the cluster: row by row, what is seen at the end, and what the last line says."""

from dataclasses import replace

import pytest

from rollsafe.model.claim import FoundMember
from rollsafe.model.reading import Check, Found
from rollsafe.planner.outcome import Ending, judge
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, look_again, scene


def ending(look: Look, story: Story) -> Ending:
    return judge(look.plan, story.state, look.now(), mend="rollsafe recover", at_s=look.at_s)


def restarted(story: Story, nodes: str) -> None:
    """These nodes were restarted, soaked, and are back."""
    for node in nodes:
        story.back(node)
        story.add("step.finished", node, step="soak", outcome="done")
        story.add("node.finished", node, outcome="restarted")


def out(look: Look, story: Story) -> None:
    """Node a was drained, and the run stopped."""
    story.drained().halt("something failed")
    story.add("node.finished", "a", outcome="left out")


def unheard(look: Look, story: Story) -> None:
    """Node a was put back, but whether the last write landed nobody knows."""
    story.back()
    story.wrote(look.member("a", "web"), READY, done=False, taking_out=False)
    look.mute("web")
    story.halt("something failed")


def hung_before_maint(look: Look, story: Story) -> None:
    """Web was drained; whether maint landed nobody knows, and the endpoint is silent since: out it is either way."""
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN)
    story.wrote(look.member("a", "web"), MAINT, done=False)
    look.mute("web")
    story.halt("something failed")


def wiped_and_silent(look: Look, story: Story) -> None:
    """Web was drained, a reload put it back, which was read; then the endpoint fell silent."""
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN)
    look.set("a", "web", admin=READY)
    look_again(look, story)
    look.mute("web")
    story.halt("something failed")


def wiped_drained_and_silent(look: Look, story: Story) -> None:
    """As before, but it was drained once more before the endpoint fell silent."""
    wiped_and_silent(look, story)
    look.at_s += 1.0
    story.wrote(look.member("a", "web"), DRAIN)


def down_wiped_and_silent(look: Look, story: Story) -> None:
    """It never came up; a reload called it ready, which was read; then the endpoint fell silent."""
    out(look, story)
    story.add("restart.intent", "a", identity_before="old")
    look.set("a", admin=READY).ill("a")
    look_again(look, story)
    look.mute("web").mute("scim", 0).mute("scim", 1)


ROWS = {
    "a reload called a dead node ready, and its endpoint fell silent": (
        down_wiped_and_silent,
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "silent between drain and maint": (hung_before_maint, "node-out", 30, {"a"}, set()),
    "a reload put it back before its endpoint fell silent": (wiped_and_silent, "unknown", 40, set(), set()),
    "drained once more before its endpoint fell silent": (wiped_drained_and_silent, "node-out", 30, {"a"}, set()),
    "all were restarted": (lambda look, story: restarted(story, "abc"), "done", 0, set(), set()),
    "all were restarted, and one died long after it was back": (
        lambda look, story: restarted(story, "abc") or look.ill("a").set("a", check=Check.DOWN),
        "done",
        0,
        set(),
        {"a"},
    ),
    "all were restarted, and a person drained one since": (
        lambda look, story: restarted(story, "abc") or look.set("b", "web", admin=MAINT),
        "done",  # it reads as we wrote it during its turn, but since then we saw it as found
        0,
        set(),
        {"b"},
    ),
    "halted before the first node": (lambda look, story: story.halt("no"), "stopped", 20, set(), set()),
    "halted after one": (
        lambda look, story: restarted(story, "a") or story.halt("no"),
        "stopped",
        20,
        set(),
        set(),
    ),
    "halted, and a node that was never touched is dead": (
        lambda look, story: story.halt("no") and look.ill("c").set("c", check=Check.DOWN),
        "stopped",
        20,
        set(),
        {"c"},
    ),
    "halted, and a person's node is drained as it was found": (
        lambda look, story: story.halt("no") and look.set("c", admin=DRAIN),
        "stopped",
        20,
        set(),
        {"c"},
    ),
    "a node that we drained is out": (out, "node-out", 30, {"a"}, set()),
    "the node is back, and was not soaked, and its check fails": (
        lambda look, story: story.back().halt("no") and look.ill("a"),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "the node is back, and was not soaked, and the balancer sees it down": (
        lambda look, story: story.back().halt("no") and look.set("a", "web", check=Check.DOWN),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "a member that we never wrote to can't be read": (
        lambda look, story: story.begin("a").halt("no") and look.mute("web"),
        "unknown",
        40,
        set(),
        set(),
    ),
    "a member whose last write is in doubt can't be read": (unheard, "unknown", 40, set(), set()),
    "a member that we left out can't be read any more": (
        lambda look, story: out(look, story) or look.mute("web"),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "30 before 40: one is out, another can't be read": (
        lambda look, story: restarted(story, "b") or out(look, story) or look.mute("scim", 1),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "40 before 20: halted, and a node that is back can't be read": (
        lambda look, story: restarted(story, "a") or (story.halt("no") and look.mute("scim", 1)),
        "unknown",
        40,
        set(),
        set(),
    ),
    "40 before 0: all were restarted, and one can't be read": (
        lambda look, story: restarted(story, "abc") or look.mute("scim", 1),
        "unknown",
        40,
        set(),
        set(),
    ),
    "the claim was lost": (lambda look, story: story.halt("taken over", lost=True), "unknown", 40, set(), set()),
    "the claim was lost with a node out": (
        lambda look, story: story.drained().halt("taken over", lost=True),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "a put-back whose landing is in doubt is ours": (
        lambda look, story: [
            story.back(),
            story.wrote(look.member("a", "web"), MAINT, done=False, taking_out=True),
            look.set("a", "web", admin=MAINT),
            story.halt("no"),
        ],
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "a node that we stopped is not healthy, and what it served is in maint by other hands": (
        lambda look, story: (
            story.drained().sent().halt("it never came up") and look.set("a", "scim", admin=MAINT).ill("a")
        ),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "the restart that was sent may still stop a node that somebody put in, however well it answers": (
        lambda _look, story: story.drained().sent().halt("asked to stop now"),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "the restart that was sent may still stop a node that somebody took out, however well it answers": (
        lambda look, story: story.drained().sent().halt("asked to stop now") and look.set("a", "scim", admin=MAINT),
        "node-out",
        30,
        {"a"},
        set(),
    ),
    "a node that we stopped is healthy again, and what it served is in maint by other hands": (
        lambda look, story: story.back().halt("no") and look.set("a", admin=MAINT),
        "stopped",
        20,
        set(),
        {"a"},
    ),
    "a member that somebody put into maint since is another's": (
        lambda look, story: [
            story.begin("a"),
            story.add("step.started", "a", "scim", step="drain"),
            story.wrote(look.member("a", "scim"), DRAIN),
            look.set("a", "scim", 0, admin=MAINT),
            story.halt("no"),
        ],
        "stopped",
        20,
        set(),
        {"a"},
    ),
}


RISING = {
    "a reload put it back into service, and its first checks are due": (None, set()),
    "and the node itself is dead": ("refused", {"scim"}),
}


@pytest.mark.parametrize("row", RISING)
def test_a_member_that_comes_up_by_itself_is_out_by_nobodys_hand(row):
    ill, named = RISING[row]
    look, story = scene(lambda look, story: restarted(story, "abc"))
    look.set("b", "scim", check=Check.RISING)
    if ill:
        look.ill("b", "scim", ill)
    end = ending(look, story)
    assert {entry["service"] for entry in end.others} == named
    look.set("b", "scim", check=Check.DOWN)
    assert {entry["service"] for entry in ending(look, story).others} == {"scim"}, "a balancer that sees it down"


CONTRACT = {"node", "service", "balancer", "endpoint", "state", "mend"}


@pytest.mark.parametrize("row", ROWS)
def test_endings(row):
    change, outcome, code, left_out, others = ROWS[row]
    look, story = scene(change)
    end = ending(look, story)
    assert (end.outcome, end.exit_code) == (outcome, code), end.message
    assert {entry["node"] for entry in end.left_out} == left_out
    assert {entry["node"] for entry in end.others} == others
    assert all(entry["mend"] == "rollsafe recover" for entry in end.left_out)
    assert all(set(entry) == CONTRACT for entry in end.left_out)
    assert ("rollsafe recover" in end.message) is (code in (30, 40))


def test_the_last_line_of_a_node_out_names_node_service_endpoint_state_and_reason():
    end = ending(*scene(out))
    assert end.message == (
        "a is out of service (scim on tcp://lb1:1: drain; scim on tcp://lb2:1: drain; web on tcp://lb3:1: maint): "
        "something failed. To put it back: rollsafe recover"
    )


def test_as_found_is_not_said_of_what_somebody_changed_meanwhile():
    change, *_ = ROWS["a member that somebody put into maint since is another's"]
    assert ending(*scene(change)).message.endswith("But, by other hands: scim of a on tcp://lb1:1 is in maint.")
    look, story = scene(lambda look, story: story.begin("a", found=MAINT))
    look.set("a", admin=MAINT)
    assert "other hands" not in ending(look, story).message, "it was found so"


def test_out_of_service_counts_from_the_first_write_to_the_put_back():
    look, story = scene(lambda look, story: story.drained())
    look.at_s += 40
    story.state = replace(story.state, nodes={"a": replace(story.state.nodes["a"], ready_s=look.at_s)})
    look.set("a", admin=READY)
    look.at_s += 100
    assert ending(look, story).nodes["a"]["out_of_service_s"] == 40.0


RECOVER = {
    "nothing was left to look at": ("", "", 0),
    "the node is as found": ("a", "", 0),
    "it is asked to stop before it came to the node": ("", "a", 40),
    "it is asked to stop after the first of two": ("a", "ab", 40),
}


@pytest.mark.parametrize("row", RECOVER)
def test_a_recover_that_did_not_come_to_a_node_never_says_that_all_is_well(row):
    begun, planned, code = RECOVER[row]
    look, story = scene(mode="recover")
    look.plan = replace(look.plan, nodes=tuple(n for n in look.plan.nodes if n.name in planned))
    for node in begun:
        story.begin(node, wrote=("drain", "maint"))
    story.halt("asked to stop after the node in hand")
    end = ending(look, story)
    assert end.exit_code == code
    assert bool(end.unread) is (code == 40)


def test_what_a_dead_run_left_out_and_recover_did_not_come_to_is_its_own_and_nobody_elses():
    look, story = scene(mode="recover")
    look.set("a", "web", admin=MAINT).set("a", "scim", admin=DRAIN).set("c", admin=DRAIN)
    entries = {"a": tuple(FoundMember(m, Found(READY), ("drain", "maint")) for m in look.plan.members_of("a"))}
    look.plan = replace(look.plan, nodes=look.plan.nodes[:1])
    story.halt("asked to stop after the node in hand")
    end = judge(look.plan, story.state, look.now(), mend="rollsafe recover", at_s=look.at_s, entries=entries)
    assert (end.exit_code, end.unread) == (30, ())
    assert {entry["node"] for entry in end.left_out} == {"a"}
    assert {entry["node"] for entry in end.others} == {"c"}, "what a person drained"
    assert end.nodes["a"]["outcome"] == "left out"
    story.halt("taken over", lost=True)
    lost = judge(look.plan, story.state, look.now(), mend="rollsafe recover", at_s=look.at_s, entries=entries)
    assert (lost.exit_code, lost.left_out) == (40, ()), "whoever took over answers for it"


BY_HAND = {
    "drain": ("drained", 0, "a is drained and out of service, because you said so."),
    "ready": ("put back", 0, "a is healthy, and in service on every endpoint."),
}


@pytest.mark.parametrize("mode", BY_HAND)
def test_commands_by_hand_end_in_their_own_words(mode):
    outcome, code, words = BY_HAND[mode]
    look, story = scene(mode=mode)
    look.plan = replace(look.plan, nodes=look.plan.nodes[:1])
    if mode == "drain":
        story.drained()
    else:
        story.begin("a", stopped=True)
    story.add("node.finished", "a", outcome=outcome)
    end = ending(look, story)
    assert end.exit_code == code
    assert end.message.startswith(words)
    assert not end.left_out


def test_what_was_cut_is_counted_in_the_last_line():
    look, story = scene(lambda look, story: restarted(story, "abc"))
    nodes = story.state.nodes
    drains = {**nodes["b"].drains, "web": replace(nodes["b"].drains["web"], outcome="cut", cut=2)}
    story.state = replace(story.state, nodes={**nodes, "b": replace(nodes["b"], drains=drains)})
    assert ending(look, story).message.endswith("Requests in flight that were cut: 2 on web.")
