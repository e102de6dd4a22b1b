"""The world of the claim search: node disks, members, JVMs, and every process at one moment; and what may happen next.

A state is one whole number, made of the numbers of its parts, so that ten million of them fit into memory. What a
process and a node make of one another is worked out once by the real code, and looked up from then on.

A process that runs answers at once, whatever else happens in between; time goes by only where everybody waits. What is
slow was stopped: then all that was sent may still arrive at any later time, but nothing is thought about before it is
woken, and a killed process is one that is never woken.
"""

from collections.abc import Iterator
from typing import Any

from rollsafe.model.claim import Token
from tests.search.claim_operator import Program
from tests.search.claim_parts import (
    BACK,
    CHANGES,
    DRAIN,
    NEVER,
    READY,
    REMOTE,
    SENDS,
    TAKEN,
    TICK,
    Broken,
    Flying,
    Layout,
    Move,
    Node,
    Numbers,
    Processes,
)
from tests.search.claim_replay import FAR, NO_WORD, NOTHING_DONE, TOO_LATE, Ask, Records


class Rules:
    """What may happen in a state, and what must never be."""

    def __init__(self, cluster: tuple[str, ...], programs: tuple[Program, ...], records: Records | None = None) -> None:
        self.records = records if records is not None else Records()
        self.cluster, self.programs = cluster, programs
        self.processes = Processes(cluster, programs, self.records)
        self.nodes, self.flights = Numbers(), Numbers()
        self.layout = Layout(len(cluster), len(programs))
        self._place = {node: place for place, node in enumerate(cluster)}
        self._moves: dict[tuple[int, int, int], list[tuple[int, int, Ask, dict[int, tuple[Move, ...]]]]] = {}
        self._events: dict[tuple[int, int], tuple[tuple[str, int, int], ...]] = {}
        self._known: dict[int, str] = {}
        self._aged: dict[int, int] = {}
        self.flights.of(())
        # of two takeovers that are the same to the letter, the first to move is called the first
        self._after = {
            p: q for q in range(len(programs)) for p in range(q + 1, len(programs)) if _twins(programs[q], programs[p])
        }

    def first(self, faults: int = 0, stops: int = 0, nodes: tuple[Node, ...] | None = None) -> int:
        """Nothing has begun."""
        none = (NEVER,) * len(self.programs)
        state = (faults << self.layout.faults.shift) + (stops << self.layout.stops.shift)
        for place, field in enumerate(self.layout.nodes):
            node = Node() if nodes is None else nodes[place]
            state += self.nodes.of(node._replace(left=none)) << field.shift
        for number, field in zip(self.processes.first, self.layout.rests, strict=True):
            state += number << field.shift
        return state

    def nodes_of(self, state: int) -> tuple[Node, ...]:
        """The truth about every node."""
        return tuple(self.nodes[field.of(state)] for field in self.layout.nodes)

    # --- what may happen ---------------------------------------------------------------------------------------------

    def nexts(self, state: int) -> Iterator[tuple[str, "int | Broken"]]:
        """Every next state, with the name of what happened; or what was broken by it."""
        layout = self.layout
        stopped, stain = layout.stopped.of(state), layout.stain.of(state)
        hurry = False
        for process, field in enumerate(layout.rests):
            number = field.of(state)
            if number == self.processes.ended[process] or (stain and stain != process + 1):
                continue
            first = self._after.get(process)
            if first is not None and layout.rests[first].of(state) == self.processes.first[first]:
                continue
            still = (stopped >> process) & 1
            for move, after in self._answers(state, process, number, still):
                started = number != self.processes.first[process]
                hurry = hurry or (move.urgent and not still and started)
                yield move.word, after
            yield from self._stop_or_wake(state, process, number, still)
        if not stain:
            yield from self._node_events(state)
            yield from self._landings(state)
        if not hurry:
            after = self._later(state)
            if after != state:
                yield TICK, after

    def _answers(self, state: int, process: int, number: int, still: int) -> Iterator[tuple[Move, "int | Broken"]]:
        layout = self.layout
        faults, shift = layout.faults.of(state), layout.rests[process].shift
        key = (process, number, still)
        if key not in self._moves:
            asks = self.processes.open(number)
            self._moves[key] = [(self._place.get(ask.node, 0), place, ask, {}) for place, ask in asks]
        for where, place, ask, known in self._moves[key]:
            node = layout.nodes[where].of(state)
            moves = known.get(node)
            if moves is None:
                moves = known[node] = tuple(self._worked_out(process, number, still, place, ask, node))
            for move in moves:
                if move.cost > faults:
                    continue
                after = state + ((move.rest - number) << shift) + ((move.node - node) << layout.nodes[where].shift)
                if move.cost:
                    after -= move.cost << layout.faults.shift
                if move.flight is not None:
                    after = self._flown(after, move.flight)
                yield move, self._settled(state, after, process, move, where)

    def _settled(self, state: int, after: int, process: int, move: Move, where: int) -> "int | Broken":
        """What follows from it: is it allowed, and is the cluster as it must be?"""
        if move.judged:
            problem = self._judged(state, process, move.judged, where)
            if problem:
                return self._excused(state, after, process, problem) if move.judged in SENDS else Broken(problem)
        if move.rest == self.processes.ended[process]:
            after = self._gone(after, process)
        if (after ^ state) & self.layout.cluster and not self.layout.stain.of(after):
            problem = self._problem(after)
            if problem:
                return self._excused(state, after, process, problem) if move.judged in SENDS else Broken(problem)
        return after

    def _excused(self, state: int, after: int, process: int, problem: str) -> "int | Broken":
        """The one named write of a process that was stopped between its last look at the clock and the send. From then
        on only this process is followed: it must not write once more."""
        late = self.processes.rests[self.layout.rests[process].of(state)].age > 0
        lost = not all(self._is_of(node, process) for node in self.nodes_of(state))
        if not late or not lost or self.layout.stain.of(state):
            return Broken(problem)
        return after + ((process + 1) << self.layout.stain.shift)

    def _stop_or_wake(self, state: int, process: int, number: int, still: int) -> Iterator[tuple[str, int]]:
        layout, bit = self.layout, 1 << (self.layout.stopped.shift + process)
        if still:
            woken = self.processes.woken(number)
            after = state - bit + ((woken - number) << layout.rests[process].shift)
            yield f"{self.programs[process].name}: is woken", self._gone_if_ended(after, process)
        elif layout.stops.of(state) and number != self.processes.first[process]:
            yield f"{self.programs[process].name}: is stopped", state + bit - (1 << layout.stops.shift)

    def _gone_if_ended(self, state: int, process: int) -> int:
        ended = self.layout.rests[process].of(state) == self.processes.ended[process]
        return self._gone(state, process) if ended else state

    def _gone(self, state: int, process: int) -> int:
        """A process has ended: what the nodes told of it alone does not matter any more."""
        for field in self.layout.nodes:
            node: Node = self.nodes[field.of(state)]
            left = (*node.left[:process], NEVER, *node.left[process + 1 :])
            restarter = -1 if node.restarter == process else node.restarter
            kept = self.nodes.of(node._replace(left=left, restarter=restarter, cut=node.cut & ~(1 << process)))
            state += (kept - field.of(state)) << field.shift
        return state & ~(1 << (self.layout.stopped.shift + process))

    def _flown(self, state: int, flight: Flying) -> int:
        before = self.layout.flying.of(state)
        after = self.flights.of(tuple(sorted((*self.flights[before], flight), key=repr)))
        return state + ((after - before) << self.layout.flying.shift)

    def _landings(self, state: int) -> Iterator[tuple[str, "int | Broken"]]:
        """A late command arrives, unless its node is cut off or its lock is held."""
        field = self.layout.flying
        flying: tuple[Flying, ...] = self.flights[field.of(state)]
        for place, flight in enumerate(flying):
            where = self.layout.nodes[self._place[flight.ask.node]]
            number = where.of(state)
            node: Node = self.nodes[number]
            if node.jvm == "stops" or node.cut:
                continue
            rest = self.flights.of(flying[:place] + flying[place + 1 :])
            done, changed = self._under_lock(node, flight.process, flight.ask)
            after = state + ((rest - field.of(state)) << field.shift)
            after += (self.nodes.of(changed) - number) << where.shift
            judged = "begin" if done and flight.ask.kind == "begin" else ""
            problem = self._judged(state, flight.process, judged, self._place[flight.ask.node]) if judged else ""
            problem = problem or self._problem(after)
            word = f"{self.programs[flight.process].name}: late {flight.ask.kind} {flight.ask.node} → {done}"
            yield word, Broken(problem) if problem else after

    def _node_events(self, state: int) -> Iterator[tuple[str, "int | Broken"]]:
        faults = self.layout.faults
        for place, field in enumerate(self.layout.nodes):
            number = field.of(state)
            key = (place, number)
            if key not in self._events:
                self._events[key] = tuple(self._events_of(place, self.nodes[number]))
            for word, changed, cost in self._events[key]:
                if cost <= faults.of(state) and not (cost and self._is_last(state, place, changed)):
                    after = state + ((changed - number) << field.shift) - (cost << faults.shift)
                    problem = self._problem(after)
                    yield word, Broken(problem) if problem else after

    def _is_last(self, state: int, place: int, changed: int) -> bool:
        """Would no node tell of this run any more? Losing the claim on every node is outside of the protocol."""
        before, after = self.nodes[self.layout.nodes[place].of(state)], self.nodes[changed]
        if before.claim is None or after.claim is not None:
            return False
        lost = self.records[before.claim]
        others = [n.claim for i, n in enumerate(self.nodes_of(state)) if i != place and n.claim is not None]
        return not any(self._tells_as_much(self.records[other], lost) for other in others)

    @staticmethod
    def _tells_as_much(other: Any, lost: Any) -> bool:
        return other.token.run == lost.token.run and (lost.done or not other.done)

    def _events_of(self, place: int, node: Node) -> Iterator[tuple[str, int, int]]:
        name = self.cluster[place]
        if node.jvm == "stops":
            yield f"{name}: the restart's command ends", self.nodes.of(node._replace(jvm="down")), 0
        if node.jvm == "down":
            yield f"{name}: is healthy", self.nodes.of(node._replace(jvm="up")), 0
        if node.cut:
            yield f"{name}: is reached again", self.nodes.of(node._replace(cut=0)), 0
            return
        everybody = (1 << len(self.programs)) - 1
        yield f"{name}: is cut off from everybody", self.nodes.of(node._replace(cut=everybody)), 1
        for process, program in enumerate(self.programs):
            if len(self.programs) > 1:
                yield f"{name}: is cut off from {program.name}", self.nodes.of(node._replace(cut=1 << process)), 1
        if node.claim is not None:
            yield f"{name}: its claim is lost", self.nodes.of(node._replace(claim=None)), 1

    def _later(self, state: int) -> int:
        """5 s go by."""
        for field in self.layout.nodes:
            number = field.of(state)
            if number not in self._aged:
                node: Node = self.nodes[number]
                left = tuple(0 if self._is_of(node, p) else _older(age) for p, age in enumerate(node.left))
                self._aged[number] = self.nodes.of(node._replace(left=left))
            state += (self._aged[number] - number) << field.shift
        for field in self.layout.rests:
            number = field.of(state)
            state += (self.processes.older(number) - number) << field.shift
        return state

    # --- one process and one node ------------------------------------------------------------------------------------

    def _worked_out(
        self, process: int, number: int, still: int, place: int, ask: Ask, node_number: int
    ) -> Iterator[Move]:
        """Every answer to this question, as this node is."""
        node: Node = self.nodes[node_number]
        word = f"{self.programs[process].name}: {ask.kind} {ask.node} {ask.word}".rstrip()

        def move(how: str, changed: Node, value: Any, **more: Any) -> Move:
            heard = self.processes.heard(number, place, value)
            rest = heard if still else self.processes.woken(heard)
            return Move(f"{word} → {how}", self.nodes.of(changed), rest, **more)

        if ask.kind == "sleep":
            if self.processes.rests[number].age >= int(ask.word):
                yield move("over", node, None)
        elif ask.kind in REMOTE and node.cut >> process & 1:
            yield move("cut off", node, NOTHING_DONE)
        elif ask.kind in CHANGES:
            yield from self._changes(process, place, ask, node, move)
        elif ask.kind == "read":
            yield move(self._told(node), node, node.claim)
        elif ask.kind == "seat":
            yield move(node.seat, node, node.seat)
        elif ask.kind == "write":
            yield move("sent", node._replace(seat=ask.word), None, judged=ask.word)
        elif ask.kind == "healthy":
            if node.jvm == "up" and not node.cut >> process & 1:
                yield move("healthy", node, True, urgent=False)
            else:
                yield move("not in time", node, False, urgent=False)
        elif ask.kind == "outcome":
            how = "unchanged" if node.restarter != process else "healthy" if node.jvm == "up" else "ill"
            yield move(how, node, how, urgent=False)

    def _changes(self, process: int, place: int, ask: Ask, node: Node, move: Any) -> Iterator[Move]:
        if node.jvm == "stops":
            yield move("the lock is held", node, NOTHING_DONE)  # or it is waited for
        else:
            done, changed = self._under_lock(node, process, ask)
            judged = "begin" if done and ask.kind == "begin" else ""
            yield move(str(done), changed, done, judged=judged)
            if done:
                yield move("done, but no word", changed, NO_WORD, cost=1, judged=judged)
        flight = Flying(process, ask)
        yield move("on its way, but no word", node, NO_WORD, cost=1, flight=flight)
        if place != -1:
            yield move("on its way, and nobody waits", node, TOO_LATE, cost=1, flight=flight)

    def _under_lock(self, node: Node, process: int, ask: Ask) -> tuple[bool, Node]:
        """The one primitive: compare, then act."""
        there = None if node.claim is None else self.records[node.claim]
        if ask.kind == "create":
            return (True, self._carrying(node, ask.record)) if there is None else (False, node)
        if there is None or there.token != ask.token:
            return False, node
        if ask.kind == "begin":
            return True, node._replace(jvm="stops", restarter=process)
        return True, self._carrying(node, ask.record)

    def _carrying(self, node: Node, record: int | None) -> Node:
        changed = node._replace(claim=record)
        left = tuple(self._age(node, changed, p) for p in range(len(node.left)))
        return changed._replace(left=left)

    def _age(self, node: Node, changed: Node, process: int) -> int:
        """How long ago the claim here was this process's own, once it has changed."""
        if self._is_of(changed, process):
            made = changed.claim is not None and self.records[changed.claim].token.revision == 0  # a run that begins
            return BACK if node.left[process] >= TAKEN and not made else 0
        if not self._is_of(node, process):
            return node.left[process]
        return TAKEN if changed.claim is not None else 0

    def _told(self, node: Node) -> str:
        if node.claim is None:
            return "no claim"
        record = self.records[node.claim]
        token: Token = record.token
        return f"{token.run}/{token.epoch}/{token.holder}/{token.revision}" + (" done" if record.done else "")

    # --- what must never be ------------------------------------------------------------------------------------------

    def _judged(self, state: int, process: int, act: str, where: int) -> str:
        """May this process do this now? Empty where it may."""
        nodes = self.nodes_of(state)
        node, name = nodes[where], self.cluster[where]
        held = [it.left[process] % TAKEN < FAR or self._is_of(it, process) for it in nodes]
        if act == "begin":
            if node.seat == READY:
                return f"I3: {name} is stopped in service"
            return "" if self._is_of(node, process) else f"I6: {name} is restarted under another's claim"
        if act == DRAIN:
            return "" if all(held) else f"I6: {name} is taken out under another's claim"
        if not any(held):
            return f"I6: {name} is put back under another's claim"
        if self.programs[process].mode != "run" and node.left[process] == NEVER:
            return f"I6: {name} is put back by a takeover that never held its claim"
        return "" if node.jvm == "up" else f"I4: {name} is put back while it is not healthy"

    def _is_of(self, node: Node, process: int) -> bool:
        return node.claim is not None and bool(self.records[node.claim].token.holder == self.programs[process].name)

    def _problem(self, state: int) -> str:
        bits = state & self.layout.cluster
        if bits not in self._known:
            self._known[bits] = self._looked_at(self.nodes_of(state))
        return self._known[bits]

    def _looked_at(self, nodes: tuple[Node, ...]) -> str:
        out = [name for name, node in zip(self.cluster, nodes, strict=True) if is_out(node)]
        if len(out) > 1:
            return f"I2: {out} are out at once"
        again = [name for name, node in zip(self.cluster, nodes, strict=True) if BACK in node.left]
        if again:
            return f"I6: {again} carry a claim again that was taken over"
        claims = [self.records[node.claim] for node in nodes if node.claim is not None]
        if out and not any(out[0] in claim.entries and not claim.done for claim in claims):
            return f"I8: {out[0]} is out, and no claim tells of it any more"
        return ""


def _older(age: int) -> int:
    """5 s later."""
    return age if age in (NEVER, BACK) else age - age % TAKEN + min(age % TAKEN + 1, FAR)


def is_out(node: Node) -> bool:
    """Drained, or stopped."""
    return node.seat != READY or node.jvm != "up"


def _twins(one: Program, other: Program) -> bool:
    return one.mode == other.mode == "recover" and one._replace(name="") == other._replace(name="")
