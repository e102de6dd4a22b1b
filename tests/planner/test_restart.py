"""From the restart's intent to unbroken health: what counts as proof, and what does not."""

from dataclasses import replace

import pytest

from rollsafe.model.reading import Evidence, HealthReading, IdentityReading, RestartReading, Unread
from rollsafe.planner.decisions import FinishNode, FinishStep, GiveUpRestart, HaltRun, ProveRestart, StartStep, Wait
from rollsafe.planner.readings import Order, Watch
from tests.planner.scene import decide, look_again, scene

ENDED, FAILED, GONE = RestartReading(True, 0), RestartReading(True, 3, "no such unit"), RestartReading(True, None)
RUNNING = RestartReading(finished=False)
OLD, NEW, NONE = IdentityReading("old"), IdentityReading("new"), IdentityReading(None)
BUSY = IdentityReading("new", job=True)
OLD_OURS, NEW_OURS, NONE_OURS = (replace(it, ours=True) for it in (OLD, NEW, NONE))  # our own command still runs

PROOF = {
    # what the command does, what the identity is, seconds since it was sent: what follows
    "it ended well, and the identity changed": (ENDED, NEW, 5, ProveRestart),
    "it ended well, and the identity is as before: exit 0 is no proof": (ENDED, OLD, 5, Wait),
    "it ended well, the identity is as before, and 31 s have passed": (ENDED, OLD, 31, GiveUpRestart),
    "it ended well, and there is no identity yet": (ENDED, NONE, 5, Wait),
    "it ended well, and there is no identity for 119 s: it was stopped, so that its start is waited for": (
        ENDED,
        NONE,
        119,
        Wait,
    ),
    "it ended well, and there is no identity for 121 s": (ENDED, NONE, 121, GiveUpRestart),
    "it ended well, and the identity can't be read": (ENDED, Unread("no route"), 5, Wait),
    "it ended with 3: a stop that it began may still come": (FAILED, OLD, 14, Wait),
    "it ended with 3, and the identity is as before for 15 s": (FAILED, OLD, 16, GiveUpRestart),
    "it ended with 3, and the identity changed all the same: that is the proof": (FAILED, NEW, 5, ProveRestart),
    "it ended with 3, and nothing runs there any more": (FAILED, NONE, 16, GiveUpRestart),
    "there is no such command: nothing was begun": (replace(FAILED, exit_status=127), OLD, 1, GiveUpRestart),
    "it is gone without a word (a reboot), and the identity changed": (GONE, NEW, 5, ProveRestart),
    "it is still running, and the identity changed: its end is waited for": (RUNNING, NEW, 5, Wait),
    "it is still running at its limit, and the identity changed": (RUNNING, NEW, 81, ProveRestart),
    "it is still running at its limit": (RUNNING, OLD, 81, GiveUpRestart),
    "it is seen running, and the identity changed: its end is waited for": (RUNNING, NEW_OURS, 5, Wait),
    "it is seen running at its limit, and the identity changed: the state counts": (
        RUNNING,
        NEW_OURS,
        81,
        ProveRestart,
    ),
    "it is seen running at its limit, and the identity is as before: it may be slow": (RUNNING, OLD_OURS, 81, Wait),
    "it is seen running at its limit, and it was stopped: that is progress": (RUNNING, NONE_OURS, 81, Wait),
    "it is seen running past every limit": (RUNNING, OLD_OURS, 281, GiveUpRestart),
    "a systemd job is pending past the command's limit: that is progress": (ENDED, BUSY, 81, Wait),
    "a systemd job is pending past every limit": (ENDED, BUSY, 281, GiveUpRestart),
    "nothing can be read": (Unread("no route"), Unread("no route"), 5, Wait),
    "nothing can be read at the limit: silence is no answer": (Unread("no route"), Unread("no route"), 81, Wait),
    "it is still running at its limit, and the identity can't be read": (RUNNING, Unread("no route"), 81, Wait),
    "nothing can be read for long": (Unread("no route"), Unread("no route"), 111, GiveUpRestart),
}


@pytest.mark.parametrize("row", PROOF)
def test_proof(row):
    command, identity, seconds, expected = PROOF[row]
    look, story = scene(lambda look, story: story.sent())
    if isinstance(command, RestartReading) and command.finished:
        story.add("restart.ended", "a")
    look.restart, look.identity = command, identity
    look.at_s += seconds
    decision = decide(look, story)
    assert isinstance(decision, expected)
    if isinstance(decision, ProveRestart):
        assert decision.identity == "new"


