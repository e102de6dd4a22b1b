"""The geometry of the report's drawings: seconds and values become numbers for SVG. Bounded for any run."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from rollsafe.reporting.account import PHASES, Account, NodeAccount, Outage, ProbeView, Span
from rollsafe.reporting.sentences import GOOD_OUTCOMES
from rollsafe.reporting.words import clock_face, took

WIDTH = 1000.0
LEFT = 130.0  # room for names
NAME_CHARS = 18
RIGHT = 24.0
MOST_ROWS = 40  # with more nodes, neighbours share a row: they are restarted one after the other
BUCKETS = 500  # points of one curve: more than a screen shows
MOST_CURVES = 150
MOST_LEGEND = 40
MOST_BANDS = 200
LETTER = 6.6  # width of one, of a bar's label
PLOT_TOP, PLOT_HEIGHT = 32.0, 138.0  # of a curve

_NICE_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(slots=True)
class Bar:
    """One rectangle. `kind` is its colour's name, `words` tell it to those who see none; `label` is written in it."""

    kind: str
    x: float
    width: float
    words: str = ""
    label: str = ""
    inset: float = 0.0  # how much lower than its row it is, above and below


@dataclass(slots=True)
class Row:
    """One node, or one probe. `name` may be cut short; `whole` is not."""

    name: str
    y: float
    height: float
    bars: list[Bar] = field(default_factory=list)
    whole: str = ""


@dataclass(slots=True)
class Line:
    """One curve."""

    kind: str
    points: str
    words: str = ""


@dataclass(slots=True)
class Drawing:
    """One SVG. Ticks are (x, text), `levels` (y, text); `bands` are outages, drawn over all rows."""

    height: float
    ticks: list[tuple[float, str]]
    rows: list[Row] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    levels: list[tuple[float, str]] = field(default_factory=list)
    bands: list[Bar] = field(default_factory=list)
    split_y: float | None = None
    legend: list[tuple[str, str]] = field(default_factory=list)  # (kind, what it stands for)


