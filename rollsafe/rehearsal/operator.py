"""One operator's machine: its clock, its calls over the ports (each may fail or be its last), and its journal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from rollsafe.errors import Effect, PortError
from rollsafe.model.claim import Token
from rollsafe.model.reading import PoolReading
from rollsafe.model.record import Record
from rollsafe.rehearsal.asking import CALL_S, Asking
from rollsafe.rehearsal.clock import START, Timeline
from rollsafe.rehearsal.faults import TOLD, Crash, CrashPoint, Endless, Fault, Told, Way

T = TypeVar("T")

EFFECTS = frozenset({"balancer.write", "claim.create", "claim.swap", "restarter.begin"})
LONGEST_S = 4 * 3600.0  # of simulated time; with the short times of a rehearsal a command that takes longer never ends
CALLS_AT_MOST = 50_000  # of one command: a long one makes some thousands


@dataclass(frozen=True, slots=True)
class Call:
    """One call over a port, as it was made: for enumerating the points of a run."""

    index: int
    site: str  # kind and target
    records: int  # how many journal records there were before it
    at_s: float


@dataclass(frozen=True, slots=True)
class Mark:
    """One place where the process could have died: how many effects and records there were, and when."""

    crash: CrashPoint
    effects: int
    records: int
    at_s: float


@dataclass(slots=True)
class Operator:
    """Everything that belongs to one process of rollsafe and dies with it."""

    name: str
    clock: "OperatorClock"
    faults: list[Fault] = field(default_factory=list)
    crash: CrashPoint | None = None
    pauses: dict[int, float] = field(default_factory=dict)  # call index -> seconds stopped just before its effect
    trace: bool = False
    born_s: float = 0.0  # when it began, on the timeline
    dead: bool = False
    calls: int = 0
    effects: int = 0
    done: int = 0  # effects that took place
    marks: list[Mark] = field(default_factory=list)  # where it could have died
    log: list[Call] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    stations: list[int] = field(default_factory=list)  # numbers of records after which nothing was under way
    seen: dict[tuple[tuple[str, str], str], tuple[float, PoolReading]] = field(default_factory=dict)
    wrote: dict[tuple[tuple[str, str], str, str], float] = field(default_factory=dict)
    token: Token | None = None  # what it wrote into a claim last
    stopped_until: float = 0.0
    endless: str = ""  # it was found to go on and on
    late: bool = False  # what happens now was sent long ago: it can't wait
    paused_in_call: bool = False  # this very call was stopped between its last look and its effect
    listeners: list[Callable[[Record], None]] = field(default_factory=list)
    hooks: list[Callable[[Call], None]] = field(default_factory=list)
    calm: Callable[[], bool] = lambda: True  # is nothing in the cluster slow just now?
    asking: Asking = field(init=False)
    _beating: bool = False

    def __post_init__(self) -> None:
        self.asking = Asking(self.clock.timeline, self._calm, self.alive)

    def call(
        self,
        kind: str,
        target: str,
        do: Callable[[], T],
        error: type[PortError],
        *,
        timeout_s: float,
        reach: str = "ok",
    ) -> T:
        """Make one call. Raises `error` where it fails, Crash where the process dies of it."""
        self.alive()
        self.calls += 1
        site = f"{kind} {target}"
        made = Call(self.calls, site, len(self.records), self.clock.timeline.now)
        if self.trace:
            self.log.append(made)
        for hook in self.hooks:
            hook(made)
        self.pass_time(CALL_S)
        self._stand_still()
        self.alive()
        if reach != "ok":
            raise self._unreachable(site, error, reach, timeout_s)
        told = self._told(site)
        if kind in EFFECTS:
            self.effects += 1
            self._die("effect", self.effects, after=False)
        self._pause()
        self.paused_in_call |= self.stopped_until > made.at_s  # another call's pause stops this one, too
        if told is None:
            return self._after(kind, do())
        return self._fail(kind, site, do, error, told, timeout_s)

    def told(self, site: str) -> tuple[Way, Told] | None:
        """The fault that strikes a call that never raises (a health check), if any."""
        self.alive()
        self.calls += 1
        made = Call(self.calls, site, len(self.records), self.clock.timeline.now)
        if self.trace:
            self.log.append(made)
        self.pass_time(CALL_S)
        return self._told(site)

    def alive(self) -> None:
        """Raises Crash where the process is gone: the dead do nothing, whatever their `finally` says; and Endless where
        it never ends."""
        if self.endless:  # found out on one of its threads, it is true for all of them
            raise Endless(self.endless)
        if self.dead:
            raise Crash(self.name)
        lived_s = self.clock.timeline.now - self.born_s
        if self.calls > CALLS_AT_MOST or lived_s > LONGEST_S:
            self.dead = True
            self.endless = f"{self.name} has not ended after {lived_s:.0f} s and {self.calls} calls"
            raise Endless(self.endless)

    def pass_time(self, seconds: float) -> None:
        """Time that this process spends."""
        self.asking.pass_time(seconds)

    @property
    def aside_s(self) -> float:
        """How far the clock of a question is ahead of the timeline."""
        return self.asking.ahead_s

    def _calm(self, questions: int) -> bool:
        """Will the next calls all take their usual moment?"""
        soon = self.calls + 4 * questions
        if any(fault.times > 0 and fault.at <= soon for fault in self.faults):
            return False
        return not any(index <= soon for index in self.pauses) and self.calm()

    def quiet(self) -> bool:
        """Is no question and no beat under way?"""
        return self.asking.answered and not self._beating

    def beat(self, beat: Callable[[], None]) -> None:
        """Call the heart's beat: it never holds up anything else."""
        if self.dead or self.paused or self._beating:
            return
        if self.asking.idle and self._calm(8):
            self._beat(lambda: self.asking.inline(beat))
        else:
            self._beating = True
            self.clock.timeline.spawn(lambda: self._beat(beat))

    def _beat(self, beat: Callable[[], object]) -> None:
        try:
            beat()
        except (Crash, Endless):
            return  # the process died in its beat; what else it does, it does no more
        finally:
            self._beating = False

    def append(self, record: Record) -> None:
        """ports.JournalWriter: the record is durable when this returns."""
        self.alive()
        point = len(self.records) + 1
        self._die("record", point, after=False)
        self.records.append(record)
        self._die("record", point, after=True)
        if self.trace and self.clock.timeline.alone:
            self.stations.append(point)
        for hear in self.listeners:
            hear(record)

    def sleep(self, seconds: float) -> None:
        """The clock's sleep; a dead process never wakes."""
        self.alive()
        self.pass_time(seconds)
        self._stand_still()
        self.alive()

    def stop_for(self, seconds: float) -> None:
        """The process is stopped for so long (SIGSTOP): it does nothing, its heart and its probes neither."""
        timeline = self.clock.timeline
        self.stopped_until = max(self.stopped_until, timeline.now + seconds)
        self._stand_still()
        self.alive()

    @property
    def paused(self) -> bool:
        """Is the process stopped just now?"""
        return self.clock.timeline.now < self.stopped_until

    def _stand_still(self) -> None:
        if self.paused:
            self.asking.let_others_go_on()
        while self.paused:
            self.clock.timeline.pass_time(self.stopped_until - self.clock.timeline.now)

    def _told(self, site: str) -> tuple[Way, Told] | None:
        for fault in self.faults:
            if fault.strikes(self.calls, site):
                self.asking.odd_s = self.clock.timeline.now
                return fault.way, TOLD[fault.way]
        return None

    def _pause(self) -> None:
        self.paused_in_call = False
        seconds = self.pauses.pop(self.calls, 0.0)
        if seconds:
            self.paused_in_call = True
            self.stop_for(seconds)

    def _die(self, kind: str, index: int, *, after: bool) -> None:
        if self.trace:
            at_s = self.clock.timeline.now + self.aside_s
            self.marks.append(Mark(CrashPoint(kind, index, after), self.done, len(self.records), at_s))
        if self.crash == CrashPoint(kind, index, after):
            self.dead = True
            raise Crash(self.name)

    def _after(self, kind: str, answer: T) -> T:
        if kind in EFFECTS:
            self.done += 1
            self._die("effect", self.effects, after=True)
        return answer

    def _unreachable(self, site: str, error: type[PortError], reach: str, timeout_s: float) -> PortError:
        if reach == "hangs":
            self.pass_time(timeout_s)
            return error(f"{site}: no answer in {timeout_s:g} s", effect=Effect.UNKNOWN)
        return error(f"{site}: connection refused", effect=Effect.NONE)

    def _fail(
        self,
        kind: str,
        site: str,
        do: Callable[[], T],
        error: type[PortError],
        struck: tuple[Way, Told],
        timeout_s: float,
    ) -> T:
        way, told = struck
        answer: T | None = None
        if way is Way.SLOW:
            self.pass_time(told.waits * timeout_s)
            return self._after(kind, do())
        if told.done:
            answer = do()
        elif way is Way.LATE:
            self.clock.timeline.after(timeout_s + 3.0, lambda: self._late(do))
        self.pass_time(told.waits * timeout_s)
        self._after(kind, answer)
        self.asking.odd_s = self.clock.timeline.now
        raise error(f"{site}: {told.words}", effect=told.effect or Effect.UNKNOWN)

    def _late(self, do: Callable[[], object]) -> None:
        """What was sent long ago arrives after all; the answer reaches nobody."""
        self.late = True
        try:
            do()
        except PortError:
            return
        finally:
            self.late = False


