"""Many samples as one summary. Pure: a fold over samples in the order in which they were sent.

An outage lasts from the moment the first failed probe was sent to the moment the next good one was.
"""

from dataclasses import dataclass, replace

from rollsafe.model.reading import ProbeSample, ProbeSummary

REJECTIONS = frozenset({401, 403, 404})  # a credential or an address that is wrong: not repeated, but given up


@dataclass(frozen=True, slots=True)
class Tally:
    """What a summary is made from. Times are seconds on the monotonic clock."""

    service: str
    name: str
    begun_s: float  # when the watch began
    probes: int = 0
    failed: int = 0
    failed_in_a_row: int = 0
    most_failed_in_a_row: int = 0
    rejected: int = 0
    failing_since_s: float | None = None  # the first failed probe of the outage going on
    ended_outage_s: float = 0.0  # of the last that is over
    recovered_s: float | None = None  # when the good probe that ended it was sent
    longest_outage_s: float = 0.0  # of those that are over
    late_s: float = 0.0
    ended_s: float | None = None  # when the last answer came
    last: ProbeSample | None = None


def fold(tally: Tally, sample: ProbeSample) -> Tally:
    """The tally after one more sample, which was sent after all the former ones."""
    ended_s = sample.started_s + sample.latency_s
    tally = replace(
        tally,
        probes=tally.probes + 1,
        late_s=max(tally.late_s, sample.started_s - sample.at_s),
        ended_s=ended_s if tally.ended_s is None else max(tally.ended_s, ended_s),
        last=sample,
    )
    if not sample.good:
        since_s = sample.started_s if tally.failing_since_s is None else tally.failing_since_s
        return replace(
            tally,
            failed=tally.failed + 1,
            failed_in_a_row=tally.failed_in_a_row + 1,
            most_failed_in_a_row=max(tally.most_failed_in_a_row, tally.failed_in_a_row + 1),
            rejected=tally.rejected + (sample.evidence.status in REJECTIONS),
            failing_since_s=since_s,
        )
    if tally.failing_since_s is None:
        return tally
    lasted_s = sample.started_s - tally.failing_since_s
    return replace(
        tally,
        failed_in_a_row=0,
        failing_since_s=None,
        ended_outage_s=lasted_s,
        recovered_s=sample.started_s,
        longest_outage_s=max(tally.longest_outage_s, lasted_s),
    )


def summarize(tally: Tally, now_s: float) -> ProbeSummary:
    """The tally as it looks at `now_s`: an outage that goes on has lasted until now."""
    outage_s = 0.0 if tally.failing_since_s is None else max(0.0, now_s - tally.failing_since_s)
    heard_s = tally.begun_s if tally.ended_s is None else tally.ended_s
    return ProbeSummary(
        service=tally.service,
        name=tally.name,
        probes=tally.probes,
        failed=tally.failed,
        failed_in_a_row=tally.failed_in_a_row,
        most_failed_in_a_row=tally.most_failed_in_a_row,
        rejected=tally.rejected,
        outage_s=outage_s,
        ended_outage_s=tally.ended_outage_s,
        longest_outage_s=max(tally.longest_outage_s, outage_s),
        late_s=tally.late_s,
        unread_for_s=max(0.0, now_s - heard_s),
        last=tally.last,
    )
