"""Every state that can be reached, the nearest first; and what a recover makes of each, were everybody dead in it."""

import time
from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.search.claim_operator import Program
from tests.search.claim_parts import READY, TICK, Broken, Node
from tests.search.claim_world import Rules

EVERYTHING = "none: every state was seen"
Mending = tuple[tuple[int | None, str, str], ...]  # of each node: its claim, its member, its JVM


class Limits(NamedTuple):
    """What may go wrong, and how much is looked at."""

    faults: int = 0  # a node is cut off, a claim is lost, an answer is lost, a command comes late
    stops: int = 0  # processes that are stopped, or killed
    most: int = 3_000_000
    cpu_s: float = 3600.0


@dataclass(slots=True)
class Seen:
    """What a search has seen."""

    states: int = 0
    steps: int = 0
    deep: int = 0  # all states that are so many steps away were seen
    worlds: int = 0  # different clusters, from each of which a recover was tried
    excused: int = 0  # late writes of a process that was stopped between its last look and the send
    bound: str = EVERYTHING
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = f"{self.states} states, {self.steps} steps, all within {self.deep} steps of the start"
        return f"{told}, {self.worlds} clusters recovered, {self.excused} late writes; bound: {self.bound}"


class Search:
    """One search. It ends at the first broken property, with the shortest way to it."""

    def __init__(self, cluster: tuple[str, ...], programs: tuple[Program, ...], limits: Limits) -> None:
        self._rules, self._limits = Rules(cluster, programs), limits
        self._mender = Mender(self._rules)
        self._seen = Seen()
        start = self._rules.first(limits.faults, limits.stops)
        self._known = {start}
        self._order = [start]
        self._parents = array("I", [0])

    def run(self) -> Seen:
        """Breadth first."""
        began_s, level_ends, place = time.process_time(), 1, 0
        while place < len(self._order) and not self._seen.broken:
            if place == level_ends:
                self._seen.deep += 1
                level_ends = len(self._order)
            self._expand(place)
            place += 1
            spent_s = time.process_time() - began_s
            if len(self._order) >= self._limits.most or spent_s > self._limits.cpu_s:
                self._seen.bound = f"{len(self._order)} states, {spent_s:.0f} s"
                break
        self._seen.states, self._seen.worlds = len(self._order), self._mender.worlds
        return self._seen

    def clusters(self) -> set[Mending]:
        """Every cluster that was reached: of each node its claim, its member, its JVM."""
        bits = {state & self._rules.layout.cluster for state in self._known}
        return {self._mender.world(it) for it in bits}

    def _expand(self, place: int) -> None:
        state, stain = self._order[place], self._rules.layout.stain
        for word, after in self._rules.nexts(state):
            self._seen.steps += 1
            if isinstance(after, Broken):
                self._broke(str(after), [*self._way(place), word])
                return
            if after in self._known:
                continue
            self._known.add(after)
            self._order.append(after)
            self._parents.append(place)
            if stain.of(after):
                self._seen.excused += not stain.of(state)
            elif problem := self._mender.problem(after):
                self._broke(problem, [*self._way(place), word])
                return

    def _broke(self, problem: str, way: list[str]) -> None:
        self._seen.broken.append("\n  ".join([problem, *way]))
        self._seen.bound = "a broken property"

    def _way(self, place: int) -> list[str]:
        """The names of all that happened on the way to this state."""
        words = []
        while place:
            parent = self._parents[place]
            state = self._order[place]
            words.append(next(word for word, after in self._rules.nexts(self._order[parent]) if after == state))
            place = parent
        return words[::-1]


class Mender:
    """I8, and liveness: everybody is dead from here on; the nodes are reached and come up; a recover, then another."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._alone = [
            Rules(rules.cluster, (Program(name, "recover"),), rules.records)
            for name in ("a recover", "another recover", "a last recover")
        ]
        self._looked: dict[int, str] = {}
        self._tried: dict[Mending, str] = {}

    @property
    def worlds(self) -> int:
        """How many different clusters were mended."""
        return len(self._tried)

    def world(self, state: int) -> Mending:
        """What a recover finds in this state."""
        return tuple((n.claim, n.seat, n.jvm) for n in self._rules.nodes_of(state))

    def problem(self, state: int) -> str:
        """What a recover can't mend here; empty where it mends all."""
        bits = state & self._rules.layout.cluster
        if bits not in self._looked:
            world = self.world(bits)
            if world not in self._tried:
                self._tried[world] = self._tried_on(world)
            self._looked[bits] = self._tried[world]
        return self._looked[bits]

    def _tried_on(self, world: Mending) -> str:
        try:
            return self._mended(world)
        except Broken as broken:
            return str(broken)

    def _mended(self, world: Mending) -> str:
        nodes = tuple(Node(claim, (), seat, jvm) for claim, seat, jvm in world)
        after, wrote = self._recover(0, nodes)
        if self._claimed(after) or any(node.seat != READY for node in after):
            return f"I8: a recover leaves {_short(after)} of {_short(nodes)}, having written {wrote}"
        for turn in (1, 2):
            _, more = self._recover(turn, after)
            if more:
                return f"I8: a further recover writes {more}"
        return ""

    def _claimed(self, nodes: tuple[Node, ...]) -> bool:
        """Does a claim stand in anybody's way? One that is done does not."""
        return any(node.claim is not None and not self._rules.records[node.claim].done for node in nodes)

    def _recover(self, turn: int, nodes: tuple[Node, ...]) -> tuple[tuple[Node, ...], list[str]]:
        """One recover that nobody disturbs: the nodes after it, and what it wrote."""
        alone, writes = self._alone[turn], []
        name = alone.programs[0].name
        state = alone.first(nodes=nodes)
        for _ in range(500):
            if alone.layout.rests[0].of(state) == alone.processes.ended[0]:
                return alone.nodes_of(state), writes
            # what the JVMs do first, then what the process does, then time
            word, after = min(alone.nexts(state), key=lambda it: (it[0] == TICK, it[0].startswith(name)))
            if " write " in word:
                writes.append(word)
            if isinstance(after, Broken):
                raise Broken(f"{after}, by {word}")
            state = after
        raise AssertionError("a recover does not end")


def _short(nodes: tuple[Node, ...]) -> list[tuple[int | None, str, str]]:
    return [(node.claim, node.seat, node.jvm) for node in nodes]


def search(cluster: tuple[str, ...], programs: tuple[Program, ...], limits: Limits) -> Seen:
    """Search every interleaving of these processes on this cluster."""
    return Search(cluster, programs, limits).run()
