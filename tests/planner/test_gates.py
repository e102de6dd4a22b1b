"""Each gate, row by row: what is seen, and what the gate says."""

from datetime import UTC, datetime

import pytest

from rollsafe.model.cluster import MinReady, WindowRules
from rollsafe.model.plan import NodeEstimate
from rollsafe.model.reading import Check, IdentityReading
from rollsafe.planner import gates
from rollsafe.planner.commands import completed
from rollsafe.planner.decisions import BeginNode, HaltRun, RestartNode, Wait
from rollsafe.planner.readings import Budget, ClaimView, Level, Ours
from tests.planner.scene import DRAIN, MAINT, Look, Story, decide, make_plan, scene


def closed(look: Look, story: Story) -> set[str]:
    """The gates of taking node a in hand that say no."""
    verdicts = gates.before_begin(look.plan, story.state, look.now(), "a")
    return {v.gate for v in gates.refusals(verdicts)}


BEGIN = {
    "all is well": (lambda look, story: None, set()),
    "the claim on another node is another's": (
        lambda look, story: look.claims.update(b=ClaimView(Ours.OTHER, "bob's")),
        {"claim"},
    ),
    "the claim on another node can't be read": (
        lambda look, story: look.claims.update(c=ClaimView(Ours.UNREAD, "refused")),
        {"claim"},
    ),
    "the claim of the node itself is gone": (
        lambda look, story: look.claims.update(a=ClaimView(Ours.MISSING)),
        {"claim"},
    ),
    "no claim was ever read": (lambda look, story: look.claims.clear(), {"claim"}),
    "the claims were read 11 s ago": (lambda look, story: setattr(look, "claims_at_s", 89.0), {"claim"}),
    "the claims were read 9 s ago": (lambda look, story: setattr(look, "claims_at_s", 91.0), set()),
    "the probe's budget is on hold": (
        lambda look, story: setattr(look, "budget", Budget(Level.HOLD, "failing")),
        {"budget"},
    ),
    "the node's own member can't be read on one of two endpoints": (
        lambda look, story: look.mute("scim", 1),
        {"readable", "min_ready", "peers"},
    ),
    "the node's member follows another pool's server": (
        lambda look, story: look.set("a", "web", inherited="other/server"),
        {"readable"},
    ),
    "another member is in drain on one of two endpoints": (
        lambda look, story: look.set("b", "scim", 1, admin=DRAIN),
        {"min_ready", "peers"},
    ),
    "another member is in maint": (lambda look, story: look.set("c", "web", admin=MAINT), {"min_ready", "peers"}),
    "another member is down by the balancer's check": (
        lambda look, story: look.set("c", "web", check=Check.DOWN),
        {"min_ready", "peers"},
    ),
    "another member is on its way up by the balancer's check": (
        lambda look, story: look.set("c", "web", check=Check.RISING),
        {"min_ready", "peers"},
    ),
    "another member is up with weight 0, as people drained before there was drain": (
        lambda look, story: look.set("c", "web", unused="weight 0"),
        {"min_ready", "peers"},
    ),
    "another member has no check, and is healthy": (
        lambda look, story: look.set("c", "web", check=Check.NOT_CHECKED),
        set(),
    ),
    "another member has no check, and is not healthy": (
        lambda look, story: look.set("c", "web", check=Check.NOT_CHECKED).ill("c", "web"),
        {"min_ready", "peers"},
    ),
    "another node is up by the balancer's check, and ill by our own": (
        lambda look, story: look.ill("b", "scim"),
        {"min_ready", "peers"},
    ),
    "another node was not asked for its health": (
        lambda look, story: look.health.pop(("b", "scim")),
        {"min_ready", "peers"},
    ),
    "the pool has lost another node's member": (
        lambda look, story: look.seats.pop(look.member("b", "web")),
        {"min_ready", "peers"},
    ),
    "the pool is empty": (
        lambda look, story: [look.seats.pop(m) for m in look.plan.members if m.service == "web"],
        {"readable", "min_ready", "peers"},
    ),
    "the node itself is drained by a person": (lambda look, story: look.set("a", admin=DRAIN), {"peers"}),
    "the node itself is ill": (lambda look, story: look.ill("a"), {"peers"}),
}


