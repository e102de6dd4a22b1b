"""The last line of a process that must end now while a call hangs: row by row, what was known, and what it says."""

from dataclasses import replace

import pytest

from rollsafe.cli.forced import forced_ending
from rollsafe.engine.claim import ClaimKeeper, first_record
from rollsafe.engine.traces import Traces
from rollsafe.model.claim import ClaimRecord, FoundMember, Token, Who
from rollsafe.model.reading import Found
from rollsafe.planner.fold import found_data
from tests.planner.scene import DRAIN, MAINT, READY, Look, Story, look_again, scene

MEND = "rollsafe recover -i inventory.yml --yes"
WHO = Who("anna", "elsewhere", 7, "2026-11-25T02:00:00Z")


def nothing(look: Look, story: Story) -> Traces:
    return Traces()


def claimed(look: Look, story: Story, **revisions: int) -> Traces:
    """This run's claim stands on every node; the last change of it is revision 1."""
    keeper = ClaimKeeper(None, None, first_record("c", "r", "h", WHO))  # type: ignore[arg-type]  # nothing is asked
    keeper.record = replace(keeper.record, token=Token("r", 1, "h", 1))
    keeper.tokens = {node: Token("r", 1, "h", revisions.get(node, 1)) for node in look.plan.all_nodes}
    return Traces(keeper=keeper)


def dead(look: Look, *, wrote: tuple[str, ...] = ("drain", "maint"), in_hand: str | None = "b") -> ClaimRecord:
    """The claim of a run that had begun node b."""
    entry = tuple(FoundMember(member, Found(READY), wrote) for member in look.plan.members_of("b"))
    record = first_record("c", "dead-run", "h9", WHO)
    return replace(record, entries={"b": entry}, node_in_hand=in_hand)


def met(look: Look, story: Story) -> Traces:
    """A dead run's claim, and the balancers show its node out."""
    look.set("b", "web", admin=MAINT).set("b", "scim", admin=DRAIN)
    return Traces(met=dead(look), before=look.now())


def restarted(look: Look, story: Story) -> Traces:
    story.proven().halt("asked to stop now")
    return claimed(look, story)


def left_and_finished(look: Look, story: Story) -> Traces:
    restarted(look, story)
    story.add("node.finished", "a", outcome="left out")
    return claimed(look, story)


def drained(look: Look, story: Story) -> Traces:
    """Not stopped, and nothing is put back yet."""
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN)
    story.halt("asked to stop now")
    return claimed(look, story)


def going_back(look: Look, story: Story) -> Traces:
    """As before, and the write that puts web back has no answer."""
    traces = drained(look, story)
    story.wrote(look.member("a", "web"), READY, done=False, taking_out=False)
    return traces


def put_back(look: Look, story: Story) -> Traces:
    """Its drain was undone, and that was seen; the claim on c does not answer."""
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN)
    story.wrote(look.member("a", "web"), READY, taking_out=False)
    story.add("node.finished", "a", outcome="put back")
    return claimed(look, story, c=0)


def in_doubt(look: Look, story: Story) -> Traces:
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN, done=False)
    return claimed(look, story)


def soaking(look: Look, story: Story) -> Traces:
    story.back()
    story.add("step.started", "a", step="soak")
    return claimed(look, story)


def ended(look: Look, story: Story) -> Traces:
    """The claims are gone already; only the last line was missing."""
    put_back(look, story)
    traces = claimed(look, story)
    assert traces.keeper is not None
    traces.keeper.tokens = {}
    return traces


def looked(look: Look, story: Story) -> Traces:
    """This run's claim stands everywhere, and the loop has looked once more."""
    look_again(look, story)
    return replace(claimed(look, story), watch=look.watch)


def begun_by_the_dead(look: Look, story: Story) -> Traces:
    """`recover` took node a in hand, which the dead run may have stopped; nothing was read since."""
    story.begin("a", stopped=True, wrote=("drain", "maint"))
    return claimed(look, story)


def recovering(look: Look, story: Story) -> Traces:
    """The look before its first write showed the node out."""
    begun_by_the_dead(look, story)
    look.set("a", admin=MAINT)
    return looked(look, story)


def recovering_what_is_well(look: Look, story: Story) -> Traces:
    """The look before its first write showed the node in service and healthy: a reload has put it back."""
    begun_by_the_dead(look, story)
    return looked(look, story)


def recovering_unread(look: Look, story: Story) -> Traces:
    """No look came to an end; what the balancers showed when the command began is known."""
    return replace(begun_by_the_dead(look, story), before=look.set("a", "web", admin=MAINT).now())


def by_hand(look: Look, story: Story) -> Traces:
    """`ready` of a node that a person drained, before its first write."""
    look.set("a", admin=DRAIN)
    found = [
        found_data(m, Found(DRAIN)) | {"goal": "ready", "wrote": ["drain", "maint"]} for m in look.plan.members_of("a")
    ]
    story.add("node.started", "a", found=found, counts_as_stopped=True)
    return looked(look, story)


def found_drained_and_stopped(look: Look, story: Story) -> Traces:
    """`restart` of a node that a person had drained: out by his hand, down by ours."""
    look.set("a", admin=DRAIN)
    story.begin("a", DRAIN)
    story.add("restart.intent", "a", identity_before="old")
    return looked(look, story)


