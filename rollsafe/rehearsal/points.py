"""The points of a rehearsal: every place at which a run can die or a call can fail, read off the faultless run.

Points that can't differ are played once: crashes between the same two effects at the same moment; ways to fail that
tell a driver the same thing with the same truth behind it; and, in the default mode, repeated looks of one wait.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rollsafe.model.cluster import Cluster
from rollsafe.rehearsal.faults import SINGLE_WAYS, TOLD, CrashPoint, Fault, Way
from rollsafe.rehearsal.happen import EVENTS, Event
from rollsafe.rehearsal.operator import EFFECTS, Call, Mark, Operator

QUIET = frozenset({"step.waiting", "gate.checked"})  # records that come again and again while nothing changes
SIGNS = frozenset({"claim.made", "claim.changed", "step.started", "step.finished", "write.done", "restart.begun"})


@dataclass(frozen=True, slots=True)
class Point:
    """One variation of the faultless run. `stands_for` counts the points that can't differ from it, with itself."""

    kind: str  # crash, fault, event, pair, recover
    where: str
    crash: CrashPoint | None = None
    faults: tuple[Fault, ...] = ()
    event: Event | None = None
    recover_crash: CrashPoint | None = None
    recover_faults: tuple[Fault, ...] = ()
    stands_for: int = 1
    begins: int = 0  # after so many journal records: until then it is the faultless run

    def fresh_faults(self) -> list[Fault]:
        """The faults, unused."""
        return [replace(fault) for fault in self.faults]


@dataclass(frozen=True, slots=True)
class Track:
    """The faultless run, as the points need it."""

    calls: tuple[Call, ...]
    types: tuple[str, ...]  # of its records
    nodes: tuple[str | None, ...]  # of its records
    marks: tuple[Mark, ...]  # every place where it could have died
    stations: tuple[int, ...] = (0,)  # numbers of records, ascending, after which nothing is under way

    def station(self, records: int) -> int:
        """The last station that a run with so many records has passed."""
        return self.stations[bisect_right(self.stations, records) - 1]


def track_of(operator: Operator) -> Track:
    """Read off a traced run."""
    return Track(
        tuple(operator.log),
        tuple(record.type for record in operator.records),
        tuple(record.node for record in operator.records),
        tuple(operator.marks),
        (0, *operator.stations),
    )


def crashes(track: Track) -> list[Point]:
    """A crash before and after every journal record, and before and after every effect over a port."""
    points: dict[tuple[int, float], Point] = {}
    for mark in track.marks:
        same = (mark.effects, mark.at_s)
        if same in points:
            points[same] = replace(points[same], stands_for=points[same].stands_for + 1)
        else:
            where = f"{mark.crash}, {_after(track, mark.records)}"
            points[same] = Point("crash", where, crash=mark.crash, begins=_before(mark))
    return list(points.values())


def faults(track: Track, *, thorough: bool) -> list[Point]:
    """Every call over a port failing in every way; by default, repeated looks of one wait are one."""
    points: list[Point] = []
    seen: dict[tuple[object, ...], int] = {}
    for call in track.calls:
        situation = _situation(track, call.records)
        key = (*situation[:1], call.site) if not thorough else (call.index,)
        for ways in classes(call.site):
            full = (*key, ways)
            if full in seen:
                at = seen[full]
                points[at] = replace(points[at], stands_for=points[at].stands_for + len(ways))
                continue
            seen[full] = len(points)
            where = f"{call.site}: {ways[0].value}, {situation[2]}"
            fault = Fault(ways[0], call.index, call.site)
            points.append(Point("fault", where, faults=(fault,), stands_for=len(ways), begins=call.records))
    return points


def events(
    track: Track, cluster: Cluster, endpoints: Sequence[tuple[str, str]], *, thorough: bool = False
) -> list[Point]:
    """A thing that stays broken, or a reload, from each sign of progress on: of the first node, or of all."""
    points: list[Point] = []
    wanted = _wanted(cluster, track, thorough=thorough)
    done: set[int] = set()
    for call in track.calls:
        if call.records in done or call.records == 0 or track.types[call.records - 1] not in SIGNS:
            continue
        done.add(call.records)
        node = track.nodes[call.records - 1]
        if node not in wanted:
            continue
        hand = node or cluster.live_nodes[0].name
        points += [
            Point(
                "event",
                f"{event}, {_after(track, call.records)}",
                event=replace(event, at_call=call.index),
                begins=call.records,
            )
            for event in _events_for(hand, cluster, endpoints)
        ]
    return points


