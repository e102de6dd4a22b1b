"""The rehearsal: the faultless run, then every point of it that can go wrong, each from a fresh simulated cluster."""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from rollsafe.errors import RollsafeError
from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import PlannedStep
from rollsafe.rehearsal import clock, points
from rollsafe.rehearsal.miniature import opening, shorten
from rollsafe.rehearsal.play import FAULTLESS, Execute, Played, Stage, play, trace, walk
from rollsafe.rehearsal.points import Point, Track
from rollsafe.rehearsal.rejoin import Crossroads
from rollsafe.rehearsal.report import Report

Progress = Callable[[int, int, str], None]  # points done, of how many, what is played now
MakeExecute = Callable[[Cluster, tuple[PlannedStep, ...], tuple[str, ...]], Execute]  # the last: nodes to restart
GONE_WITHIN_S = 10.0  # a process that was killed


class RehearsalBroke(RollsafeError):
    """The rehearsal itself could not go on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What is rehearsed. `nodes`: those that the run restarts, in this order; none named is all."""

    cluster: Cluster
    steps: tuple[PlannedStep, ...]
    make_execute: MakeExecute
    seed: int = 0
    thorough: bool = False
    nodes: tuple[str, ...] = ()

    @property
    def restarted(self) -> tuple[str, ...]:
        """The nodes that the run restarts."""
        return self.nodes or tuple(node.name for node in self.cluster.live_nodes)

    def stage(self) -> Stage:
        """The cluster in miniature, with the engine on it."""
        cluster, steps = shorten(self.cluster, self.steps)
        execute = self.make_execute(cluster, steps, self.restarted)
        return Stage(cluster, execute, self.seed, opening(cluster), Crossroads(), self.restarted)


def rehearse(piece: Piece, *, workers: int = 1, progress: Progress = lambda _done, _of, _what: None) -> Report:
    """Play everything. `workers` processes share the work; the result does not depend on how many there are.

    Raises RehearsalBroke where a worker process is gone.
    """
    report = Report(piece.cluster.name, piece.seed, piece.thorough, piece.restarted)
    progress(0, 0, "faultless")
    player = Player(piece)
    _begin(report, piece.cluster, player.faultless)
    if player.faultless.run_exit != 0:
        return report
    programme = programme_of(piece, player)
    for done, played in enumerate(player.play_all(programme, workers), start=1):
        report.add(played)
        progress(done, len(programme), played.point.kind)
    return report


def programme_of(piece: Piece, player: "Player") -> list[Point]:
    """Every point, the dear ones first."""
    cluster, thorough, track = piece.cluster, piece.thorough, player.track
    endpoints = [(b.name, e.url) for b in cluster.balancers for e in b.endpoints]
    crashes = points.crashes(track)
    programme = points.events(track, cluster, endpoints, thorough=thorough)
    programme += points.faults(track, thorough=thorough)
    programme += crashes
    for crash in points.telling(crashes, track, thorough=thorough):
        programme += points.recoveries(crash, player.recovery(crash))
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


class Player:
    """Plays points on its stage; the faultless run was on it first, so that others are known when they rejoin it."""

    def __init__(self, piece: Piece) -> None:
        self._stage = piece.stage()
        self.faultless, operator = trace(self._stage, FAULTLESS)
        self.track = points.track_of(operator)

    def recovery(self, crash: Point) -> Track:
        """The track of the recovery after a crash."""
        _, operator = trace(self._stage, crash, "recover")
        return points.track_of(operator)

    def play(self, point: Point) -> Played:
        """One point, from the beginning."""
        return play(self._stage, point)

    def play_all(self, programme: Sequence[Point], workers: int) -> Iterator[Played]:
        """All points, in the order in which they leave the faultless run, and each played from there only.

        Raises RehearsalBroke where a worker process is gone.
        """
        clock.dismiss()
        programme = sorted(programme, key=self._station)
        pipes: list[Connection] = []
        processes = [self._worker(programme[first::workers], pipes) for first in range(workers)]
        try:
            for index in range(len(programme)):
                yield _take(pipes[index % workers])
        finally:
            for process in processes:
                _end(process)
            for pipe in pipes:
                pipe.close()

    def _worker(self, share: Sequence[Point], pipes: list[Connection]) -> ForkProcess:
        """A forked process that plays its share; it ends with its work, or with whom it reports to."""
        ours, theirs = Pipe(duplex=False)
        pipes.append(ours)
        process = get_context("fork").Process(target=self._work, args=(share, theirs, tuple(pipes)), daemon=True)
        process.start()
        theirs.close()
        return process

    def _work(self, share: Sequence[Point], to: Connection, others: Sequence[Connection]) -> None:
        for other in others:
            other.close()
        os.setpgid(0, 0)  # with the children that it forks it is a group, which ends as one
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever reads the results ends this process,
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # and no handler of its own tells that as an interruption
        gc.collect()
        gc.freeze()
        gc.disable()  # each point's remains go with its process
        by_station: dict[int, list[Point]] = {}
        for point in share:
            by_station.setdefault(self._station(point), []).append(point)
        _play_share(self._stage, by_station, to)

    def _station(self, point: Point) -> int:
        return self.track.station(point.begins)


def _play_share(stage: Stage, by_station: Mapping[int, Sequence[Point]], to: Connection) -> None:
    """Returns in the worker; its children tell what they played, and end here."""
    taken_up: Point | None = None

    def fork(point: Point) -> bool:
        nonlocal taken_up
        clock.dismiss()
        child = os.fork()
        if child and os.waitpid(child, 0)[1]:
            os._exit(1)  # it broke; whoever reads the results is told by the end of the pipe
        taken_up = None if child else point
        return not child

    told: Played | str
    try:
        told = walk(stage, by_station, fork)
    except Exception as error:
        if taken_up is None:
            raise
        told = f"{taken_up.where}: {error!r}"  # a defect of the simulation: told where it is heard
    if taken_up is None:
        return
    with suppress(BrokenPipeError):
        to.send(told)
        os._exit(0)
    os._exit(1)


def _end(process: ForkProcess) -> None:
    """It holds nothing but memory, and no handler that it was forked with hears this."""
    assert process.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # its children, too
    process.kill()
    process.join(GONE_WITHIN_S)


def _take(pipe: Connection) -> Played:
    try:
        played = pipe.recv()
    except EOFError as error:
        text = (
            "A process of the rehearsal was killed, perhaps for lack of memory. Nothing real was touched. Try it again."
        )
        raise RehearsalBroke(text) from error
    if isinstance(played, Played):
        return played
    raise RehearsalBroke(f"A defect of the simulation, not of your inventory; nothing real was touched: {played}")