class OperatorClock:
    """What one operator's machine says the time is (ports.Clock). Faults: a wall clock that is set, a machine that
    sleeps (its monotonic clock stands still), a process that is stopped (both clocks go on without it)."""

    def __init__(self, timeline: Timeline, start: datetime = START) -> None:
        self.timeline = timeline
        self.start = start
        self.wall_offset_s = 0.0
        self.slept_s = 0.0
        self.operator: Operator | None = None
        self._told: tuple[float, datetime] = (0.0, start)  # it is asked many times in one moment

    def now(self) -> datetime:
        """Wall time, UTC."""
        operator = self.operator
        at_s = self.timeline.now + self.wall_offset_s + (0.0 if operator is None else operator.aside_s)
        if at_s != self._told[0]:
            self._told = at_s, self.start + timedelta(seconds=at_s)
        return self._told[1]

    def monotonic(self) -> float:
        """Seconds that never go back."""
        operator = self.operator
        return self.timeline.now - self.slept_s + (0.0 if operator is None else operator.aside_s)

    def sleep(self, seconds: float) -> None:
        """Pass the time. Raises Crash where the process dies meanwhile."""
        if self.operator is None:
            self.timeline.pass_time(seconds)
        else:
            self.operator.sleep(seconds)

    def jump_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock."""
        self.wall_offset_s += seconds

    def suspended(self, seconds: float) -> None:
        """The whole machine sleeps for so long: only the wall clock moves."""
        assert self.operator is not None
        self.operator.stop_for(seconds)
        self.slept_s += seconds


class SimHeart:
    """The claim's beat in its own rhythm (ports.Heart). It stops with its process, and stands still while that does."""

    def __init__(self, operator: Operator) -> None:
        self._operator = operator
        self._on = False

    def start(self, beat: Callable[[], None], every_s: float) -> None:
        """Begin to call `beat`."""
        self._on = True
        self._operator.clock.timeline.after(every_s, lambda: self._again(beat, every_s))

    def stop(self) -> None:
        """No more."""
        self._on = False

    def _again(self, beat: Callable[[], None], every_s: float) -> None:
        if self._on and not self._operator.dead:
            self._operator.beat(beat)
            self._operator.clock.timeline.after(every_s, lambda: self._again(beat, every_s))