def reloaded(look: Look, story: Story) -> Traces:
    """The drain was written, and a reload of the balancer wiped it, which was read."""
    story.begin("a")
    story.wrote(look.member("a", "web"), DRAIN)
    look.set("a", "web", admin=READY)
    return looked(look, story)


WEB = "web on tcp://lb3:1"
SCIM = "scim on tcp://lb1:1: drain; scim on tcp://lb2:1: drain"
STOPPED = "a was stopped, and was not seen back; asked to stop now"
OURS = "this run's claim on {} could not be ended, and stays"
ROWS = {
    "nothing was claimed, met or begun": (nothing, 20, "nothing was taken out", ""),
    "the claims were made, and no node was begun": (
        claimed,
        40,
        "no node was begun, but " + OURS.format("a, b, c"),
        "",
    ),
    "one node does not answer to the end of the claim": (
        lambda look, story: claimed(look, story, b=0),
        40,
        "no node was begun, but " + OURS.format("b"),
        "",
    ),
    "a node was put back, and the claim could not be ended": (
        put_back,
        40,
        "every node that was begun was seen as it was found, but " + OURS.format("c"),
        "",
    ),
    "a node was put back, and the claim is gone": (ended, 20, "every node that was begun was seen as it was found", ""),
    "the claim was taken over": (
        lambda look, story: story.halt("the claim was taken over", lost=True) and claimed(look, story),
        40,
        "by whoever took the claim over could not be read: the claim was taken over; ",
        "",
    ),
    "a node soaks": (soaking, 40, OURS.format("a, b, c"), ""),
    "the drain of a member has no answer": (in_doubt, 40, "is in drain could not be read", ""),
    "a node is drained, and was not stopped": (drained, 30, f"a is out of service ({WEB}: drain): asked to stop", "a"),
    "the write that puts a drained node back has no answer": (going_back, 40, "is in ready could not be read", ""),
    "a node was restarted and is not back": (restarted, 30, f"({SCIM}; {WEB}: maint): {STOPPED}", "a"),
    "a node was restarted, and is told to be left out": (left_and_finished, 30, STOPPED, "a"),
    "a dead run was met, and its node was read to be out": (
        met,
        30,
        f"b is out of service ({SCIM}; {WEB}: maint)",
        "b",
    ),
    "a dead run was met, and no balancer was read": (
        lambda look, story: Traces(met=dead(look)),
        40,
        "no node was begun, but whether b, which run dead-run of anna from elsewhere had begun, is in service",
        "",
    ),
    "a dead run was met, its node in hand reads as found, and may be down": (
        lambda look, story: Traces(met=dead(look), before=look.now()),
        40,
        "whether b, which run dead-run",
        "",
    ),
    "a dead run was met that had put all back": (
        lambda look, story: Traces(met=dead(look, wrote=(), in_hand=None), before=look.now()),
        20,
        "nothing was taken out",
        "",
    ),
    "a run was met that lives, and has a node out": (
        lambda look, story: replace(met(look, story), alive=True),
        20,
        "nothing was taken out",
        "",
    ),
    "recover has a node in hand that was read to be out": (
        recovering,
        30,
        "(scim on tcp://lb1:1: maint; scim on tcp://lb2:1: maint; web on tcp://lb3:1: maint): a may have been stopped",
        "a",
    ),
    "recover has a node in hand that looked well": (
        recovering_what_is_well,
        40,
        "whether a is in service could not be read to the end",
        "",
    ),
    "recover has a node in hand that only the first look showed": (
        recovering_unread,
        30,
        "scim on tcp://lb1:1: ready, but a may have been stopped and was not seen back",
        "a",
    ),
    "recover has a node in hand that nobody could read": (
        begun_by_the_dead,
        30,
        "scim on tcp://lb1:1: not read, but a may have been stopped and was not seen back",
        "a",
    ),
    "ready has a drained node in hand, and wrote nothing": (by_hand, 40, OURS.format("a, b, c"), ""),
    "a node that was found drained was restarted, and is not back": (
        found_drained_and_stopped,
        30,
        "scim on tcp://lb1:1: drain, but a was stopped and was not seen back",
        "a",
    ),
    "a reload wiped the drain, and that was read": (reloaded, 40, OURS.format("a, b, c"), ""),
    "recover could not read the claims": (
        lambda look, story: Traces(reading=True),
        40,
        "the claims on the nodes could not be read",
        "",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_forced_ending(row: str) -> None:
    change, code, words, out = ROWS[row]
    look, story = scene()
    traces = change(look, story)
    end = forced_ending(story.state, traces, mend=MEND, at_s=look.at_s)
    assert end.exit_code == code, end.message
    assert words in end.message
    assert {entry["node"] for entry in end.left_out} == set(out)
    assert all(entry["mend"] == MEND for entry in end.left_out)
    assert end.message.endswith(MEND) is (code != 20), "who must mend something is told what to type"
    assert bool(end.unread) is (code == 40) or code == 30
    assert all(end.nodes[name]["outcome"] == "left out" for name in out if name in end.nodes)
