"""What the probes see, as records of the run: each failure at once, everything else in a batch now and then."""

from collections.abc import Callable, Sequence

from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import ProbeSample, ProbeSummary
from rollsafe.planner.readings import Budget, Level
from rollsafe.ports import Clock
from rollsafe.probes.batch import ProbeBatch


class ProbeNews:
    """Hears a watch, and writes into the log of a run until that run has ended."""

    def __init__(
        self, log: RunLog, clock: Clock, run_clock: RunClock, budget: Callable[[], Budget], wake: Callable[[], None]
    ) -> None:
        """`wake` ends the engine's pause: it is called once, when the `budget` is spent."""
        self._log, self._clock, self._run_clock = log, clock, run_clock
        self._budget, self._wake = budget, wake
        self._spent = False

    def changed(self, kind: str, summary: ProbeSummary, sample: ProbeSample) -> None:
        """A failed probe (`failed`), or the end of an outage (`recovered`)."""
        evidence = sample.evidence
        words = {
            "probe": sample.name,
            "status": evidence.status,
            "detail": evidence.detail,
            "latency_s": round(sample.latency_s, 3),
            "outage_s": round(summary.ended_outage_s if kind == "recovered" else summary.outage_s, 3),
            "failed_in_a_row": summary.failed_in_a_row,
        }
        if not self._spent and self._budget().level is Level.STOP:
            self._spent = True
            self._wake()
        text = evidence.detail or (f"HTTP {evidence.status}" if evidence.status else kind)
        self._log.note(f"probe.{kind}", text, service=sample.service, data=words)

    def seen(self, batches: Sequence[ProbeBatch]) -> None:
        """What was seen since the last call."""
        origin_s = self._clock.monotonic() - self._run_clock.at_s()
        count = sum(batch.probes for batch in batches)
        told = [batch_data(batch, origin_s) for batch in batches]
        self._log.note("probe.samples", f"{count} probes", data={"probes": told})


def batch_data(batch: ProbeBatch, origin_s: float) -> dict[str, object]:
    """A batch as JSON, on a clock that was 0 at `origin_s`."""

    def at(moment_s: float) -> float:
        return round(max(0.0, moment_s - origin_s), 3)

    return {
        "service": batch.service,
        "probe": batch.name,
        "interval_s": batch.interval_s,
        "probes": batch.probes,
        "failed": batch.failed,
        "late_s": round(batch.late_s, 3),
        "good": [[at(sent_s), round(latency_s, 4)] for sent_s, latency_s in batch.good],
        "failed_at": [at(sent_s) for sent_s in batch.failed_at],
        "asked": [[at(begin_s), at(end_s)] for begin_s, end_s in batch.asked],
        "nodes": {name: {"answers": count, "last_s": at(last_s)} for name, (count, last_s) in batch.nodes.items()},
    }
