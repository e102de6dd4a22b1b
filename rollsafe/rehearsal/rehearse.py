"""The rehearsal: the faultless run, then every point of it that can go wrong, each from a fresh simulated cluster."""

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import PlannedStep
from rollsafe.rehearsal import clock, points
from rollsafe.rehearsal.faults import CrashPoint
from rollsafe.rehearsal.miniature import opening, shorten
from rollsafe.rehearsal.play import Execute, Played, Stage, play, trace
from rollsafe.rehearsal.points import Point, Track
from rollsafe.rehearsal.rejoin import Crossroads
from rollsafe.rehearsal.report import Report

Progress = Callable[[int, int, str], None]  # points done, of how many, what is played now
MakeExecute = Callable[[Cluster, tuple[PlannedStep, ...]], Execute]
FAULTLESS = Point("faultless", "the run without a fault")
BATCH = 8
COLLECT_EVERY = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """What is rehearsed."""

    cluster: Cluster
    steps: tuple[PlannedStep, ...]
    make_execute: MakeExecute
    seed: int = 0
    thorough: bool = False

    def stage(self) -> Stage:
        """The cluster in miniature, with the engine on it."""
        cluster, steps = shorten(self.cluster, self.steps)
        return Stage(cluster, self.make_execute(cluster, steps), self.seed, opening(cluster), Crossroads())


def rehearse(piece: Piece, *, workers: int = 1, progress: Progress = lambda _done, _of, _what: None) -> Report:
    """Play everything. `workers` processes share the work; the result does not depend on how many there are."""
    report = Report(piece.cluster.name, piece.seed, piece.thorough)
    with _players(piece, workers) as players:
        progress(0, 0, "the run without a fault")
        faultless, track = players.trace(FAULTLESS, "run")
        _begin(report, piece.cluster, faultless)
        if faultless.run_exit != 0:
            return report
        programme = programme_of(piece, track, players)
        for done, played in enumerate(players.play(programme), start=1):
            report.add(played)
            progress(done, len(programme), played.point.kind)
    return report


def programme_of(piece: Piece, track: Track, players: "Players") -> list[Point]:
    """Every point, the dear ones first, so that no worker is left alone with them."""
    cluster, thorough = piece.cluster, piece.thorough
    endpoints = [(b.name, e.url) for b in cluster.balancers for e in b.endpoints]
    crashes = points.crashes(track)
    programme = points.events(track, cluster, endpoints, thorough=thorough)
    programme += points.faults(track, cluster, thorough=thorough)
    programme += crashes
    for crash in points.telling(crashes, track, thorough=thorough):
        _, recovery = players.trace(crash, "recover")
        programme += points.recoveries(crash, recovery)
    if thorough:
        programme += points.pairs(track, cluster)
    return programme


def _begin(report: Report, cluster: Cluster, faultless: Played) -> None:
    report.add(faultless)
    for service in cluster.services:
        report.members[service.name] = len(cluster.live_nodes) * len(service.pools)
    report.faultless = {
        "exit_code": faultless.run_exit,
        "message": faultless.message,
        "least_in_service": dict(faultless.least),
        "requests_cut": dict(faultless.cut),
        "calls": faultless.calls,
        "records": faultless.records,
    }


class Players:
    """Plays points in this process. Subclassed for several."""

    def __init__(self, piece: Piece) -> None:
        self._player = _Player(piece)

    def trace(self, point: Point, mode: str) -> tuple[Played, Track]:
        """One point with its track."""
        return self._player.trace(point, mode)

    def play(self, programme: Sequence[Point]) -> Iterable[Played]:
        """All points, in any order."""
        for point in programme:
            yield self._player.play(point)


class _Player:
    """One process's stage; the faultless run has been on it, so that others are recognized when they rejoin it."""

    def __init__(self, piece: Piece) -> None:
        self._stage = piece.stage()
        self._done = 0
        trace(self._stage, FAULTLESS)

    def trace(self, point: Point, mode: str) -> tuple[Played, Track]:
        played, operator = trace(self._stage, point, mode)
        return played, points.track_of(operator)

    def play(self, point: Point) -> Played:
        self._done += 1
        if self._done % COLLECT_EVERY == 0:
            gc.collect()
        return play(self._stage, point)


_worker: list[_Player] = []  # of a worker process: one


def _begin_worker(piece: Piece) -> None:
    clock.IDLE.clear()  # threads do not come along into a forked process
    gc.disable()  # thousands of short-lived worlds: collected now and then, all at once
    _worker[:] = [_Player(piece)]


def _trace_there(point: Point, mode: str) -> tuple[Played, Track]:
    return _worker[0].trace(point, mode)


def _play_there(point: Point) -> Played:
    return _worker[0].play(point)


@contextmanager
def _players(piece: Piece, workers: int) -> Iterator[Players]:
    if workers <= 1:
        yield Players(piece)
        return
    pool = get_context("fork").Pool(workers, _begin_worker, (piece,))

    class Several(Players):
        def __init__(self) -> None:
            pass

        def trace(self, point: Point, mode: str) -> tuple[Played, Track]:
            return pool.apply(_trace_there, (point, mode))

        def play(self, programme: Sequence[Point]) -> Iterable[Played]:
            return pool.imap_unordered(_play_there, programme, chunksize=BATCH)

    try:
        yield Several()
    finally:
        pool.terminate()
        pool.join()


def replay(piece: Piece, point: Point) -> Played:
    """Play one point again."""
    return play(piece.stage(), point)


__all__ = ["CrashPoint", "Piece", "Players", "Progress", "rehearse", "replay"]
