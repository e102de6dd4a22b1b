"""What one probe has sent and got back, put in order. Answers overtake one another; the ledger does not mind."""

from bisect import insort
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

from rollsafe.model.reading import Evidence, ProbeSample, ProbeSummary
from rollsafe.model.settings import ProbeSettings
from rollsafe.probes.batch import Batch, ProbeBatch
from rollsafe.probes.summary import Tally, fold, summarize

OVERDUE_S = 1.0  # past its time-out a request hangs where no time-out reaches (name resolution): it has failed

OnChange = Callable[[str, ProbeSummary, ProbeSample], None]


@dataclass(frozen=True, slots=True)
class Change:
    """A failed probe (`failed`), or the good one that ends an outage (`recovered`); `summary` is about the outage."""

    kind: str
    summary: ProbeSummary
    sample: ProbeSample


class Ledger:
    """Not safe for threads: its owner holds a lock."""

    def __init__(self, settings: ProbeSettings, begun_s: float) -> None:
        self._settings = settings
        self._patience_s = settings.timeout_s + OVERDUE_S
        self._final = Tally(settings.service, settings.name, begun_s)  # nothing sent earlier is still under way
        self._recent: list[ProbeSample] = []  # answered, while something sent earlier is not; in order of sending
        self._under_way: dict[int, tuple[float, float]] = {}  # ticket -> (due, sent)
        self._tickets = 0
        self._failing_s: float | None = None  # a failure that was sent then was told, and its end was not
        self._told = 0  # failures of that outage
        self._batch = Batch(settings)

    def sent(self, at_s: float, started_s: float) -> int:
        """A probe that was due `at_s` is sent now; the ticket names it."""
        self._tickets += 1
        self._under_way[self._tickets] = (at_s, started_s)
        return self._tickets

    def answered(self, ticket: int, sample: ProbeSample, now_s: float) -> list[Change]:
        """The probe has ended. One that was given up before counts no more."""
        if self._under_way.pop(ticket, None) is None:
            return []
        insort(self._recent, sample, key=lambda s: s.started_s)
        self._settle()
        return self._changes(sample, now_s)

    def give_up(self, now_s: float) -> list[Change]:
        """Count as failed what should have ended long ago."""
        changes = []
        for ticket, (at_s, started_s) in list(self._under_way.items()):
            if now_s - started_s > self._patience_s:
                changes += self.answered(ticket, self._overdue(at_s, started_s, now_s), now_s)
        return changes

    def summary(self, now_s: float) -> ProbeSummary:
        """What was seen so far."""
        return summarize(reduce(fold, self._recent, self._final), now_s)

    def batch(self) -> ProbeBatch | None:
        """What settled since the last call, for the journal; None where nothing did."""
        return self._batch.take()

    def close(self, now_s: float) -> list[Change]:
        """Nobody waits for an answer any more: what is under way counts no more, and nothing waits for it."""
        self._under_way.clear()
        self._settle()
        return self._recovery(now_s)

    def _settle(self) -> None:
        """Move on what nothing under way can overtake any more."""
        horizon_s = min((started_s for _, started_s in self._under_way.values()), default=float("inf"))
        while self._recent and self._recent[0].started_s <= horizon_s:
            sample = self._recent.pop(0)
            self._final = fold(self._final, sample)
            self._batch.add(sample)

    def _changes(self, sample: ProbeSample, now_s: float) -> list[Change]:
        failure = [] if sample.good else [self._failure(sample, now_s)]
        return failure + self._recovery(now_s)

    def _failure(self, sample: ProbeSample, now_s: float) -> Change:
        self._failing_s = min(sample.started_s, self._failing_s if self._failing_s is not None else sample.started_s)
        self._told += 1
        outage_s, summary = max(0.0, now_s - self._failing_s), self.summary(now_s)
        return Change("failed", replace(summary, outage_s=outage_s, failed_in_a_row=self._told), sample)

    def _recovery(self, now_s: float) -> list[Change]:
        """The end of what was told, once it is known: where requests hang, those sent after them are good long before
        the last of them has failed."""
        good_s, open_s = self._final.recovered_s, self._final.failing_since_s
        if self._failing_s is None or good_s is None or open_s is not None or not all(s.good for s in self._recent):
            return []
        summary = replace(self.summary(now_s), ended_outage_s=good_s - self._failing_s)
        self._failing_s, self._told = None, 0
        assert summary.last is not None
        return [Change("recovered", summary, summary.last)]

    def _overdue(self, at_s: float, started_s: float, now_s: float) -> ProbeSample:
        detail = f"hangs: no end after {now_s - started_s:.1f} s (time-out {self._settings.timeout_s:g} s)"
        evidence = Evidence(latency_s=now_s - started_s, detail=detail)
        service, name = self._settings.service, self._settings.name
        return ProbeSample(service, name, at_s, started_s, False, now_s - started_s, evidence)
