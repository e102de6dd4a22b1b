"""The parts of a state of the claim search: nodes, processes, commands on their way; each has a number."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from tests.search.claim_operator import END, Program, Rest, Step, first_rest, think
from tests.search.claim_replay import FAR, Ask, Records
from tests.search.claim_times import now_is_zero

READY, DRAIN = "ready", "drain"
TICK = "5 s go by"
CHANGES = ("create", "swap", "begin")  # what is done on a node, under its lock
REMOTE = ("read", *CHANGES)
SENDS = (READY, DRAIN)
NEVER = FAR + 1
TAKEN = 10  # added to an age: the claim was not removed or lost, but taken over
BACK = 99  # it was taken over from this process, which made it anew


class Node(NamedTuple):
    """The truth about one node."""

    claim: int | None = None
    left: tuple[int, ...] = ()  # for each process: ticks since the claim here was its own, or never
    seat: str = READY
    jvm: str = "up"  # up, stops (the command runs and holds the lock), down
    restarter: int = -1  # the process whose restart ran last
    cut: int = 0  # a bit for each process that does not reach it


class Flying(NamedTuple):
    """A command that was sent, and whose sender no longer waits: it may arrive at any time."""

    process: int
    ask: Ask


class Broken(Exception):
    """A property does not hold."""


class Move(NamedTuple):
    """An answer that one process may get from one node, and what both are after it."""

    word: str
    node: int
    rest: int
    cost: int = 0  # faults
    flight: Flying | None = None
    judged: str = ""  # what must be allowed: begin, drain, ready
    urgent: bool = True


class Numbers:
    """Things by number."""

    def __init__(self) -> None:
        self._numbers: dict[Any, int] = {}
        self._things: list[Any] = []

    def of(self, thing: Any) -> int:
        """The number of this thing."""
        found = self._numbers.setdefault(thing, len(self._things))
        if found == len(self._things):
            self._things.append(thing)
        return found

    def __getitem__(self, number: int) -> Any:
        return self._things[number]


@dataclass(frozen=True, slots=True)
class Field:
    """Where one part of a state sits in its number."""

    shift: int
    mask: int

    def of(self, state: int) -> int:
        """The part."""
        return (state >> self.shift) & self.mask


class Layout:
    """The parts of a state: nodes first, so that they are its lowest bits."""

    def __init__(self, nodes: int, processes: int) -> None:
        self._next = 0
        self.nodes = [self._field(20) for _ in range(nodes)]
        self.cluster = (1 << self._next) - 1
        self.rests = [self._field(22) for _ in range(processes)]
        self.flying = self._field(14)
        self.stopped = self._field(processes)
        self.stain = self._field(3)  # 1 + the process whose late write landed under another's claim
        self.stops, self.faults = self._field(3), self._field(3)

    def _field(self, bits: int) -> Field:
        field = Field(self._next, (1 << bits) - 1)
        self._next += bits
        return field


class Processes:
    """What each process at rest asks, and becomes: worked out once by the real code."""

    def __init__(self, cluster: tuple[str, ...], programs: tuple[Program, ...], records: Records) -> None:
        self.cluster, self.programs, self.records = cluster, programs, records
        self.rests = Numbers()
        self.first = tuple(self.rests.of(first_rest(program)) for program in programs)
        self.ended = tuple(self.rests.of(Rest(program, END)) for program in programs)
        self._asks: dict[int, tuple[tuple[int, Ask], ...]] = {}
        self._woken: dict[int, int] = {}
        self._places: dict[Any, int] = {}
        self._older: dict[int, int] = {}

    def asks(self, number: int) -> tuple[tuple[int, Ask], ...]:
        """What it waits for."""
        if number not in self._asks:
            self._asks[number] = think(self.rests[number], self.records, self.cluster).asks
        return self._asks[number]

    def woken(self, number: int) -> int:
        """It goes on with what it heard."""
        if number not in self._woken:
            rest = self.rests[number]
            step = think(now_is_zero(rest), self.records, self.cluster) if rest.heard else None
            self._woken[number] = number if step is None else self._alike(step)
        return self._woken[number]

    def _alike(self, step: Step) -> int:
        """The number of the first process that stood there, whatever way it came."""
        if step.place is None:
            return self.rests.of(step.rest)
        number = self._places.get(step.place)
        if number is None:
            number = self._places[step.place] = self.rests.of(step.rest)
            self._asks[number] = step.asks
        return number

    def heard(self, number: int, place: int, value: Any) -> int:
        """An answer has come in, and was not thought about yet."""
        rest = self.rests[number]
        if number in self.first:
            rest = think(rest, self.records, self.cluster).rest
        return self.rests.of(rest._replace(heard=tuple(sorted((*rest.heard, (place, value)), key=repr))))

    def open(self, number: int) -> tuple[tuple[int, Ask], ...]:
        """What it waits for still."""
        answered = {place for place, _ in self.rests[number].heard}
        return tuple((place, ask) for place, ask in self.asks(number) if place not in answered)

    def older(self, number: int) -> int:
        """Where it stands after 5 s."""
        if number not in self._older:
            rest = self.rests[number]
            fixed = number in self.first or number in self.ended
            self._older[number] = number if fixed else self.rests.of(rest._replace(age=min(rest.age + 1, FAR)))
        return self._older[number]
