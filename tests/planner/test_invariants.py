"""The invariants that the engine asks in front of every write and every restart."""

import re
from typing import Any

import pytest

from rollsafe.errors import InvariantBroken
from rollsafe.model.reading import Check, Found, Member
from rollsafe.planner.decisions import MemberWrite, WriteMembers
from rollsafe.planner.invariants import check_before_restart, check_before_write
from tests.planner.scene import DRAIN, READY, Look, scene

RESTART = {
    "all holds": (lambda look, story: None, ""),
    "another does not serve": (lambda look, story: look.set("b", "scim", 1, check=Check.DOWN), "I1"),
    "another node is in hand, too": (lambda look, story: story.begin("b"), "I2"),
    "an endpoint was not read": (lambda look, story: look.mute("scim", 1), "I1"),
    "a write is in doubt": (lambda look, story: story.wrote(look.member("a", "scim"), DRAIN, done=False), "I3"),
    "a member reads ready": (lambda look, story: look.set("a", "scim", 1, admin=READY), "I3"),
    "a SCIM request is in flight": (lambda look, story: look.set("a", "scim", 1, active=1), "I3"),
    "it is not known what is in flight": (lambda look, story: look.set("a", "scim", 1, active=None), "I3"),
    "the member is gone from its pool": (lambda look, story: look.seats.pop(look.member("a", "web")), "I3"),
}


@pytest.mark.parametrize("row", RESTART)
def test_in_front_of_a_restart(row):
    change, broken = RESTART[row]
    look, story = scene(lambda look, story: story.drained())
    change(look, story)
    expect(broken, lambda: check_before_restart(look.plan, story.state, look.now(), "a"))


def a_write(look: Look, member: Member | None = None, *, taking_out: bool = False) -> WriteMembers:
    write = MemberWrite(member or look.member("a", "web"), Found(READY), "as found")
    return WriteMembers("a", (write,), taking_out)


WRITES = {
    "a node that was never stopped goes back": (lambda look, story: story.drained(), {}, ""),
    "a node that is healthy again goes back": (lambda look, story: story.healthy(), {}, ""),
    "a node that was stopped, and is not healthy": (lambda look, story: story.proven(), {}, "I4"),
    "a node whose restart may be under way": (
        lambda look, story: story.healthy().add("restart.intent", "a"),
        {},
        "I4",
    ),
    "a node that a takeover met, and nobody saw healthy": (
        lambda look, story: story.begin("a", stopped=True),
        {},
        "I4",
    ),
    "a mark that is written again needs no health": (lambda look, story: story.proven(), {"taking_out": True}, ""),
    "another node is in hand, too": (lambda look, story: story.drained().begin("b"), {}, "I2"),
    "another was left out": (
        lambda look, story: story.begin("b").add("node.finished", "b", outcome="left out") or story.drained(),
        {},
        "I2",
    ),
}


@pytest.mark.parametrize("row", WRITES)
def test_in_front_of_a_write(row):
    change, more, broken = WRITES[row]
    look, story = scene(change)
    expect(broken, lambda: check_before_write(look.plan, story.state, a_write(look, **more)))


def test_a_write_to_another_node_or_to_no_member_of_the_plan():
    look, story = scene(lambda look, story: story.drained())
    other, stranger = look.member("b", "web"), Member("a", "web", "web-lb", "tcp://lb3:1", "web-pool", "z")
    for member in (other, stranger):
        expect("I2", lambda member=member: check_before_write(look.plan, story.state, a_write(look, member)))


def expect(broken: str, ask: Any) -> None:
    """It raises exactly this invariant, or nothing."""
    if not broken:
        ask()
        return
    with pytest.raises(InvariantBroken, match=re.escape(f"{broken}: ")) as error:
        ask()
    assert error.value.invariant == broken
