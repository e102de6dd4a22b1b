"""Samples folded into a summary; the ledger that puts answers in order."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.probes.ledger import OVERDUE_S, Ledger
from rollsafe.probes.summary import Tally, fold, summarize

SETTINGS = ProbeSettings("scim", "main", "https://scim.example.com", interval_s=1.0, timeout_s=3.0, max_outage_s=15.0)


def sample(started_s: float, good: bool, latency_s: float = 0.1, late_s: float = 0.0) -> ProbeSample:
    return ProbeSample("scim", "main", started_s - late_s, started_s, good, latency_s, Evidence(detail="refused"))


def summary_of(word: str, now_s: float) -> ProbeSummary:
    """One probe a second: `.` is good, `x` failed."""
    samples = [sample(float(i), letter == ".") for i, letter in enumerate(word)]
    return summarize(reduce(fold, samples, Tally("scim", "main", 0.0)), now_s)


@pytest.mark.parametrize(
    ("word", "failed", "row", "outage_s", "longest_s"),
    [
        ("....", 0, 0, 0.0, 0.0),
        (".x..", 1, 0, 0.0, 1.0),
        (".xx.", 2, 0, 0.0, 2.0),
        ("xxxx", 4, 4, 10.0, 10.0),
        (".xx.x", 3, 1, 6.0, 6.0),
        ("xxxxx.x.", 6, 0, 0.0, 5.0),
        ("", 0, 0, 0.0, 0.0),
    ],
)
def test_outages(word: str, failed: int, row: int, outage_s: float, longest_s: float) -> None:
    summary = summary_of(word, 10.0)
    assert (summary.probes, summary.failed, summary.failed_in_a_row) == (len(word), failed, row)
    assert (summary.outage_s, summary.longest_outage_s) == (outage_s, longest_s)


def test_rhythm_and_silence() -> None:
    tally = fold(Tally("scim", "main", 5.0), sample(6.0, True, latency_s=2.0, late_s=0.25))
    assert summarize(Tally("scim", "main", 5.0), 9.0).unread_for_s == 4.0
    assert summarize(tally, 9.0).unread_for_s == 1.0
    assert summarize(tally, 9.0).late_s == 0.25


@pytest.mark.parametrize(
    ("status", "good", "rejected"), [(401, False, 1), (404, False, 1), (503, False, 0), (401, True, 0)]
)
def test_an_answer_that_tells_an_identity_provider_to_give_up_is_counted(
    status: int, good: bool, rejected: int
) -> None:
    one = ProbeSample("scim", "main", 6.0, 6.0, good, 0.1, Evidence(status))
    assert summarize(fold(Tally("scim", "main", 5.0), one), 9.0).rejected == rejected


_words = st.text(alphabet=".x", max_size=40)


@given(_words)
def test_the_longest_outage_is_the_longest_run_of_failures(word: str) -> None:
    runs = [len(run) for run in word.split(".")]
    closed = runs[:-1]  # followed by a good one, a second after the last failed one
    going_on = [runs[-1]] if runs[-1] else []
    assert summary_of(word, float(len(word))).longest_outage_s == max(closed + going_on, default=0)


@given(_words, st.randoms(use_true_random=False))
def test_answers_that_overtake_one_another_give_the_same_summary(word: str, chance: object) -> None:
    ledger = Ledger(SETTINGS, 0.0)
    samples = [sample(float(i), letter == ".", latency_s=1.0) for i, letter in enumerate(word)]
    tickets = [ledger.sent(s.at_s, s.started_s) for s in samples]
    order = list(zip(tickets, samples, strict=True))
    chance.shuffle(order)  # type: ignore[attr-defined]  # hypothesis' Random
    changes = [change for ticket, s in order for change in ledger.answered(ticket, s, float(len(word)))]
    now_s = float(len(word))
    expected = summarize(reduce(fold, samples, Tally("scim", "main", 0.0)), now_s)
    assert ledger.summary(now_s) == expected
    assert [c.sample for c in changes if c.kind == "failed"] == [s for _, s in order if not s.good]
    told_up = [change.kind for change in changes][-1:] != ["failed"]
    assert told_up or expected.failed_in_a_row > 0


def test_a_request_that_hangs_for_ever_has_failed() -> None:
    ledger = Ledger(SETTINGS, 0.0)
    hanging, next_one = ledger.sent(0.0, 0.0), ledger.sent(1.0, 1.0)
    ledger.answered(next_one, sample(1.0, True), 1.1)
    assert ledger.give_up(3.0 + OVERDUE_S) == []
    changes = ledger.give_up(3.1 + OVERDUE_S)
    assert [change.kind for change in changes] == ["failed", "recovered"]
    assert "hangs" in changes[0].sample.evidence.detail
    assert ledger.summary(9.0).longest_outage_s == 1.0
    assert ledger.answered(hanging, sample(0.0, True), 9.0) == []
    assert ledger.summary(9.0).probes == 2
