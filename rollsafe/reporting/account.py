"""What became of a run: the one view that the HTML, Markdown, JUnit and JSON reports share.

Everything here is bounded, so that the report of a thousand nodes stays small: tables keep the first rows, the last
rows and whatever went wrong; curves keep what a screen can show.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from rollsafe.model.wording import capital, in_a_row
from rollsafe.reporting.words import clock_face, took

MOST_SPELLS = 1000
END_S = 5.0  # a run tidies up for so long after its last probe
PHASES = ("drain", "restart", "healthy", "ready", "soak")

# Outcomes of a node, as the engine words them.
RESTARTED = "restarted"
NOT_BEGUN = "not begun"

_VERDICTS = {
    "done": "Every selected node was restarted, is healthy, and is as it was found.",
    "invalid": "The command, inventory or playbook is wrong. Nothing was touched.",
    "refused": "Refused: nothing was touched.",
    "stopped": "Stopped early. Every node that this run touched is as it was found.",
    "node-out": "A node is out of service. It needs a person.",
    "unknown": "A balancer or a node could not be read at the end. Look before doing anything.",
    "defect": "A defect of rollsafe, before its first write.",
    "": "This run has no end on record: its process was killed, or it still goes on. What it left is unknown: "
    "the command recover puts back what it took out.",
}
_WISHED = {"recover": {"put back"}, "ready": {"put back"}, "drain": {"drained"}}  # of a node, beside RESTARTED
_DONE = {  # of the commands that restart nothing
    "recover": "Everything is as it was found.",
    "drain": "The node is drained and out of service, because somebody said so.",
    "ready": "The node is healthy, and in service on every endpoint.",
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
class Landing:
    """What one endpoint counted for one member after it was put back. `requests` None: it does not count them."""

    service: str
    endpoint: str
    requests: float | None


@dataclass(slots=True)
class NodeAccount:
    """One node: what became of it, and its steps in order."""

    name: str
    outcome: str = ""
    message: str = ""
    out_of_service_s: float | None = None
    spans: list[Span] = field(default_factory=list)
    restart_proof: str = ""
    landings: list[Landing] = field(default_factory=list)
    watched_s: float | None = None  # for how long requests were counted after it was put back

    @property
    def restarted(self) -> bool:
        """Did all go as wanted?"""
        return self.outcome == RESTARTED

    @property
    def untouched(self) -> bool:
        """Was it never begun?"""
        return self.outcome == NOT_BEGUN or not (self.outcome or self.spans)

    @property
    def landed(self) -> str:
        """What reached it after it was put back, in words; empty where nobody looked."""
        if self.watched_s is None:
            return ""
        counted: dict[str, float | None] = {}
        for one in self.landings:
            before = counted.get(one.service, 0.0)
            counted[one.service] = None if before is None or one.requests is None else before + one.requests
        told = [f"{name} {'not counted' if n is None else f'{n:.0f}'}" for name, n in counted.items()]
        return f"{', '.join(told)} in {took(self.watched_s)}"

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
    found: str  # the state in which the run found it
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

    @property
    def words(self) -> str:
        """Its reason, and of a no the remedy: each a sentence."""
        return in_a_row(self.reason, "" if self.allowed else self.remedy)


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
class ProbeView:
    """What one probe saw, fit to be drawn, and how well its rhythm was kept."""

    service: str
    interval_s: float = 5.0
    probes: int = 0
    failed: int = 0
    late_s: float = 0.0  # the worst delay between due and sent
    latency: Curve = field(default_factory=Curve)
    failed_at: list[float] = field(default_factory=list)
    asked: list[list[float]] = field(default_factory=list)  # spells in which the rhythm was kept: [from, to]
    nodes: dict[str, float] = field(default_factory=dict)  # who answered, where a header tells -> when last

    def spell(self, begin_s: float, end_s: float) -> None:
        """Add a spell of unbroken rhythm; one that goes on from the last is part of it."""
        if self.asked and begin_s - self.asked[-1][1] <= max(3 * self.interval_s, 1.0):
            self.asked[-1][1] = max(end_s, self.asked[-1][1])
        elif len(self.asked) < MOST_SPELLS:
            self.asked.append([begin_s, end_s])

    def silences(self, end_s: float) -> list[tuple[float, float]]:
        """When nothing was asked although it was due: between two spells, and from the last one to the end."""
        holes = [(one[1], other[0]) for one, other in pairwise(self.asked)]
        last_s = self.asked[-1][1] if self.asked else 0.0
        return [*holes, (last_s, end_s)] if end_s - last_s > max(3 * self.interval_s, END_S) else holes

    def rhythm(self, end_s: float) -> str:
        """How well the rhythm was kept, in a sentence, so that a stalled prober can't look like success."""
        holes = self.silences(end_s)
        told = f"{self.probes} sent, one each {self.interval_s:g} s, at worst {self.late_s * 1000:.0f} ms late"
        if not holes:
            return f"{told}; the rhythm was never broken"
        silent_s, first_s = sum(end - begin for begin, end in holes), holes[0][0]
        when = (
            f"from {clock_face(first_s)} on"
            if len(holes) == 1
            else f"in {len(holes)} holes, from {clock_face(first_s)} on"
        )
        return f"{told}; but nothing was asked for {took(silent_s)} {when}: what happened then was not seen"


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
    active: dict[tuple[str, str], Curve] = field(default_factory=dict)  # (node, service)
    views: dict[str, ProbeView] = field(default_factory=dict)  # probe
    left_out: list[dict[str, str]] = field(default_factory=list)
    others: list[dict[str, str]] = field(default_factory=list)
    changed: list[dict[str, str]] = field(default_factory=list)
    records: int = 0

    @property
    def verdict(self) -> str:
        """The run's meaning in a sentence."""
        if self.outcome == "done" and self.mode in _DONE:
            return _DONE[self.mode]
        return _VERDICTS.get(self.outcome, f"The run ended: {self.outcome}.")

    @property
    def said(self) -> list[str]:
        """The verdict, and what the run itself said at its end; of a run that is done, its own sentence is enough."""
        message = self.message
        if self._is_word(message.split(" ", 1)[0].rstrip(",:;")):
            message = capital(message)
        if self.outcome == "done":
            return [message or self.verdict]
        if self.refusals:
            return [self.verdict]
        return [self.verdict] + [message] * (message not in ("", self.verdict))

    def _is_word(self, first: str) -> bool:
        """Is it a word that may get a capital, and surely no name? Names are written as they are, also of nodes that
        this run never began."""
        known = {*self.nodes, self.cluster, *(one.get("node", "") for one in (*self.left_out, *self.others))}
        return first.isalpha() and first not in known

    def well(self, node: NodeAccount) -> bool:
        """Did the node come to what was ordered?"""
        return node.restarted or node.outcome in _WISHED.get(self.mode, ())

    @property
    def notable(self) -> list[Note]:
        """The notes; without the gates that refused a run, for then they are its verdict."""
        return [note for note in self.notes if not (note.kind == "gate.checked" and self.outcome == "refused")]

    @property
    def refusals(self) -> list[Gate]:
        """The gates that refused a run, where its own sentence is made of them alone: a list reads better than it."""
        closed = [gate for gate in self.gates if not gate.allowed] if self.outcome == "refused" else []
        return closed if len(closed) > 1 and all(gate.reason in self.message for gate in closed) else []

    @property
    def finished(self) -> bool:
        """Is its end on record?"""
        return bool(self.outcome)

    @property
    def mends(self) -> list[str]:
        """The commands that mend what was left out, each once."""
        return list(dict.fromkeys(one["mend"] for one in self.left_out if one.get("mend")))

    def landed(self, node: NodeAccount) -> str:
        """What reached a node after it was put back, in words: by the balancers' counts, and by a header of answers."""
        back_s = max((s.end_s for s in node.spans if s.step == "ready" and s.end_s is not None), default=float("inf"))
        seen = [probe for probe, view in self.views.items() if view.nodes.get(node.name, -1.0) >= back_s]
        return "; ".join([node.landed] * bool(node.landed) + [f"it answered the probe {probe}" for probe in seen])

    def silences(self, probe: str) -> list[tuple[float, float]]:
        """When a probe was not asked although it was due. Of a run without an end, the last batch may be missing."""
        view = self.views.get(probe)
        if view is None:
            return []
        return view.silences(self.duration_s if self.finished else 0.0)

    @property
    def rhythms(self) -> dict[str, str]:
        """How well each probe's rhythm was kept, in a sentence."""
        return {probe: view.rhythm(self.duration_s if self.finished else 0.0) for probe, view in self.views.items()}

    @property
    def late_s(self) -> float | None:
        """The worst delay of a probe, seconds; None where nothing was asked."""
        return max((view.late_s for view in self.views.values()), default=None)

    @property
    def span_s(self) -> float:
        """The length of the time axis, seconds; never 0."""
        return max(self.duration_s, 1.0)
