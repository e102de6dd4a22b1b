"""How much failure a probe may show, row by row."""

from typing import Any

import pytest

from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.planner.budget import judge_budget, quiet_limit_s, spent
from rollsafe.planner.readings import Budget, Level

FINE, HOLD, STOP = Level.FINE, Level.HOLD, Level.STOP
NOTHING: dict[str, Any] = {}
ROWS = {
    # the limits beyond the default of 15 s, what was seen: the answer
    "every answer was good": (NOTHING, {}, FINE, "0 of 50 failed"),
    "nothing was asked yet": (NOTHING, {"probes": 0}, HOLD, "nothing was asked yet"),
    "one failed long ago": (
        NOTHING,
        {"failed": 1, "longest_outage_s": 4},
        FINE,
        "1 of 50 failed, longest outage 4.0 s",
    ),
    "it fails just now": (
        NOTHING,
        {"failed": 2, "failed_in_a_row": 2, "outage_s": 6},
        HOLD,
        "failing for 6.0 s, 2 in a row",
    ),
    "an outage of exactly the limit": (NOTHING, {"failed": 3, "longest_outage_s": 15}, FINE, "longest outage 15.0 s"),
    "an outage past the limit": (
        NOTHING,
        {"failed": 4, "longest_outage_s": 15.1},
        STOP,
        "an outage of 15.1 s, at most",
    ),
    "one that is going on": (
        NOTHING,
        {"failed": 4, "failed_in_a_row": 4, "outage_s": 16, "longest_outage_s": 16},
        STOP,
        "an outage of 16.0 s and going on",
    ),
    "past the soft limit": ({"hold_outage_s": 5}, {"failed": 2, "longest_outage_s": 6}, HOLD, "no other node is begun"),
    "at the soft limit": ({"hold_outage_s": 5}, {"failed": 2, "longest_outage_s": 5}, FINE, "2 of 50"),
    "as many failures as allowed": ({"max_failures": 3}, {"failed": 3}, FINE, "3 of 50"),
    "one failure more": ({"max_failures": 3}, {"failed": 4}, STOP, "at most 3 are allowed (max_failures)"),
    "none is allowed, and one failed": ({"max_failures": 0}, {"failed": 1}, STOP, "at most 0"),
    "as many in a row as allowed": (
        {"max_failures_in_a_row": 2},
        {"failed": 2, "failed_in_a_row": 2},
        HOLD,
        "2 in a row",
    ),
    "a row that was over before anybody looked": (
        {"max_failures_in_a_row": 2},
        {"failed": 3, "most_failed_in_a_row": 3},
        STOP,
        "3 failed in a row",
    ),
    "as many rejections as allowed": (
        {"max_rejections": 1},
        {"failed": 3, "failed_in_a_row": 1, "rejected": 1},
        HOLD,
        "1 in a row",
    ),
    "one rejection where none is allowed": (
        {"max_rejections": 0},
        {"failed": 1, "rejected": 1},
        STOP,
        "1 got an unexpected 401, 403 or 404, none may (max_rejections)",
    ),
    "one rejection more": ({"max_rejections": 1}, {"failed": 2, "rejected": 2}, STOP, "2 got an unexpected"),
    "one in a row more": ({"max_failures_in_a_row": 2}, {"failed": 3, "failed_in_a_row": 3}, STOP, "3 failed in a row"),
    "silent for as long as may be": (NOTHING, {"unread_for_s": 22}, FINE, "0 of 50"),
    "silent for longer: a stalled prober is no success": (NOTHING, {"unread_for_s": 22.5}, HOLD, "the prober stalls"),
    "hard before soft": (
        {"max_failures": 1},
        {"failed": 9, "failed_in_a_row": 9, "outage_s": 9},
        STOP,
        "max_failures",
    ),
}


@pytest.mark.parametrize("row", ROWS)
def test_budget(row):
    limits, seen, level, words = ROWS[row]
    settings = ProbeSettings("scim", "outside", "https://scim.example.com", **limits)
    budget = judge_budget(settings, ProbeSummary("scim", "outside", **{"probes": 50, **seen}))
    assert budget.level is level
    assert words in budget.reason
    assert bool(budget.remedy) is (level is not FINE)


@pytest.mark.parametrize("failing_s", [0.0, 6.0])
def test_past_the_soft_limit_nobody_is_told_to_wait_for_what_never_opens(failing_s):
    settings = ProbeSettings("scim", "outside", "https://scim.example.com", hold_outage_s=5)
    seen = {"failed": 2, "longest_outage_s": 6.0, "outage_s": failing_s, "failed_in_a_row": 2 if failing_s else 0}
    budget = judge_budget(settings, ProbeSummary("scim", "outside", probes=50, **seen))
    assert budget.level is HOLD
    assert budget.remedy == (
        "it does not open in this run any more: see why https://scim.example.com failed before the next one"
    )
    assert "(hold_outage)" in budget.reason
    well = judge_budget(settings, ProbeSummary("scim", "outside", 50, 2, longest_outage_s=6.0))
    assert well.level is HOLD, "and indeed it answers again, and the gate is closed"


def test_the_worst_probe_counts():
    probes = [ProbeSettings(service, "p", "https://x") for service in ("scim", "web")]
    fine, failing = ProbeSummary("scim", "p", 50), ProbeSummary("web", "p", 50, 2, 2, outage_s=6)
    assert spent(probes, [failing, fine]) == judge_budget(probes[1], failing)
    assert spent([], []) == Budget()


def test_what_failed_is_told():
    sample = ProbeSample("scim", "outside", 0, 0, False, 0.1, Evidence(detail="connection refused"))
    seen = ProbeSummary("scim", "outside", 9, 1, 1, outage_s=2.0, longest_outage_s=2.0, last=sample)
    reason = judge_budget(ProbeSettings("scim", "outside", "https://x"), seen).reason
    assert reason == "the scim probe outside: failing for 2.0 s, 1 in a row: connection refused"


def test_a_probe_may_be_silent_for_its_time_out_two_turns_and_two_seconds():
    assert quiet_limit_s(ProbeSettings("scim", "p", "https://x", interval_s=5, timeout_s=10)) == 22