def timeline(account: Account) -> Drawing:
    """The phases of each node, with the probes beneath on the same axis."""
    scale = _Scale(account.span_s)
    nodes = list(account.nodes.values())
    shared = -(-len(nodes) // MOST_ROWS) or 1  # nodes in one row
    height = 26.0 if shared == 1 else 18.0
    rows, y = [], 24.0
    for first in range(0, len(nodes), shared):
        lane = nodes[first : first + shared]
        bars = [bar for node in lane for bar in _node_bars(node, account, scale)]
        bars = bars if shared == 1 else _seen(bars)
        whole = lane[0].name if len(lane) == 1 else f"{lane[0].name} to {lane[-1].name}"
        rows.append(Row(_lane_name(lane), y, height, bars, whole))
        y += height + 4
    split_y = y + 4
    y += 12
    for probe in _probes(account):
        rows.append(Row(_short(probe), y, 18.0, _probe_bars(account, probe, scale), probe))
        y += 24
    bands = [_outage_bar(outage, account, scale) for outage in account.outages[:MOST_BANDS]]
    return Drawing(round(y + 6, 1), scale.ticks(), rows, bands=bands, split_y=split_y)


def sessions(account: Account) -> Drawing | None:
    """Active sessions falling, a curve for each member that was drained."""
    curves = [(key, curve.points) for key, curve in account.active.items() if curve.points][:MOST_CURVES]
    if not curves:
        return None
    scale = _Scale(account.span_s)
    most = _nice(max(2.0, *(value for _, points in curves for _, value in points)))
    lines = [
        Line(
            f"s{account.services.index(service) % 4 if service in account.services else 0}",
            scale.curve(points, most),
            f"{service or 'all services'} of {node}: {points[0][1]:.0f} falling to {points[-1][1]:.0f}",
        )
        for (node, service), points in curves
    ]
    legend = [(f"s{index % 4}", service) for index, service in enumerate(account.services)]
    levels = _levels([f"{most:.0f}", f"{most / 2:g}", "0"])
    return Drawing(180, scale.ticks(), lines=lines, levels=levels, legend=legend)


def latency(account: Account) -> Drawing | None:
    """How long good probes took: the worst of each moment."""
    known = [(probe, view.latency.points) for probe, view in account.views.items()]
    curves = [(probe, points) for probe, points in known if points][:MOST_CURVES]
    if not curves:
        return None
    scale = _Scale(account.span_s)
    most = _nice(max(0.002, *(value for _, points in curves for _, value in points)))
    lines = [
        Line(f"s{index % 4}", scale.curve(points, most), f"{probe}: at most {span(max(v for _, v in points))}")
        for index, (probe, points) in enumerate(curves)
    ]
    legend = [(f"s{index % 4}", probe) for index, (probe, _) in enumerate(curves)][:MOST_LEGEND]
    levels = _levels([span(most), span(most / 2), "0"])
    return Drawing(180, scale.ticks(), lines=lines, levels=levels, legend=legend)


def _levels(words: Sequence[str]) -> list[tuple[float, str]]:
    """Texts from the top of a curve's plot to its foot."""
    return [(PLOT_TOP + PLOT_HEIGHT * step / (len(words) - 1), text) for step, text in enumerate(words)]


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 10, 20 …: it and its half are round numbers."""
    power: float = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 10) if step * power >= value * 0.999)


def span(seconds: float) -> str:
    """A short length of time: `12 ms`, `1.2 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else took(seconds)


class _Scale:
    def __init__(self, span_s: float) -> None:
        self.span_s = span_s
        self._per_s = (WIDTH - LEFT - RIGHT) / span_s

    def x(self, at_s: float) -> float:
        return round(LEFT + min(max(at_s, 0.0), self.span_s) * self._per_s, 1)

    def bar(self, kind: str, start_s: float, end_s: float, words: str = "", least: float = 0.6) -> Bar:
        x = self.x(start_s)
        return Bar(kind, x, max(least, round(self.x(end_s) - x, 1)), words)

    def ticks(self) -> list[tuple[float, str]]:
        step = next((step for step in _NICE_STEPS if self.span_s / step <= 10), int(self.span_s / 8) or 1)
        return [(self.x(at), clock_face(at)) for at in range(0, int(self.span_s) + 1, step)]

    def curve(self, points: Sequence[tuple[float, float]], most: float) -> str:
        """`x,y x,y …`: the highest value of each bucket, so that no peak is lost. A lone point is told twice: a dot."""
        buckets: dict[int, tuple[float, float]] = {}
        for at_s, value in points:
            bucket = int(at_s / self.span_s * BUCKETS)
            if bucket not in buckets or value >= buckets[bucket][1]:
                buckets[bucket] = (at_s, value)
        top, height = PLOT_TOP, PLOT_HEIGHT
        told = [f"{self.x(at):g},{top + height * (1 - value / most):.4g}" for at, value in buckets.values()]
        return " ".join(told if len(told) > 1 else told * 2)


def _short(name: str) -> str:
    """The name, or so much of it as there is room for: the host without its domain, else its two ends."""
    if _fits(name):
        return name
    host, dot, _ = name.partition(".")
    if dot and not host.isdigit() and _fits(f"{host}…"):
        return f"{host}…"
    ends = NAME_CHARS // 2
    while ends > 1 and not _fits(f"{name[:ends]}…{name[-ends:]}"):
        ends -= 1
    return f"{name[:ends]}…{name[-ends:]}"


def _fits(name: str) -> bool:
    """Guessed: there is no font to measure with."""
    wide = sum(0.9 if letter in "MWmw@…" else 0.4 for letter in name if letter.isupper() or letter in "mw@…")
    return len(name) + wide <= NAME_CHARS


def _lane_name(lane: Sequence[NodeAccount]) -> str:
    if len(lane) == 1:
        return _short(lane[0].name)
    return f"{lane[0].name[: NAME_CHARS - 5]} … +{len(lane) - 1}"


def _seen(bars: list[Bar]) -> list[Bar]:
    """Those that can be told apart on a screen, and all that went wrong."""
    found, drawn_to = [], float("-inf")
    for bar in bars:
        if bar.words or bar.x + bar.width > drawn_to + 0.5:
            found.append(bar)
            drawn_to = max(drawn_to, bar.x + bar.width)
    return found


def _node_bars(node: NodeAccount, account: Account, scale: _Scale) -> list[Bar]:
    few = len(account.nodes) <= MOST_ROWS
    return [_span_bar(node, span, account, scale, worded=few) for span in _merged(node.spans)]


def _span_bar(node: NodeAccount, span: Span, account: Account, scale: _Scale, *, worded: bool) -> Bar:
    end_s = span.end_s if span.end_s is not None else account.span_s
    bad = span.end_s is None or span.outcome not in GOOD_OUTCOMES
    outcome = span.outcome or "no end on record"
    what = f"{span.step} {span.service}" if span.service else span.step
    words = f"{node.name}: {what} {took(end_s - span.start_s)}, {outcome}" if worded or bad else ""
    kind = span.step if span.step in PHASES else "other"
    bar = scale.bar(f"{kind} bad" if bad else kind, span.start_s, end_s, words)
    label = f"{span.step} ({span.service})" if span.service and bar.width > 20 * LETTER else span.step
    bar.label = label if worded and bar.width > (len(label) + 2) * LETTER else ""
    return bar


def _merged(spans: list[Span]) -> list[Span]:
    """Longer ones first, so that a step of one service is drawn over the step of the whole node."""
    return sorted(spans, key=lambda span: (span.start_s, -(span.took_s or 0.0)))


def _probes(account: Account) -> list[str]:
    known = dict.fromkeys([*account.views, *(outage.probe for outage in account.outages)])
    for service, seen in account.probes.items():
        if seen.get("probes") and not any(probe.split(" ")[0] == service for probe in known):
            known[service] = None
    return list(known)[:40]


def _probe_bars(account: Account, probe: str, scale: _Scale) -> list[Bar]:
    view = account.views.get(probe, ProbeView(""))
    bars = [scale.bar("good", begin, end, f"{probe}: asked from {clock_face(begin)} on") for begin, end in view.asked]
    for bar in bars:
        bar.inset = 5.0
    bars += [
        scale.bar("silent", begin, end, silence_words(probe, begin, end)) for begin, end in account.silences(probe)
    ]
    bars += [
        _outage_bar(outage, account, scale) for outage in [o for o in account.outages if o.probe == probe][:BUCKETS]
    ]
    pixels = sorted({scale.x(at_s) for at_s in view.failed_at})
    bars += [Bar("failed", x, 2.0, "") for x in pixels]
    return bars


def silence_words(probe: str, begin_s: float, end_s: float) -> str:
    """A hole in the rhythm, which is no success."""
    hole = f"nothing was asked for {took(end_s - begin_s)} from {clock_face(begin_s)} on"
    return f"{probe}: {hole}; what happened then was not seen"


def _outage_bar(outage: Outage, account: Account, scale: _Scale) -> Bar:
    end_s = outage.end_s if outage.end_s is not None else account.span_s
    open_end = "" if outage.end_s is not None else ", not seen to end"
    words = f"{outage.probe}: failed for {took(end_s - outage.start_s)}{open_end}. {outage.detail}"
    return scale.bar("outage", outage.start_s, end_s, words, least=2.0)
