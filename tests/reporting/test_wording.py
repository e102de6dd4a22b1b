"""Texts that others wrote stand side by side as sentences: each begins as one, and ends once."""

import re
from types import SimpleNamespace

import pytest

from rollsafe.engine.met import not_asked
from rollsafe.model.reading import AdminState, Check, Member, SeatReading
from rollsafe.model.verdict import Verdict
from rollsafe.model.wording import ended, in_a_row
from rollsafe.planner import gates
from rollsafe.planner.outcome import judge
from rollsafe.reporting.sentences import sentence
from rollsafe.reporting.status_view import MemberShown, ServiceShown, StatusShown
from tests.planner.scene import scene
from tests.reporting import stories

# As errors end: with a question, with what to do, and with the error's own words.
ENDS = ["is 2999 its port?", "compare with `stats socket` in the configuration.", "refused"]


def test_a_sentence_ends_once():
    assert [ended(text) for text in ("a", "a.", "a..", "a?", "a?.", "a!", "a…")] == [
        "a.",
        "a.",
        "a.",
        "a?",
        "a?",
        "a!",
        "a….",
    ]
    assert in_a_row("a is out", "", "see why?", "`doctor` looks") == "a is out. See why? `doctor` looks"


def gate(why: str) -> str:
    story = stories.Story(["n1"])
    story.gate("n1", "reach", allowed=False, reason=why, remedy="`doctor` tries each connection")
    return sentence(story.records[-1])


def unread(why: str, *, halted: bool) -> str:
    look, story = scene(lambda look, story: story.begin("a"))
    look.mute("web", reason=why)
    if halted:
        story.halt(why)
    return judge(look.plan, story.state, look.now(), mend="rollsafe recover", at_s=look.at_s).message


PLACES = {
    "a gate's no": gate,
    "the gates' noes": lambda why: gates.in_words([("n1", Verdict("reach", False, why, "start it"))]),
    "the last line": lambda why: unread(why, halted=False),
    "the last line of a halt": lambda why: unread(why, halted=True),
    "nodes that could not be asked": lambda why: not_asked({"n1": why}, "rollsafe recover").message,
}


@pytest.mark.parametrize("why", ENDS)
@pytest.mark.parametrize("place", PLACES)
def test_the_words_of_others_are_followed_by_one_end(place, why):
    told = PLACES[place](why)
    assert why.rstrip(".") in told
    assert not re.search(r"[.?!][.?!]", told), told


def test_what_status_tells_after_the_first_sentence_begins_as_one():
    seat = SeatReading("n1", AdminState.DRAIN, Check.UP, 0)
    member = Member("n1", "web", "lb", "tcp://lb:1", "jira", "n1")
    cluster = SimpleNamespace(name="c", live_nodes=[SimpleNamespace(name="n1")])
    services = {"n1": (ServiceShown("web", None, (MemberShown(member, seat),)),)}
    shown = StatusShown(cluster, services, (), ("n2 is silent.",), "", "rollsafe recover --yes")
    assert shown.message == (
        "not in service: web of n1 is drain on tcp://lb:1. Not everything could be read: n2 is silent. "
        "Where it is healthy, this puts it back: rollsafe ready n1 --yes"
    )
