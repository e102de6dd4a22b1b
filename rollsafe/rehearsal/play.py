"""Play one point: the run with its crash or fault, then recover from another machine, then recover once more."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from rollsafe.model.cluster import Cluster
from rollsafe.model.record import Record
from rollsafe.ports import World
from rollsafe.rehearsal.clock import START
from rollsafe.rehearsal.faults import Crash, Endless
from rollsafe.rehearsal.happen import Event, happen, mend
from rollsafe.rehearsal.judgement import Ended, judge
from rollsafe.rehearsal.operator import Call, Operator
from rollsafe.rehearsal.outside import Violation
from rollsafe.rehearsal.points import Point
from rollsafe.rehearsal.rejoin import Crossroads, Rejoined
from rollsafe.rehearsal.world import SimWorld

NAMED = re.compile(r"\b(I\d+): ")
RUN = "rehearsal"
FAULTLESS = Point("faultless", "the run without a fault")
RECOVERIES = 3  # a recovery may meet the fault itself; once the faults are over, one must do


class Execute(Protocol):
    """The engine, as the caller injects it: one command of an operator, to its last line."""

    def __call__(self, mode: str, operator: Operator, world: World, run: str) -> Ended:
        """`mode` is run, resume or recover. The operator is also the journal, and holds the records so far."""


@dataclass(slots=True)
class Played:
    """What became of one point."""

    point: Point
    run_exit: int | None = None  # None: it died
    recover_exits: list[int | None] = field(default_factory=list)
    as_found: bool = False
    least: dict[str, int] = field(default_factory=dict)
    failed_requests: int = 0
    cut: dict[str, int] = field(default_factory=dict)  # service -> requests cut
    violations: list[Violation] = field(default_factory=list)
    message: str = ""
    rejoined: bool = False
    calls: int = 0
    records: int = 0

    @property
    def recovered(self) -> bool:
        """Was a recovery needed?"""
        return bool(self.recover_exits)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every point is played on."""

    cluster: Cluster
    execute: Execute
    seed: int = 0
    start: datetime = START
    crossroads: Crossroads | None = None
    nodes: tuple[str, ...] = ()  # that the run restarts; none named is all


