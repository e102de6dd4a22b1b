"""Every guard that keeps a run safe: what it prevents, how it is taken away, and the test that then turns red.

A mutation is a small piece of text that stands exactly once in its file, and what it becomes. `scripts/mutate-guards`
applies each to a copy of the tree; `docs/reference/guards.md` is made from this table.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Guard:
    """One guard. `test` is FILE::FUNCTION, with [ROW] where one row of a table is enough."""

    name: str
    prevents: str
    invariant: str
    file: str
    old: str
    new: str
    test: str


P, E, D, T = "rollsafe/planner/", "rollsafe/engine/", "rollsafe/drivers/remote/", "tests/planner/"
GATES, BEGIN, STOP = (
    P + "gates.py",
    "test_gates.py::test_gates_of_taking_a_node_in_hand",
    "test_gates_in_front_of_the_stop",
)
OTHERS = T + "test_others_fail.py::"
ENGINE = "tests/guards/test_engine_guards.py::"

BEFORE_A_NODE = (
    Guard(
        "claim, ours on every node",
        "two runs at once, each with a node out",
        "I2, I6",
        GATES,
        "    if not_ours:\n",
        "    if False:\n",
        f"{T}{BEGIN}[the claim of the node itself is gone]",
    ),
    Guard(
        "claim, read within 10 s",
        "acting on a claim that was taken over meanwhile",
        "I6",
        GATES,
        "    if age_s > CLAIM_FRESH_S:\n",
        "    if False:\n",
        f"{T}{BEGIN}[the claims were read 11 s ago]",
    ),
    Guard(
        "window, its end",
        "a node that is still out when the window ends",
        "I7",
        P + "window.py",
        "        if left < need:\n",
        "        if False:\n",
        f"{T}test_gates.py::test_a_node_that_would_not_end_in_the_window_is_not_begun",
    ),
    Guard(
        "window, closed",
        "a restart in the middle of the day",
        "I7",
        P + "window.py",
        "            if closing is None:\n",
        "            if closing is None and False:\n",
        f"{T}test_gates.py::test_a_closed_window_begins_no_node",
    ),
    Guard(
        "window, blackouts with both days",
        "a restart on a day that was ruled out",
        "I7",
        P + "window.py",
        "last + timedelta(days=1), time(), zone",
        "last, time(), zone",
        f"{T}test_window.py::test_what_is_begun_ends_inside_the_window_and_before_the_blackout[UTC]",
    ),
    Guard(
        "window, the jump to summer time",
        "an hour of restarts after the clock on the wall left the window",
        "I7",
        P + "window.py",
        "    if later.astimezone(zone).replace(tzinfo=None) == datetime.combine(day, clock):\n",
        "    if True:\n",
        f"{T}test_window.py::test_the_day_on_which_the_clock_changes_in_oslo[spring: 02:10-02:50 never comes]",
    ),
    Guard(
        "budget, no other node",
        "one more node while clients already fail",
        "I1",
        GATES,
        'Verdict("budget", now.budget.level is Level.FINE,',
        'Verdict("budget", True,',
        f"{T}{BEGIN}[the probe's budget is on hold]",
    ),
    Guard(
        "budget, the run stops",
        "going on with an outage that clients see",
        "I1",
        P + "next_step.py",
        "    if now.budget.level is Level.STOP:\n",
        "    if False:\n",
        f"{OTHERS}test_a_spent_budget_puts_back_what_was_not_stopped",
    ),
    Guard(
        "budget, a stalled prober",
        "silence that is taken for success",
        "I1",
        P + "budget.py",
        "    if summary.unread_for_s > quiet_limit_s(settings):\n",
        "    if False:\n",
        f"{T}test_budget.py::test_budget[silent for longer: a stalled prober is no success]",
    ),
    Guard(
        "peers",
        "another node while one that was fine is not",
        "I1",
        GATES,
        '    if trouble:\n        return Verdict("peers"',
        '    if False:\n        return Verdict("peers"',
        f"{T}{BEGIN}[the node itself is ill]",
    ),
    Guard(
        "readable, every endpoint",
        "a drain that one of two endpoints never hears of",
        "I3",
        GATES,
        '        if isinstance(seat, Unread):\n            return Verdict("readable"',
        '        if isinstance(seat, Unread):\n            continue\n            return Verdict("readable"',
        f"{T}{BEGIN}[the node's own member can't be read on one of two endpoints]",
    ),
    Guard(
        "readable, a member that follows another",
        "a write that the balancer overrules",
        "I3",
        GATES,
        "        if seat.inherited:\n",
        "        if False:\n",
        f"{T}{BEGIN}[the node's member follows another pool's server]",
    ),
    Guard(
        "min_ready, the counterfactual",
        "an outage: too few others serve without this node",
        "I1",
        GATES,
        'Verdict("min_ready", serving >= wanted,',
        'Verdict("min_ready", True,',
        f"{T}test_gates.py::test_min_ready_counts_the_others[all others, one is out]",
    ),
    Guard(
        "min_ready, at least one",
        "min_ready: 0 taken for leave to make an outage",
        "I1",
        GATES,
        "        wanted = max(1, wanted)\n",
        "        wanted = max(0, wanted)\n",
        f"{T}test_gates.py::test_min_ready_counts_the_others[0 is taken as 1: without an order nobody makes an outage]",
    ),
    Guard(
        "min_ready, the balancer's own check",
        "counting a member that its balancer sends nobody to",
        "I1",
        GATES,
        '    if not serves(seat):\n        return f"{member.node} is {seat.check.value}',
        '    if False:\n        return f"{member.node} is {seat.check.value}',
        f"{T}test_invariants.py::test_in_front_of_a_restart[another does not serve]",
    ),
    Guard(
        "min_ready, our own check",
        "counting a node whose JVM hangs behind an open port",
        "I1",
        GATES,
        '    if not health.healthy:\n        return f"{member.node} is {health.state}',
        '    if False:\n        return f"{member.node} is {health.state}',
        f"{OTHERS}test_scim_is_not_taken_out_when_another_failed_during_the_drain_of_web"
        "[another is ill by our own check alone]",
    ),
    Guard(
        "no other node after a failure",
        "a second node out behind a first that failed",
        "I2",
        P + "next_step.py",
        "    if state.halt is not None:\n        return Finished()\n",
        "",
        f"{T}test_order.py::test_between_nodes[never another after a failure]",
    ),
    Guard(
        "the claim is changed before a balancer is written to",
        "going round for hours at a claim that can be read and not changed",
        "I5",
        P + "next_step.py",
        "    if state.claim_stuck_s is not None and now.at_s",
        "    if False and now.at_s",
        f"{T}test_order.py::test_a_claim_that_can_be_read_and_not_changed_ends_the_run_at_the_gates_time",
    ),
)

DRAINING = (
    Guard(
        "min_ready, before each service is taken out",
        "an outage where another node died during the minutes of web's drain",
        "I1",
        P + "drain.py",
        "    if due and (shut := _shut(plan, hand, service, now)):\n",
        "    if False and (shut := _shut(plan, hand, service, now)):\n",
        f"{OTHERS}test_scim_is_not_taken_out_when_another_failed_during_the_drain_of_web[another died]",
    ),
    Guard(
        "hurry",
        "an outage that lasts because a node that could serve stays drained",
        "I1",
        P + "drain.py",
        " or _needed(plan, hand, now):\n",
        ":\n",
        f"{OTHERS}test_a_drained_node_goes_back_at_once_when_no_other_serves[the only other died 4 s ago]",
    ),
    Guard(
        "drained, three readings of 0",
        "a SCIM write cut in half, between two requests of one connection",
        "I3",
        P + "watch.py",
        "IDLE_READINGS = 3 ",
        "IDLE_READINGS = 1 ",
        f"{T}test_drain.py::test_scim_is_drained_after_three_readings_of_zero_running",
    ),
    Guard(
        "drained, another process",
        "requests that an old HAProxy process carries and no one counts",
        "I3",
        P + "watch.py",
        "if idle and not changed else 0",
        "if idle else 0",
        f"{T}test_watch.py::test_idle_counts_readings_of_nothing_in_flight"
        "[another process answers on one of two endpoints]",
    ),
    Guard(
        "drained, the time of an old process",
        "the same, for as long as a request may take",
        "I3",
        P + "drain.py",
        "    return _hidden_until(plan, hand, service, now, service.timeout_s)\n",
        "    return _hidden_until(plan, hand, service, now, 0.0)\n",
        f"{T}test_watch.py::test_after_a_reload_nothing_is_believed_for_as_long_as_a_request_may_take",
    ),
    Guard(
        "drained, a young process at the first look",
        "the same after a resume, which never saw the old process",
        "I3",
        P + "watch.py",
        "        if known is None and resumed and pool.uptime_s is not None:\n",
        "        if False:\n",
        f"{T}test_watch.py::test_the_first_look_of_a_process_believes_its_uptime"
        "[a resume finds a process of 11 s: what was before is not known]",
    ),
    Guard(
        "a gap in time voids the streaks",
        "three readings of which two are from before the laptop slept",
        "I3, I4",
        P + "watch.py",
        "    if gap:\n",
        "    if False:\n",
        f"{T}test_watch.py::test_a_gap_voids_every_streak_and_keeps_what_is_known_of_the_balancers",
    ),
    Guard(
        "out on every endpoint, again before the stop",
        "stopping a node that a reload of its balancer put back in",
        "I3",
        GATES,
        '            if not seat.admin.out:\n                return Verdict("out"',
        '            if False:\n                return Verdict("out"',
        f"{T}test_gates.py::{STOP}[a member reads ready on one of two endpoints (a reload wiped the drain)]",
    ),
    Guard(
        "0 active, again before the stop",
        "a request that came in after the drain",
        "I3",
        GATES,
        "            if seat.active != 0 and not cut_allowed:\n",
        "            if False:\n",
        f"{T}test_gates.py::{STOP}[a request is in flight over the second endpoint]",
    ),
    Guard(
        "in doubt: look first",
        "acting on a write that has not landed yet, or lands later",
        "I3, I5",
        GATES,
        "    if doubts:\n",
        "    if False:\n",
        f"{T}test_gates.py::{STOP}[a write is in doubt]",
    ),
    Guard(
        "all gates again before the stop",
        "stopping a node on what was true minutes ago",
        "I1, I3",
        P + "drain.py",
        "    verdicts = gates.before_stop(plan, state, now, hand.name, at_s)\n",
        "    verdicts = gates.before_stop(plan, state, now, hand.name, at_s)[:0]\n",
        f"{T}test_gates.py::{STOP}[another node died meanwhile]",
    ),
    Guard(
        "fresh, 2 s",
        "stopping a node on readings from before the process was stopped",
        "I1, I3",
        GATES,
        'Verdict("fresh", age_s <= FRESH_S,',
        'Verdict("fresh", True,',
        f"{T}test_gates.py::test_a_node_is_stopped_only_on_readings_of_two_seconds",
    ),
    Guard(
        "fresh, once more in front of the restart",
        "the same, where the identity's answer took long",
        "I1, I3",
        E + "act.py",
        "        if age_s > FRESH_S:\n",
        "        if False:\n",
        f"{ENGINE}test_a_node_is_restarted_only_on_young_readings",
    ),
)

AFTER_THE_STOP = (
    Guard(
        "identity",
        "taking `exit 0` for a restart",
        "I9",
        P + "restart.py",
        " and identity.identity != hand.identity_before and",
        " and",
        f"{T}test_restart.py::test_proof[it ended well, and the identity is as before: exit 0 is no proof]",
    ),
    Guard(
        "still out while the node starts",
        "clients that a reload sends to a node that is starting",
        "I4",
        P + "restart.py",
        "    if wiped and _may_write(hand):\n",
        "    if False:\n",
        f"{OTHERS}test_a_mark_that_is_gone_after_the_stop[the node is down: the mark is written again]",
    ),
    Guard(
        "a mark that is gone is not written again where the node is needed",
        "an outage: draining the only node that serves",
        "I1",
        P + "drain.py",
        "        if not _serves_anyhow(plan, hand, write.member, now)\n",
        "        if write\n",
        f"{OTHERS}test_a_mark_that_is_gone_after_the_stop"
        "[the node is well again, and the only other is gone: it stays in]",
    ),
    Guard(
        "healthy, unbroken",
        "putting back a node that answers once and falls over",
        "I4",
        P + "restart.py",
        "    if since is not None and now.at_s - since >= plan.policy.healthy_for_s:\n",
        "    if since is not None:\n",
        f"{T}test_restart.py::test_health_is_every_service_without_a_break[every service for nine]",
    ),
    Guard(
        "healthy, not from before the restart",
        "believing what was heard of the JVM that is gone",
        "I4",
        P + "restart.py",
        "    return max(since, hand.healthy_started_s)\n",
        "    return since\n",
        f"{T}test_restart.py::test_health_from_before_the_restart_does_not_count",
    ),
    Guard(
        "healthy, up to the put-back",
        "putting back a node whose health broke again since",
        "I4",
        P + "next_step.py",
        "    return since is not None and now.at_s - since >= plan.policy.healthy_for_s\n",
        "    return True\n",
        f"{T}test_put_back.py::test_a_node_that_was_stopped_goes_back_only_while_it_is_healthy"
        "[one failure since: the count begins anew]",
    ),
    Guard(
        "no put-back while a restart may be under way",
        "clients on a node that stops a moment later",
        "I4",
        P + "invariants.py",
        "    if hand.restart in (Restart.INTENT, Restart.BEGUN, Restart.UNFENCED):\n",
        "    if False:\n",
        f"{T}test_invariants.py::test_in_front_of_a_write[a node whose restart may be under way]",
    ),
    Guard(
        "out of maint through drain",
        "HAProxy sends clients at once after maint, before any check",
        "I4",
        P + "put_back.py",
        "    if through_checks and seat.admin is AdminState.MAINT:\n",
        "    if False:\n",
        f"{T}test_put_back.py::test_after_a_restart"
        "[a member in maint goes through drain first, so that its check comes first]",
    ),
    Guard(
        "the balancer's own check before ready",
        "the same",
        "I4",
        P + "put_back.py",
        "    if through_checks and patient and not serves(seat):\n",
        "    if False:\n",
        f"{T}test_put_back.py::test_after_a_restart[SCIM is on its way up: web waits for it]",
    ),
    Guard(
        "up where it was found ready",
        "going on while the balancer sends nobody to the node",
        "I1, I9",
        P + "put_back.py",
        "    if found.admin is AdminState.READY and (coming or",
        "    if False and (coming or",
        f"{T}test_put_back.py::test_after_a_restart[everything reads ready, and one is not up yet]",
    ),
    Guard(
        "as found, seen on every endpoint",
        "one endpoint of two on which the node stays out",
        "I8, I9",
        P + "put_back.py",
        '        return f"it can\'t be read: {seat.reason}" if touched(hand, member) else ""\n',
        '        return ""\n',
        f"{T}test_put_back.py::test_after_a_restart[everything reads ready, and one endpoint can't be read]",
    ),
    Guard(
        "another's member is left alone",
        "undoing what a person did during the run",
        "I8",
        P + "put_back.py",
        "    return given_back or seat.admin not in hand.wrote.get(member, frozenset())\n",
        "    return False\n",
        f"{T}test_put_back.py::test_after_a_restart[somebody put one member into maint since: it is left alone]",
    ),
    Guard(
        "a recover that is not finished says so",
        "`everything is as found` and no claim any more, with a node out",
        "I8, I9",
        P + "outcome.py",
        "    unread += _not_looked_at(plan, state)\n",
        "",
        f"{T}test_outcome.py::test_a_recover_that_did_not_come_to_a_node_never_says_that_all_is_well"
        "[it is asked to stop before it came to the node]",
    ),
    Guard(
        "a recover takes nothing out",
        "draining a node that only has to go back",
        "I1, I8",
        P + "next_step.py",
        "    if state.halt is not None or state.mode in BACK:\n",
        "    if state.halt is not None:\n",
        f"{T}test_order.py::test_recover_never_drains_or_restarts_a_node_that_it_goes_back_with",
    ),
)

CLAIM_AND_JOURNAL = (
    Guard(
        "the claim's four words, compared under the lock",
        "an older holder that changes a claim which was raised",
        "I6",
        D + "claim_file.py",
        'if [ "$line" != "$expected" ]; then exit 11; fi\n',
        "",
        "tests/ssh/test_claim_file.py::test_a_claim_is_made_changed_and_removed",
    ),
    Guard(
        "a missing claim is never made by a change",
        "a claim that comes back after it was ended",
        "I6",
        D + "claim_file.py",
        'if [ ! -e "$file" ]; then exit 12; fi\n',
        'if [ ! -e "$file" ]; then mv -f -T "$tmp" "$file"; exit 10; fi\n',
        "tests/ssh/test_claim_file.py::test_a_claim_is_made_changed_and_removed",
    ),
    Guard(
        "the restart compares the claim under the lock",
        "a restart that was sent before a takeover, and lands after it",
        "I6",
        D + "restart_scripts.py",
        'if [ "$line" != "$expected" ]; then say fenced; exit 0; fi\n',
        "",
        "tests/ssh/test_restarter.py::test_another_token_is_fenced",
    ),
    Guard(
        "one restart for each token",
        "a second restart where the first answer was lost",
        "I2",
        D + "restart_scripts.py",
        'if [ -e "$mark.begun" ]; then say begun; exit 0; fi\n',
        "",
        "tests/ssh/test_restarter.py::test_begun_twice_runs_once",
    ),
    Guard(
        "the claim on every node, in front of each write",
        "taking a node out while a claim is gone or another's",
        "I2, I6",
        E + "claim.py",
        "        if taking_out:\n            return Confirmed(False, ",
        "        if False:\n            return Confirmed(False, ",
        f"{ENGINE}test_taking_a_node_out_needs_our_claim_on_every_node",
    ),
    Guard(
        "10 s between the reading of the claim and the send",
        "a write of a process that was stopped, after a takeover",
        "I6",
        E + "act.py",
        "            if self._clock.at_s() >= proof.until_s:\n",
        "            if False:\n",
        f"{ENGINE}test_a_write_that_would_be_sent_more_than_ten_seconds_after_the_claims_were_read_is_not_sent",
    ),
    Guard(
        "a takeover outwaits 10 s",
        "the same, from the other side",
        "I6",
        E + "takeover.py",
        "OUTWAIT_S = 10.0 ",
        "OUTWAIT_S = 0.0 ",
        f"{ENGINE}test_a_takeover_outwaits_the_last_writes_of_its_predecessor",
    ),
    Guard(
        "the beat is watched for 15 s",
        "taking over from a run that lives",
        "I6",
        E + "takeover.py",
        "BEAT_WATCH_S = 15.0",
        "BEAT_WATCH_S = 1.0",
        f"{ENGINE}test_a_beat_that_comes_within_fifteen_seconds_is_a_life",
    ),
    Guard(
        "one takeover at a time",
        "two operators that recover at once",
        "I2, I6",
        E + "takeover.py",
        "        if there is None or _identity(there) != _identity(copy):\n",
        "        if there is None:\n",
        f"{ENGINE}test_a_takeover_meets_another_and_refuses",
    ),
    Guard(
        "resume knows all that was done",
        "a resume that forgets what a recover left out, and removes the claim",
        "I8, I9",
        E + "session.py",
        "    _refuse_if_recovered(session, copies, run_id)\n",
        "",
        f"{ENGINE}test_resume_refuses_a_journal_that_a_recover_has_overtaken",
    ),
    Guard(
        "the intent before the write",
        "a member that is out and no journal that says so",
        "I5",
        E + "act.py",
        '                "write.intent",\n',
        '                "warning",\n',
        f"{ENGINE}test_what_could_not_be_made_durable_is_not_done",
    ),
    Guard(
        "the intent before the restart",
        "a node that is down and no journal that says so",
        "I5",
        E + "act.py",
        '            "restart.intent",\n',
        '            "warning",\n',
        f"{ENGINE}test_a_restart_whose_intent_could_not_be_made_durable_is_not_sent",
    ),
    Guard(
        "a write is done when it is seen",
        "believing a balancer's OK",
        "I3",
        E + "act.py",
        "            seen = self._see(write)\n",
        '            seen = ""\n',
        f"{ENGINE}test_a_write_is_done_only_when_the_new_state_is_seen",
    ),
    Guard(
        "a tampered journal is refused",
        "going on from a story that is not what happened",
        "I8",
        "rollsafe/journal/store.py",
        "    if not isinstance(body, str) or seal(previous, body) != digest:\n",
        "    if not isinstance(body, str):\n",
        "tests/journal/test_store.py::test_a_forgery_is_refused_aloud[a record changed]",
    ),
    Guard(
        "a journal that was cut off is refused",
        "the same, with its last records gone",
        "I8",
        "rollsafe/journal/store.py",
        '            raise _Broken(seq, "the end of the run is not what was written")\n',
        "            return\n",
        "tests/journal/test_store.py::test_a_forgery_is_refused_aloud[another end]",
    ),
)

INVARIANTS = {
    "I1": "Where the others suffice, our acts never bring a service below `min_ready` on any endpoint.",
    "I2": "At most one node is out by our hand, over all runs and machines.",
    "I3": "No stop unless every endpoint was read out after our last write, with SCIM idle.",
    "I4": "No put-back before all health gates pass, unless the node was never stopped.",
    "I5": "Every write has an earlier durable intent.",
    "I6": "An older epoch takes no node out, and restarts none whose claim was raised.",
    "I7": "No node is begun that can't be finished, or undone, before the window ends.",
    "I8": "Recover is idempotent, restores the state as found, and a second recover writes nothing.",
    "I9": "The exit code, `left_out` and `others` are the truth, as an outside observer sees it.",
}

CHAPTERS = {
    "Before a node is taken in hand": BEFORE_A_NODE,
    "While it is drained, until it is stopped": DRAINING,
    "After the stop, until it is back": AFTER_THE_STOP,
    "The claim and the journal": CLAIM_AND_JOURNAL,
}
GUARDS = tuple(guard for chapter in CHAPTERS.values() for guard in chapter)


def page() -> str:
    """The table as the page of the reference."""
    lines = [
        "# The guards",
        "",
        "What keeps a run safe, rule by rule. Each line was proved: with the guard taken away, the named test turns",
        "red. `scripts/mutate-guards` takes each away in a copy of the tree and runs that test; `make soak` does it",
        "for all of them. This page is made by `scripts/mutate-guards --page`.",
        "",
        "The invariants that they hold:",
        "",
        *(f"- **{number}** {words}" for number, words in INVARIANTS.items()),
    ]
    for title, guards in CHAPTERS.items():
        lines += ["", f"## {title}", "", "| guard | what it prevents | invariant | the test that turns red |"]
        lines.append("|---|---|---|---|")
        lines += [f"| {g.name} | {g.prevents} | {g.invariant} | {_told(g.test)} |" for g in guards]
    return "\n".join(lines) + "\n"


def _told(test: str) -> str:
    path, _, rest = test.partition("::")
    function, _, row = rest.partition("[")
    words = f": {row[:-1]}" if row else ""
    return f"`{path}`<br>`{function}`{words}"
