"""Samples on their way to the journal: now and then one small summary for each probe, from which a report is drawn.

Bounded: however fast a probe asks, a batch of 15 s holds at most 40 good and 300 failed points, and its counts count
them all. Up to 10 Hz each failed probe has a point of its own.
"""

from dataclasses import dataclass, field

from rollsafe.model.reading import ProbeSample
from rollsafe.model.settings import ProbeSettings

EVERY_S = 15.0
MOST_POINTS = 40
FAILED_S = 0.05  # the shortest moment that has a failed point: half the interval at 10 Hz, for a rhythm is never exact
MOST_NODES = 50  # names that a response header told
SILENT_TURNS = 3  # a rhythm that missed so many turns (and a second) was broken
SILENT_S = 1.0


@dataclass(frozen=True, slots=True)
class ProbeBatch:
    """What one probe saw since the last batch. Times are seconds on the monotonic clock."""

    service: str
    name: str
    interval_s: float
    probes: int
    failed: int
    late_s: float  # the worst delay between due and sent
    good: tuple[tuple[float, float], ...]  # (sent, latency): the slowest of its moment
    failed_at: tuple[float, ...]  # sent: the first of its moment
    asked: tuple[tuple[float, float], ...]  # (from, to): spells of unbroken rhythm
    nodes: dict[str, tuple[int, float]]  # answering node -> (answers, when the last one was sent)


@dataclass(slots=True)
class Batch:
    """Collects settled samples, which come in the order in which they were sent."""

    settings: ProbeSettings
    _probes: int = 0
    _failed: int = 0
    _late_s: float = 0.0
    _good: dict[int, tuple[float, float]] = field(default_factory=dict)
    _failed_at: dict[int, float] = field(default_factory=dict)
    _asked: list[list[float]] = field(default_factory=list)
    _nodes: dict[str, tuple[int, float]] = field(default_factory=dict)

    def add(self, sample: ProbeSample) -> None:
        """Take one in."""
        sent_s = sample.started_s
        moment = int(sent_s / max(self.settings.interval_s, EVERY_S / MOST_POINTS))
        self._probes += 1
        self._late_s = max(self._late_s, sent_s - sample.at_s)
        self._spell(sent_s)
        if not sample.good:
            self._failed += 1
            self._failed_at.setdefault(int(sent_s / max(self.settings.interval_s / 2, FAILED_S)), sent_s)
        elif moment not in self._good or sample.latency_s > self._good[moment][1]:
            self._good[moment] = (sent_s, sample.latency_s)
        if sample.node and (sample.node in self._nodes or len(self._nodes) < MOST_NODES):
            self._nodes[sample.node] = (self._nodes.get(sample.node, (0, 0.0))[0] + 1, sent_s)

    def take(self) -> ProbeBatch | None:
        """What came since the last call; None where nothing did."""
        if not self._probes:
            return None
        settings = self.settings
        taken = ProbeBatch(
            settings.service,
            settings.name,
            settings.interval_s,
            self._probes,
            self._failed,
            self._late_s,
            tuple(self._good.values()),
            tuple(self._failed_at.values()),
            tuple((begin, end) for begin, end in self._asked),
            dict(self._nodes),
        )
        self._probes = self._failed = 0
        self._late_s = 0.0
        self._good, self._failed_at, self._nodes = {}, {}, {}
        self._asked = [[self._asked[-1][1]] * 2]  # the rhythm goes on from here
        return taken

    def _spell(self, sent_s: float) -> None:
        if not self._asked or sent_s - self._asked[-1][1] > max(SILENT_TURNS * self.settings.interval_s, SILENT_S):
            self._asked.append([sent_s, sent_s])
        self._asked[-1][1] = sent_s