class _Actors:
    """One point's simulated cluster, and everybody in it."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.sim = SimWorld(stage.cluster, stage.seed, start=stage.start)
        self.first = self.sim.operator("runner")
        self.found = self.sim.state()
        self.take_up(FAULTLESS)

    def take_up(self, point: Point) -> None:
        """From now on it is this point that is played. It says itself when it `begins` at the latest."""
        self.point, self.played = point, Played(point)
        self.first.faults, self.first.crash = point.fresh_faults(), point.crash
        if point.event is not None:
            self.first.hooks.append(_striker(self.sim, point.event))

    def trace(self) -> None:
        """Keep the track of the run; where it is the faultless one, others may rejoin it."""
        self.first.trace = True
        if (road := self.stage.crossroads) is not None and self.point is FAULTLESS:
            road.asked = self.first.asking.asked = Counter()
            self.first.listeners.append(lambda record: road.remember(self.sim, self.first, record))

    def rejoin(self) -> None:
        """End where the faultless run is rejoined; for a point without an end of its own."""
        point, road = self.point, self.stage.crossroads
        if road is not None and point.event is None and point.crash is None:
            self.first.listeners.append(lambda record: road.recognize(self.sim, self.first, record))

    def go(self, mode: str, operator: Operator) -> Ended | None:
        """One command; None where the process died."""
        try:
            return self.stage.execute(mode, operator, self.sim.world(operator), RUN)
        except Crash:
            return None
        except Endless as endless:
            self.played.violations.append(Violation("I9", self.sim.timeline.now, f"{mode}: {endless}"))
            return None
        except Rejoined:
            self.played.rejoined = True
            return None
        finally:
            operator.dead = True  # the process is over in any case

    def restored(self) -> bool:
        """Is every member as it was found, and every node well?"""
        sim = self.sim
        same = sim.as_found() if self._reloads() else sim.state() == self.found
        return same and all(sim.outside.well(node) for node in sim.nodes.values())

    def _reloads(self) -> bool:
        event = self.point.event
        return event is not None and event.kind == "the balancer reloads"


def play(stage: Stage, point: Point) -> Played:
    """Play one point to its end."""
    actors = _Actors(stage)
    actors.take_up(point)
    actors.rejoin()
    try:
        return _play(actors)
    finally:
        actors.sim.close()


def walk(stage: Stage, points: Mapping[int, Sequence[Point]], fork: Callable[[Point], bool]) -> Played:
    """Play the faultless run, and fork at its stations: number of records -> the points that begin there.

    `fork` is os.fork, and says whether this is the child now: that one goes on with the point from where the faultless
    run stands, instead of from the beginning. Returns in each of these processes, with what that one played.
    """
    actors = _Actors(stage)

    def stop_over(_record: Record | None = None) -> None:
        if actors.point is not FAULTLESS:
            return
        if stage.crossroads is not None:
            stage.crossroads.follow(actors.first)
        for point in points.get(len(actors.first.records), ()):
            if fork(point):
                actors.take_up(point)
                actors.rejoin()
                return

    actors.first.listeners.append(stop_over)
    stop_over()
    return _play(actors)


def trace(stage: Stage, point: Point, mode: str = "run") -> tuple[Played, Operator]:
    """Play one point and keep its track: of the run, or of the recovery after it."""
    actors = _Actors(stage)
    actors.take_up(point)
    if mode == "run":
        actors.trace()
    try:
        played = _play(actors, trace_recover=mode == "recover")
    finally:
        actors.sim.close()
    return played, actors.sim.operators[0 if mode == "run" else 1]


def _play(actors: _Actors, *, trace_recover: bool = False) -> Played:
    sim, first = actors.sim, actors.first
    ended = actors.go("run", first)
    played = actors.played
    played.calls, played.records = first.calls, len(first.records)
    if ended is not None:
        played.run_exit, played.message = ended.exit_code, ended.message
        selected = actors.stage.nodes or [node.name for node in actors.stage.cluster.live_nodes]
        played.violations += judge(sim.outside, first, ended, selected=selected)
    played.violations += defects(first.records)
    if played.rejoined:
        played.run_exit, played.as_found = 0, True
        return _told(actors)
    if ended is None or ended.exit_code in (30, 40) or not _clear(sim):
        _recover(actors, trace_recover=trace_recover)
    else:
        _mended(sim)
    played.as_found = actors.restored()
    if not played.as_found:
        played.violations.append(Violation("I8", sim.timeline.now, f"not as found at the end: {_unlike(actors)}"))
    return _told(actors)


def _told(actors: _Actors) -> Played:
    sim, played = actors.sim, actors.played
    played.violations += sim.outside.violations
    played.least = dict(sim.outside.least)
    for request in sim.outside.cuts:
        played.cut[request.service] = played.cut.get(request.service, 0) + 1
    played.failed_requests = len(sim.outside.failures)
    return played


def _recover(actors: _Actors, *, trace_recover: bool) -> None:
    """Somebody mends what broke, and calls recover from another machine, until it says 0; then once more."""
    sim, played, point = actors.sim, actors.played, actors.point
    _mended(sim)
    for turn in range(RECOVERIES):
        crash = point.recover_crash if turn == 0 else None
        faults = [replace(fault) for fault in point.recover_faults] if turn == 0 else []
        operator = sim.operator(f"recovery{turn + 1}", faults=faults, crash=crash)
        operator.trace = trace_recover and turn == 0
        ended = actors.go("recover", operator)
        played.recover_exits.append(None if ended is None else ended.exit_code)
        played.violations += defects(operator.records)
        if ended is not None:
            played.violations += judge(sim.outside, operator, ended, mode="recover")
        if ended is not None and ended.exit_code == 0:
            break
        if ended is not None:
            played.message = ended.message
        if crash is None and not faults:
            text = f"recover ended with {ended.exit_code if ended else 'a crash'}: {ended.message if ended else ''}"
            played.violations.append(Violation("I8", sim.timeline.now, text))
            return
    _recover_once_more(actors)


def _mended(sim: SimWorld) -> None:
    """Time passes, somebody mends what broke, and it settles."""
    sim.timeline.pass_time(30.0)
    mend(sim)
    sim.timeline.pass_time(30.0)


def _recover_once_more(actors: _Actors) -> None:
    """I8: a second recover writes nothing."""
    sim, played = actors.sim, actors.played
    before = len(sim.outside.acts)
    ended = actors.go("recover", sim.operator("recovery-again"))
    if ended is None or ended.exit_code != 0 or len(sim.outside.acts) != before:
        text = f"a second recover did not find everything done: {ended.message if ended else 'it died'}"
        played.violations.append(Violation("I8", sim.timeline.now, text))


def defects(records: list[Record]) -> list[Violation]:
    """What the engine itself calls a defect, by the invariant that it names."""
    return [
        Violation(_named(r.message), r.at_s, r.message)
        for r in records
        if ("defect" in r.message and r.type in ("warning", "run.stopping"))
        or "invariant broke" in r.message
        or "longer than all its limits together" in r.message
    ]


def _named(message: str) -> str:
    named = NAMED.search(message)
    return named[1] if named else "defect"


def _clear(sim: SimWorld) -> bool:
    """Does no claim stand?"""
    return all(node.claim is None or node.claim.done for node in sim.nodes.values())


def _unlike(actors: _Actors) -> str:
    now = actors.sim.state()
    unlike = [f"{k[3]} in {k[2]} on {k[1]} is {v}" for k, v in now.items() if v != actors.found[k]]
    ill = [n.name for n in actors.sim.nodes.values() if not actors.sim.outside.well(n)]
    return "; ".join(unlike + [f"{name} does not serve" for name in ill])


def _striker(sim: SimWorld, event: Event) -> Callable[[Call], None]:
    def strike(call: Call) -> None:
        if call.index == event.at_call:
            happen(sim, event)

    return strike
