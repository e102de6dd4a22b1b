"""What the probes saw, as records: so that a report made later shows the same picture as the run's own."""

from collections.abc import Iterator, Sequence

from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import ProbeSample

IN_ONE_RECORD = 400


def keep_samples(log: RunLog, clock: RunClock, monotonic_s: float, samples: Sequence[ProbeSample]) -> None:
    """Write the samples that the watch kept. `monotonic_s`: the present, on the samples' own clock."""
    origin_s = monotonic_s - clock.at_s()
    for one, chunk in _chunks(samples):
        words = {
            "probe": one.name,
            "late_s": round(max(s.started_s - s.at_s for s in chunk), 3),
            "samples": [[round(s.at_s - origin_s, 3), s.good, round(s.latency_s, 4)] for s in chunk],
        }
        log.write("probe.samples", f"{len(chunk)} probes to draw", service=one.service, data=words)


def _chunks(samples: Sequence[ProbeSample]) -> Iterator[tuple[ProbeSample, Sequence[ProbeSample]]]:
    by_probe: dict[tuple[str, str], list[ProbeSample]] = {}
    for sample in samples:
        by_probe.setdefault((sample.service, sample.name), []).append(sample)
    for own in by_probe.values():
        for begin in range(0, len(own), IN_ONE_RECORD):
            yield own[0], own[begin : begin + IN_ONE_RECORD]