def test_what_systemd_is_still_at_past_every_limit_is_given_up_as_something_that_no_fence_stops():
    look, story = scene(lambda look, story: story.sent())
    look.restart, look.identity = RUNNING, IdentityReading("old", job=True)
    look.at_s += 281
    decision = decide(look, story)
    assert isinstance(decision, GiveUpRestart)
    assert decision.job
    assert "systemd is still at the restart of a" in decision.reason


NOT_BEGUN = RestartReading(finished=False, begun=False)
VOID = {
    # what the node knows of a restart, its uptime in seconds where the order holds to 1,000 s, how far it came
    "it began none, and its own clock is past the order's end": (NOT_BEGUN, 1004.0, "intent", GiveUpRestart),
    "it began none, and its own clock is just past the order's end": (NOT_BEGUN, 1002.0, "intent", Wait),
    "it began none, and the order still holds": (NOT_BEGUN, 999.0, "intent", Wait),
    "it began none, and tells no uptime": (NOT_BEGUN, None, "intent", Wait),
    "it runs": (RUNNING, 1004.0, "intent", Wait),
    "it said that it began, and knows of none now": (NOT_BEGUN, 1004.0, "begun", Wait),
    "whether it began can't be read": (Unread("no route"), 1004.0, "intent", Wait),
}


@pytest.mark.parametrize("row", VOID)
def test_an_order_without_an_answer(row):
    command, uptime_s, came, expected = VOID[row]
    look, story = scene(lambda look, story: story.drained())
    story.add("restart.intent", "a", identity_before="old", node_uptime_until_s=1000.0)
    if came == "begun":
        story.add("restart.begun", "a")
    look.restart, look.identity = command, replace(OLD, uptime_s=uptime_s)
    look.at_s += 15
    decision = decide(look, story)
    assert isinstance(decision, expected)
    if isinstance(decision, GiveUpRestart):
        assert decision.reason == "the order to restart a did not reach it in time: it was not restarted"


def test_the_reason_for_giving_up_says_what_the_command_said():
    look, story = scene(lambda look, story: story.sent())
    story.add("restart.ended", "a")
    look.restart, look.identity = FAILED, OLD
    look.at_s += 16
    assert decide(look, story) == GiveUpRestart("a", "the restart command of a exited 3: no such unit")


def test_of_what_a_command_printed_its_last_lines_stand_in_the_reason_and_nothing_that_a_terminal_obeys():
    look, story = scene(lambda look, story: story.sent())
    story.add("restart.ended", "a")
    noise = "".join(f"line {n} of what the script prints\r\n" for n in range(90))
    look.restart = replace(FAILED, output=f"{noise}\n\x1b[31mFATAL\x1b[0m: JAVA_HOME\tis not set\x07\n\n")
    look.identity, look.at_s = OLD, look.at_s + 16
    decision = decide(look, story)
    assert isinstance(decision, GiveUpRestart)
    said = "line 88 of what the script prints | line 89 of what the script prints | FATAL: JAVA_HOME is not set"
    assert decision.reason == f"the restart command of a exited 3: {said}"
    look.restart = replace(FAILED, output="x" * 5000 + "the cause")
    decision = decide(look, story)
    assert isinstance(decision, GiveUpRestart)
    assert decision.reason.endswith("xxxthe cause")
    assert len(decision.reason) < 350


def test_a_restart_given_up_and_fenced_halts_the_run_and_the_node_goes_back_when_it_is_healthy():
    look, story = scene(lambda look, story: story.sent())
    story.add("restart.failed", "a", None, "it was not restarted", effect="unknown", fenced=True)
    decision = decide(look, story)
    assert decision == HaltRun("it was not restarted", remedy="look at a before the next run")
    story.halt(decision.reason)
    assert decide(look, story) == StartStep("a", "healthy")


def test_a_restart_that_may_still_run_leaves_the_node_out_however_healthy_it_is():
    look, story = scene(lambda look, story: story.sent())
    story.add("restart.failed", "a", None, "no proof", effect="unknown", fenced=False)
    story.halt("no proof")
    story.add("step.started", "a", step="healthy")
    look.watch = Watch(healthy_since={"a": 0.0})
    look.at_s += 60
    assert decide(look, story) == FinishNode("a", "left out")


# --- health ----------------------------------------------------------------------------------------------------


