"""What became of a run: the one view that the HTML, Markdown, JUnit and JSON reports share.

Everything here is bounded, so that the report of a thousand nodes stays small: tables keep the first rows, the last
rows and whatever went wrong; curves keep what a screen can show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PHASES = ("drain", "restart", "healthy", "ready", "soak")

# Outcomes of a node, as the engine words them.
RESTARTED = frozenset({"restarted", "done"})
UNTOUCHED = frozenset({"not begun", "not started", "untouched", "skipped"})

_VERDICTS = {
    "done": "Every selected node was restarted, is healthy, and is as it was found.",
    "invalid": "The command, inventory or playbook is wrong. Nothing was touched.",
    "refused": "Refused: nothing was touched.",
    "stopped": "Stopped early. Every node that this run touched is as it was found.",
    "node-out": "A node is out of service. It needs a person.",
    "unknown": "A balancer or a node could not be read at the end. Look before doing anything.",
    "defect": "A defect of rollsafe, before its first write.",
    "": "This run has no end on record: its process was killed, or it still goes on. Treat its state as unknown.",
}


@dataclass(slots=True)
class Span:
    """One step of one node. `end_s` None: it never ended."""

    step: str
    start_s: float
    end_s: float | None = None
    service: str | None = None
    outcome: str = ""
    message: str = ""

    @property
    def took_s(self) -> float | None:
        """How long it took, seconds."""
        return None if self.end_s is None else max(0.0, self.end_s - self.start_s)


@dataclass(slots=True)
class NodeAccount:
    """One node: what became of it, and its steps in order."""

    name: str
    outcome: str = ""
    message: str = ""
    out_of_service_s: float | None = None
    spans: list[Span] = field(default_factory=list)
    restart_proof: str = ""

    @property
    def restarted(self) -> bool:
        """Did all go as wanted?"""
        return self.outcome in RESTARTED

    @property
    def untouched(self) -> bool:
        """Was it never begun?"""
        return self.outcome in UNTOUCHED or not (self.outcome or self.spans)

    def phase_s(self, step: str) -> float | None:
        """The time from the step's first start to its last end, seconds."""
        spans = [span for span in self.spans if span.step == step]
        ends = [span.end_s for span in spans if span.end_s is not None]
        return max(ends) - min(span.start_s for span in spans) if ends else None


@dataclass(slots=True)
class Write:
    """One write to one endpoint: the intent, and what came of it."""

    seq: int
    at_s: float
    node: str
    service: str
    endpoint: str
    member: str
    found: str
    to: str
    why: str
    outcome: str = "in doubt"  # until its outcome is on record
    detail: str = ""
    took_s: float | None = None


@dataclass(slots=True)
class Gate:
    """One gate's answer; `times` it was the same in a row."""

    at_s: float
    node: str
    name: str
    allowed: bool
    reason: str
    remedy: str
    times: int = 1


@dataclass(slots=True)
class Note:
    """A signal, a warning, a hold: what a reader should not miss."""

    at_s: float
    kind: str
    text: str


@dataclass(slots=True)
class Outage:
    """From the first failed probe to the next good one. `end_s` None: it was never seen to end."""

    service: str
    probe: str
    start_s: float
    end_s: float | None = None
    failures: int = 1
    detail: str = ""


@dataclass(slots=True)
class Curve:
    """A bounded series of (seconds, value): when it is full, every second point goes."""

    points: list[tuple[float, float]] = field(default_factory=list)
    most: int = 1200
    _step: int = 1
    _seen: int = 0

    def add(self, at_s: float, value: float) -> None:
        """One point; the oldest detail makes room."""
        self._seen += 1
        if self._seen % self._step and value < (self.points[-1][1] if self.points else 0):
            return
        self.points.append((at_s, value))
        if len(self.points) > self.most:
            self.points = self.points[::2]
            self._step *= 2


@dataclass(slots=True)
class Account:
    """One run, whole."""

    run: str = ""
    cluster: str = ""
    mode: str = ""
    who: str = ""
    host: str = ""
    pid: str = ""
    reason: str = ""
    url: str = ""
    version: str = ""
    started: str = ""
    ended: str = ""
    estimate_s: float | None = None
    duration_s: float = 0.0
    outcome: str = ""
    exit_code: int | None = None
    message: str = ""
    services: tuple[str, ...] = ()
    nodes: dict[str, NodeAccount] = field(default_factory=dict)
    writes: list[Write] = field(default_factory=list)
    gates: list[Gate] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    probes: dict[str, Mapping[str, Any]] = field(default_factory=dict)  # service -> run.finished's numbers
    late_s: float | None = None  # the worst delay of a probe: how well the rhythm was kept
    active: dict[tuple[str, str], Curve] = field(default_factory=dict)  # (node, service)
    latency: dict[str, Curve] = field(default_factory=dict)  # probe
    failed_at: dict[str, list[float]] = field(default_factory=dict)  # probe -> failed samples
    left_out: list[dict[str, str]] = field(default_factory=list)
    others: list[dict[str, str]] = field(default_factory=list)
    records: int = 0

    @property
    def verdict(self) -> str:
        """The run's meaning in a sentence."""
        return _VERDICTS.get(self.outcome, f"The run ended: {self.outcome}.")

    @property
    def finished(self) -> bool:
        """Is its end on record?"""
        return bool(self.outcome)

    @property
    def mends(self) -> list[str]:
        """The commands that mend what was left out, each once."""
        return list(dict.fromkeys(one["mend"] for one in self.left_out if one.get("mend")))

    @property
    def span_s(self) -> float:
        """The length of the time axis, seconds; never 0."""
        return max(self.duration_s, 1.0)