def _events_for(hand: str, cluster: Cluster, endpoints: Sequence[tuple[str, str]]) -> list[Event]:
    other = next((n.name for n in cluster.live_nodes if n.name != hand), hand)
    first = cluster.services[0].name
    targets = {
        "endpoint": [" ".join(key) for key in endpoints],
        "hand": [hand],
        "other": [other],
        "address": [first for probe in cluster.probes if probe.service == first][:1],
    }
    return [Event(kind, target) for kind, scope in EVENTS.items() for target in targets[scope]]


def pairs(track: Track, cluster: Cluster) -> list[Point]:
    """Two calls failing in one run, of the first node: the second is the next of its kind after the first."""
    wanted = _wanted(cluster, track, thorough=False)
    singles = [it for it in faults(track, thorough=False) if _situation(track, it.begins)[1] in wanted]
    sites = sorted({call.site for call in track.calls if _situation(track, call.records)[1] in wanted})
    points = []
    for first in singles:
        (fault,) = first.faults
        for site in sites:
            for ways in classes(site):
                second = Fault(ways[0], fault.at + 1, site)
                points.append(
                    Point(
                        "pair",
                        f"{first.where}; then {site}: {ways[0].value}",
                        faults=(fault, second),
                        stands_for=first.stands_for * len(ways),
                        begins=first.begins,
                    )
                )
    return points


def recoveries(crash: Point, track: Track) -> list[Point]:
    """After one crash, the recovery itself dies at each of its effects, and each of its calls fails in each way."""
    points: dict[tuple[object, ...], Point] = {}
    for mark in track.marks:
        where = f"{crash.where}, then recover dies {mark.crash}"
        point = replace(crash, kind="recover", where=where, recover_crash=mark.crash, stands_for=1)
        points.setdefault((mark.effects, mark.at_s), point)
    for call in track.calls:
        for ways in classes(call.site):
            where = f"{crash.where}, then in recover {call.site}: {ways[0].value}"
            point = replace(
                crash,
                kind="recover",
                where=where,
                recover_faults=(Fault(ways[0], call.index, call.site),),
                stands_for=1,
            )
            points.setdefault((_situation(track, call.records)[0], call.site, ways), point)
    return list(points.values())


def classes(site: str) -> list[tuple[Way, ...]]:
    """The ways to fail, those together that the caller can't tell apart and that leave the same truth.

    A question changes nothing, so that of it only counts whether it was answered, and when.
    """
    kind = site.partition(" ")[0]
    groups: dict[tuple[object, ...], list[Way]] = {}
    for way in SINGLE_WAYS:
        told = TOLD[way]
        effect, done = (told.effect, told.done) if kind in EFFECTS else (told.effect is None, None)
        groups.setdefault((effect, told.waits, done), []).append(way)
    return [tuple(group) for group in groups.values()]


def _situation(track: Track, records: int) -> tuple[int, str | None, str]:
    """Where a run with so many records stands: the number of telling ones, the node in hand, and words for people."""
    telling = [i for i in range(records) if track.types[i] not in QUIET]
    last = telling[-1] if telling else -1
    between = not telling or track.types[last] == "node.finished"
    node = None if between else track.nodes[last]
    return len(telling), node, _after(track, last + 1)


def _before(mark: Mark) -> int:
    """How many records there were before what the mark is before or after."""
    return mark.crash.index - 1 if mark.crash.kind == "record" else mark.records


def _after(track: Track, records: int) -> str:
    if records == 0:
        return "before the first record"
    node = track.nodes[records - 1]
    return f"after {track.types[records - 1]}" + (f" of {node}" if node else "")


def _wanted(cluster: Cluster, track: Track, *, thorough: bool) -> frozenset[str | None]:
    """Whose part of the run is played: the first node's, with what comes before it and after the last; or all."""
    names = [node.name for node in cluster.live_nodes]
    return frozenset({None, *(names if thorough else [_first(track) or names[0]])})


def telling(crashes: Sequence[Point], track: Track, *, thorough: bool) -> list[Point]:
    """The crashes whose recovery is itself made to fail: right after the restart was sent; or at every stage."""
    stages = {"restart.intent"} if not thorough else {"write.intent", "write.done", "restart.intent", "restart.done"}
    records = {mark.crash: mark.records for mark in track.marks}
    wanted = {node for node in track.nodes if node is not None} if thorough else {_first(track)}
    chosen: dict[tuple[str, str | None], Point] = {}
    for point in crashes:
        assert point.crash is not None
        last = records[point.crash] - 1
        if last >= 0 and track.types[last] in stages and track.nodes[last] in wanted:
            chosen[track.types[last], track.nodes[last]] = point  # the last one: whatever was sent is under way
    return list(chosen.values())


def _first(track: Track) -> str | None:
    return next((node for kind, node in zip(track.types, track.nodes, strict=True) if kind == "node.started"), None)
