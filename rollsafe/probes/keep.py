"""Memory that does not grow: thinned samples, and latencies as a histogram."""

import math
from dataclasses import dataclass

from rollsafe.model.reading import ProbeSample

KEPT_FAILED = 5000
KEPT_GOOD = 2000


class Thinned:
    """At most `limit` samples, spread evenly over all that came: each time it is full, every other one goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._stride = 1
        self._seen = 0
        self.samples: list[ProbeSample] = []

    def add(self, sample: ProbeSample) -> None:
        """Keep this one, or pass it by."""
        if self._seen % self._stride == 0:
            self.samples.append(sample)
            if len(self.samples) >= self._limit:
                self.samples = self.samples[::2]
                self._stride *= 2
        self._seen += 1


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """How long one probe's answers took, in seconds. Quantiles are right to a tenth of their value."""

    service: str
    name: str
    answers: int
    median_s: float
    p95_s: float
    p99_s: float
    max_s: float


class Latencies:
    """A histogram with buckets that grow by a tenth: 0.1 ms to 1000 s in 170 of them."""

    _BASE_S = 0.0001
    _GROWTH = math.log(1.1)
    _BUCKETS = 170

    def __init__(self) -> None:
        self._counts = [0] * self._BUCKETS
        self.answers = 0
        self.max_s = 0.0

    def add(self, latency_s: float) -> None:
        """Count one answer."""
        place = math.log(max(latency_s, self._BASE_S) / self._BASE_S) / self._GROWTH
        self._counts[min(int(place), self._BUCKETS - 1)] += 1
        self.answers += 1
        self.max_s = max(self.max_s, latency_s)

    def quantile(self, share: float) -> float:
        """The latency in seconds that `share` of the answers did not exceed; 0 where there were none."""
        wanted = share * self.answers
        seen = 0
        for place, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(self.max_s, self._BASE_S * math.exp((place + 1) * self._GROWTH))
        return self.max_s