def states(**words: str) -> dict[tuple[str, str], HealthReading]:
    return {("a", s): HealthReading("a", s, state == "RUNNING", state) for s, state in words.items()}


def seen(*looks: dict[tuple[str, str], HealthReading]) -> object:
    """The decision after these looks, one each second, at a node that was proven to be restarted."""
    look, story = scene(lambda look, story: story.proven())
    for health in looks:
        look.health.update(health)
        look_again(look, story)
    return decide(look, story)


UP = states(scim="RUNNING", web="RUNNING")
STARTING, SCIM_LATE = states(scim="refused", web="STARTING"), states(scim="refused", web="RUNNING")
HEALTHY = {
    "every service for ten seconds": ([UP] * 11, FinishStep),
    "every service for nine": ([UP] * 10, Wait),
    "web alone for ever": ([SCIM_LATE] * 20, Wait),
    "starting for ever is progress, not failure": ([STARTING] * 60, Wait),
    "one failure after eight seconds, and eight more": ([UP] * 9 + [SCIM_LATE] + [UP] * 9, Wait),
    "one failure, and then ten seconds": ([UP] * 9 + [SCIM_LATE] + [UP] * 11, FinishStep),
}


@pytest.mark.parametrize("row", HEALTHY)
def test_health_is_every_service_without_a_break(row):
    looks, expected = HEALTHY[row]
    assert isinstance(seen(*looks), expected)


def test_health_from_before_the_restart_does_not_count():
    look, story = scene(lambda look, story: story.proven())
    look.watch = Watch(healthy_since={"a": look.at_s - 1000})
    look.at_s += 9
    assert isinstance(decide(look, story), Wait)
    look.at_s += 1
    assert isinstance(decide(look, story), FinishStep)


def test_a_gap_in_time_voids_health():
    look, story = scene(lambda look, story: story.proven())
    look_again(look, story)
    look_again(look, story, 60, gap="the laptop slept")
    assert isinstance(decide(look, story), Wait)


@pytest.mark.parametrize("begun", ["the restart's command runs", "the node starts"])
def test_a_clock_that_was_set_forward_gives_a_node_no_less_time(begun):
    look, story = scene()
    if begun == "the node starts":
        story.proven()
        look.ill("a")
    else:
        story.sent()
        look.identity, look.restart = OLD, RUNNING
    look_again(look, story)
    look_again(look, story, 3600, gap="the clock was set forward")
    assert isinstance(decide(look, story), Wait)
    for _ in range(2000):
        look_again(look, story)
    assert not isinstance(decide(look, story), Wait), "the time that was looked at counts as ever"


def test_why_a_node_is_not_healthy_is_told_in_full():
    look, story = scene(lambda look, story: story.proven())
    look.ill("a", "scim", state="not SCIM")
    look.health["a", "scim"] = replace(look.health["a", "scim"], evidence=Evidence(status=404))
    look.health.pop(("a", "web"))
    look.at_s += 201
    decision = decide(look, story)
    assert isinstance(decision, HaltRun)
    assert decision.reason.endswith("scim not SCIM (HTTP 404), web no answer")


LIMITS = [(199, Wait), (201, HaltRun)]


@pytest.mark.parametrize(("seconds", "expected"), LIMITS)
def test_a_node_that_does_not_start_is_left_out_at_its_own_limit(seconds, expected):
    look, story = scene(lambda look, story: story.proven())
    look.ill("a", state="STARTING")
    look.at_s += seconds
    decision = decide(look, story)
    assert isinstance(decision, expected)
    if isinstance(decision, HaltRun):
        assert decision.reason == "a did not become healthy in 200 s: scim STARTING, web STARTING"
        assert "recover puts it back" in decision.remedy
        story.halt(decision.reason)
        assert decide(look, story) == FinishNode("a", "left out")


def test_sigterm_leaves_a_stopped_node_to_recover_at_once():
    look, story = scene(lambda look, story: story.proven())
    look.order, look.order_s = Order.NOW, look.at_s
    assert decide(look, story) == HaltRun("asked to stop now")
    story.halt("asked to stop now")
    assert decide(look, story) == FinishNode("a", "left out")


def test_sigint_finishes_a_stopped_node_and_begins_no_other():
    look, story = scene(lambda look, story: story.proven())
    look.order = Order.FINISH
    story.halt("asked to stop after the node in hand")
    assert isinstance(decide(look, story), Wait)