@pytest.mark.parametrize("row", BEGIN)
def test_gates_of_taking_a_node_in_hand(row):
    change, expected = BEGIN[row]
    look, story = scene(change)
    assert closed(look, story) == expected
    decision = decide(look, story)
    assert isinstance(decision, (Wait, HaltRun) if expected else BeginNode)


def test_a_node_that_was_not_fine_at_the_start_is_no_peer():
    look, story = scene(lambda look, story: look.set("a", admin=DRAIN), fine="bc")
    assert closed(look, story) == set()


MIN_READY = {
    "all others, one is out": (MinReady(), "bcd", "b", False),
    "2 of 3 others must, one is out": (MinReady(count=2), "bcd", "b", True),
    "3 of 3 others must, one is out": (MinReady(count=3), "bcd", "b", False),
    "4 can't be had of 3 others": (MinReady(count=4), "bcd", "", False),
    "half of four must, one of three others is out": (MinReady(percent=50), "bcd", "b", True),
    "80 % of four is 4 (never rounded down)": (MinReady(percent=80), "bcd", "", False),
    "75 % of four is 3": (MinReady(percent=75), "bcd", "", True),
    "75 % of four is 3, and one is out": (MinReady(percent=75), "bcd", "c", False),
    "0 is taken as 1: without an order nobody makes an outage": (MinReady(count=0), "b", "b", False),
    "0 with one other that serves": (MinReady(count=0), "b", "", True),
    "a cluster of one": (MinReady(), "", "", False),
}


@pytest.mark.parametrize("row", MIN_READY)
def test_min_ready_counts_the_others(row):
    wanted, others, out, allowed = MIN_READY[row]
    look, _ = scene(plan=make_plan("a" + others, min_ready=wanted))
    if out:
        look.set(out, admin=DRAIN)
    verdicts = gates.min_ready(look.plan, look.now(), "a")
    assert len(verdicts) == 3, "one for each endpoint of each pool"
    assert all(v.allowed is allowed for v in verdicts), verdicts


PROVABLE = {
    # the identity, is the node healthy: is a restart allowed
    "healthy, with an identity": (IdentityReading("4711"), True, True),
    "healthy, without one": (IdentityReading(None, lacks="restart.identity (true) printed nothing"), True, False),
    "really down, without one": (IdentityReading(None), False, True),
    "healthy, and another one each time": (IdentityReading("1764155531.8", was="1764155531.2"), True, False),
    "down, and another one each time": (IdentityReading("up 8 s", was="up 7 s"), False, False),
    "stopped between the two readings": (IdentityReading(None, was="4711"), False, True),
}


@pytest.mark.parametrize("row", PROVABLE)
def test_a_node_is_restarted_only_where_that_can_be_proved(row):
    identity, healthy, allowed = PROVABLE[row]
    verdict = gates.provable(identity, healthy=healthy)
    assert verdict.allowed is allowed
    assert ("in the inventory" in verdict.remedy) is not allowed


def test_an_identity_that_is_long_is_told_where_it_differs():
    same = "jira.service - Jira\n   Loaded: loaded (/etc/systemd/system/jira.service)\n  Active: since "
    verdict = gates.provable(IdentityReading(f"{same}8 s\x1b[0m{'x' * 500}", was=f"{same}7 s{'x' * 500}"), healthy=True)
    assert "since 7 s" in verdict.reason
    assert "since 8 s" in verdict.reason
    assert len(verdict.reason) < 300
    assert verdict.reason.isprintable()


def test_an_outage_is_allowed_only_when_it_was_asked_for():
    look, _ = scene(plan=make_plan("a", accept_outage=True))
    assert not gates.refusals(gates.min_ready(look.plan, look.now(), "a"))


def test_an_outage_that_was_asked_for_spends_no_budget():
    spent = Budget(Level.STOP, "an outage of 40 s")
    for asked, expected in ((False, HaltRun), (True, RestartNode)):
        look, story = scene(lambda look, story: story.drained(), plan=make_plan(accept_outage=asked))
        look.budget = spent
        assert isinstance(decide(look, story), expected)


def test_a_refusal_counts_and_names_who_lacks_why():
    look, _ = scene(lambda look, story: look.set("b", "scim", 1, admin=DRAIN))
    no = gates.refusals(gates.min_ready(look.plan, look.now(), "a"))
    told = "scim on tcp://lb2:1, pool scim-pool: without a 1 of 2 others serve, 2 must (min_ready all-others)"
    assert [v.reason for v in no] == [f"{told}: b is in drain"]
    assert no[0].remedy


def test_a_cause_that_many_nodes_share_is_told_once():
    look, _ = scene(plan=make_plan("abcd"))
    for node in "abcd":
        look.ill(node, "scim", state="token refused")
    look.set("d", "web", unused="weight 0").mute("scim", 1)
    told = gates.in_words(
        [(n, v) for n in "abcd" for v in gates.refusals(gates.before_claim(look.plan, look.now(), n))]
    )
    scim = "without a 0 of 3 others serve, 3 must (min_ready all-others): b, c, d are token refused by our own check"
    web = "without a 2 of 3 others serve, 3 must (min_ready all-others): d has weight 0, so that no new client is sent"
    assert told.startswith("a: readable: ")
    assert f"a: min_ready: scim on tcp://lb1:1, pool scim-pool: {scim} (as for b, c, d); " in told
    assert f"a: min_ready: web on tcp://lb3:1, pool web-pool: {web} there (as for b, c)" in told
    assert told.count("token refused") == 1


REMEDIES = {
    "by a person": (
        make_plan(),
        lambda look: look.set("b", "scim", admin=DRAIN),
        "bring the others back (`rollsafe ready b` does it for b), or lower min_ready of this service",
    ),
    "by itself": (
        make_plan(),
        lambda look: look.set("b", "scim", check=Check.DOWN),
        "bring the others back, or lower min_ready of this service",
    ),
    "where no fewer are enough": (
        make_plan("ab", min_ready=MinReady(count=0)),
        lambda look: look.set("b", "scim", check=Check.DOWN),
        "bring the others back; one at least must serve, whatever min_ready says, unless run is given --accept-outage",
    ),
}


@pytest.mark.parametrize("row", REMEDIES)
def test_a_refusal_names_what_would_change_it(row):
    plan, change, remedy = REMEDIES[row]
    look, _ = scene(plan=plan)
    change(look)
    assert {v.remedy for v in gates.refusals(gates.min_ready(look.plan, look.now(), "a"))} == {remedy}


def test_a_proposed_command_is_completed_with_the_inventory():
    told = completed("bring b back (`rollsafe ready b`), or `drain` it", "rollsafe recover -i 'ba se.yml' --yes")
    assert told == "bring b back (`rollsafe ready b -i 'ba se.yml' --yes`), or `drain` it"
    assert completed("`rollsafe ready b`", "rollsafe recover") == "`rollsafe ready b`"


def test_an_endpoint_that_does_not_answer_is_told_once_and_not_as_nodes_that_are_missing():
    look, _ = scene(lambda look, story: look.mute("scim", 1))
    no = gates.refusals(gates.min_ready(look.plan, look.now(), "a"))
    assert [v.reason for v in no] == ["scim on tcp://lb2:1, pool scim-pool, can't be read: refused"]
    assert no[0].remedy == "see to it that the balancer answers"


def test_a_pool_without_a_check_is_said_aloud():
    look, _ = scene(lambda look, story: look.set("b", "web", check=Check.NOT_CHECKED))
    warned = [v for v in gates.min_ready(look.plan, look.now(), "a") if v.warning]
    assert len(warned) == 1
    assert all(v.allowed for v in warned)


def test_a_closed_window_begins_no_node():
    rules = WindowRules("UTC", ("Sun 02:00-05:00",))
    look, story = scene(plan=make_plan(window=rules))
    assert closed(look, story) == {"window"}


def test_a_node_that_would_not_end_in_the_window_is_not_begun():
    rules = WindowRules("UTC", ("Sat 01:00-03:00",))
    look, story = scene(plan=make_plan(window=rules, node_estimate_s=3500))
    assert closed(look, story) == set()
    look.wall = datetime(2026, 11, 21, 2, 2, tzinfo=UTC)
    assert closed(look, story) == {"window"}


def test_a_run_that_can_not_end_in_the_window_is_refused_with_the_nodes_that_fit():
    rules = WindowRules("UTC", ("Sat 01:00-03:00",))
    known = (NodeEstimate("a", 600.0, 3), NodeEstimate("b", 600.0, 3), NodeEstimate("c", 3000.0, 3))
    look, story = scene(plan=make_plan(window=rules, node_estimate_s=1.0, estimates=known))
    look.wall = datetime(2026, 11, 21, 2, 2, tzinfo=UTC)
    answers = {n: gates.before_claim(look.plan, look.now(), n)[0] for n in "abc"}
    assert {n: v.allowed for n, v in answers.items()} == {"a": True, "b": True, "c": False}
    assert answers["c"].reason == "the window's end is in 58 min (03:00 UTC), a, b, c take 70 min"
    assert answers["c"].remedy.endswith("--nodes a,b")
    assert closed(look, story) == set(), "of a run that goes on only the next node is asked"


def test_until_is_asked_of_each_node_when_its_turn_comes():
    look, story = scene(plan=make_plan(until="2026-11-21T03:00:00+00:00", node_estimate_s=3000))
    look.wall = datetime(2026, 11, 21, 2, 2, tzinfo=UTC)
    assert [gates.before_claim(look.plan, look.now(), n)[0].allowed for n in "abc"] == [True] * 3
    look.wall = datetime(2026, 11, 21, 2, 12, tzinfo=UTC)
    assert closed(look, story) == {"window"}


def test_gates_that_stay_closed_stop_the_run_and_name_the_first_reason():
    look, story = scene(lambda look, story: look.set("b", "scim", admin=DRAIN))
    story.add("gate.checked", "a", allowed=False)
    look.at_s += 59
    assert isinstance(decide(look, story), Wait)
    look.at_s += 2
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason.startswith("a was not begun: ")


# --- in front of the stop --------------------------------------------------------------------------------------

STOP = {
    "all is well": (lambda look, story: None, set()),
    "a member reads ready on one of two endpoints (a reload wiped the drain)": (
        lambda look, story: look.set(
            "a", "scim", 1, admin=story.state.nodes["a"].found[look.member("a", "scim")].admin
        ),
        {"out"},
    ),
    "a request is in flight over the second endpoint": (
        lambda look, story: look.set("a", "scim", 1, active=1),
        {"out"},
    ),
    "the product does not say what is in flight": (lambda look, story: look.set("a", "scim", 0, active=None), {"out"}),
    "an endpoint can't be read": (lambda look, story: look.mute("scim", 1), {"out", "min_ready", "peers"}),
    "a write is in doubt": (
        lambda look, story: story.wrote(look.member("a", "scim", 1), DRAIN, done=False),
        {"out"},
    ),
    "another node died meanwhile": (lambda look, story: look.ill("c"), {"min_ready", "peers"}),
    "the claim is gone on one node": (
        lambda look, story: look.claims.update(c=ClaimView(Ours.MISSING)),
        {"claim"},
    ),
    "the probe fails": (lambda look, story: setattr(look, "budget", Budget(Level.HOLD, "x")), {"budget"}),
}


@pytest.mark.parametrize("row", STOP)
def test_gates_in_front_of_the_stop(row):
    change, expected = STOP[row]
    look, story = scene(lambda look, story: story.drained())
    change(look, story)
    verdicts = gates.before_stop(look.plan, story.state, look.now(), "a", look.at_s)
    assert {v.gate for v in gates.refusals(verdicts)} == expected
    assert isinstance(decide(look, story), RestartNode) is (not expected)


AGES = [(0.0, True), (1.9, True), (2.1, False), (600.0, False)]


@pytest.mark.parametrize(("late_s", "allowed"), AGES)
def test_a_node_is_stopped_only_on_readings_of_two_seconds(late_s, allowed):
    look, story = scene(lambda look, story: story.drained())
    assert isinstance(decide(look, story, late_s), RestartNode) is allowed


def test_what_was_cut_with_leave_does_not_hold_up_the_stop():
    look, story = scene()
    story.begin("a")
    for service in ("web", "scim"):
        story.add("step.started", "a", service, step="drain")
        for member in look.plan.members_of("a", service):
            story.wrote(member, MAINT if service == "web" else DRAIN)
        story.add("step.finished", "a", service, step="drain", outcome="cut" if service == "web" else "drained")
    look.set("a", "web", active=2)
    assert isinstance(decide(look, story), RestartNode)
    look.set("a", "scim", 0, active=1)
    assert isinstance(decide(look, story), Wait)


def test_gates_before_the_stop_that_stay_closed_put_the_node_back():
    look, story = scene(lambda look, story: story.drained())
    look.ill("c")
    story.add("gate.checked", "a", allowed=False)
    look.at_s += 61
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert "a was not stopped" in decision.reason
