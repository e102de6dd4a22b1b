"""What a run, a resume and a recover do with the claim, phase by phase: the real keeper and the real takeover, and
around them the order in which the engine calls them (engine/session.py, loop.py and act.py).

What the engine makes sure of besides is left out where that leaves more to happen: no beat is waited for before a
takeover, no gate is asked but the claim's, and a resume believes no journal.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from rollsafe.engine import takeover
from rollsafe.engine.claim import REUSE_S, ClaimKeeper, first_record
from rollsafe.engine.observe import WITHIN_S
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.undo import with_entry
from rollsafe.errors import ClaimError, Effect, Refused, ShellError
from rollsafe.model.claim import FoundMember, Who
from rollsafe.model.reading import AdminState, Found, Member
from rollsafe.planner.readings import Ours
from rollsafe.ports import World
from tests.search.claim_frames import Frames
from tests.search.claim_replay import Ask, Kept, Records, Script, Slot, Stuck, keep, ports, restore

END = "end of the process"
LAST = ("finish", "leave")
FIRST_EPOCH = 1  # all that the journal on the run's own machine knows of


class Program(NamedTuple):
    """What one process is about: `run` restarts its nodes one after the other, `resume` what is left of them, and
    `recover` puts back. Nodes that are forgotten are gone for ever, as the operator says."""

    name: str
    mode: str
    nodes: tuple[str, ...] = ()
    forget: frozenset[str] = frozenset()


class Memory(NamedTuple):
    """What a process carries from phase to phase."""

    kept: Kept | None = None
    left: tuple[str, ...] = ()  # nodes still to do; the first is in hand
    halted: bool = False  # no other node is begun
    blocked: bool = False  # a node's claim could not be raised


@dataclass(slots=True)
class Hands:
    """One process at work in one phase. A phase returns the name of the next."""

    program: Program
    memory: Memory
    script: Script
    world: World
    clock: RunClock
    keeper: ClaimKeeper

    @property
    def node(self) -> str:
        """The node in hand."""
        return self.memory.left[0]

    # --- a run -------------------------------------------------------------------------------------------------------

    def make(self) -> str:
        """session._claim"""
        try:
            return END if self.keeper.make() is not None else "begin"
        except ClaimError:
            return END

    def begin(self) -> str:
        """The gate of the claim, and Actor.begin."""
        if self.lost():
            return END
        if any(view.ours is not Ours.OURS for view in self.keeper.views.values()):
            return "finish"
        entries = with_entry(self.keeper.record, self.node, (found(self.node),))
        try:
            self.keeper.change(entries=entries, node_in_hand=self.node)
        except ClaimError:
            return "finish"
        return "drain"

    def drain(self) -> str:
        """A refused write is tried again until its time is up; then the node goes back."""
        return "drained" if self.write(AdminState.DRAIN, taking_out=True) else self.back()

    def drained(self) -> str:
        """Loop._restart: the claims, the last look, the restart under the node's lock."""
        if self.lost():
            return END
        proof = self.keeper.confirm(taking_out=True)
        if not proof.allowed or self.script.ask(Ask("seat", self.node)) != AdminState.DRAIN.value:
            return self.back()
        try:
            begun = self.script.ask(Ask("begin", self.node, self.keeper.tokens[self.node]))
        except ShellError as error:
            begun = error.effect is not Effect.NONE
        return "await_restart" if begun else self.back()

    def await_restart(self) -> str:
        """The proof that it was restarted, and its health; or neither in time."""
        match self.script.ask(Ask("outcome", self.node)):
            case "healthy":
                return "put_back"
            case "unchanged":
                return "give_up"
        return "leave"

    def give_up(self) -> str:
        """Actor.give_up: a restart that was not fenced off may still run, and its node stays out."""
        if self.keeper.fence(self.node):
            return "leave"
        self.memory = self.memory._replace(halted=True)
        return "healthy"

    # --- going back --------------------------------------------------------------------------------------------------

    def back(self) -> str:
        """Something failed before the node was stopped: it goes back, and no other is begun."""
        self.memory = self.memory._replace(halted=True)
        return "put_back"

    def healthy(self) -> str:
        """A node that counts as stopped is put back once it is healthy, or stays out."""
        return "put_back" if self.script.ask(Ask("healthy", self.node)) else "leave"

    def put_back(self) -> str:
        """Make the member as it was found, if it is not."""
        if self.lost():
            return END
        if self.script.ask(Ask("seat", self.node)) != AdminState.READY.value and not self.write(
            AdminState.READY, taking_out=False
        ):
            return END if self.lost() else "leave"
        return self.next_node()

    def next_node(self) -> str:
        """Done with this one."""
        self.memory = self.memory._replace(left=self.memory.left[1:])
        if not self.memory.left or self.memory.halted:
            return "leave" if self.memory.blocked else "finish"
        return "healthy" if self.program.mode == "recover" else "begin"

    def finish(self) -> str:
        """Loop._end, all is well."""
        if not self.lost():
            self.keeper.end()
        return END

    def leave(self) -> str:
        """Loop._end, a node is out, or it can't be said."""
        if not self.lost():
            self.keeper.release("left out")
        return END

    # --- both --------------------------------------------------------------------------------------------------------

    def write(self, to: AdminState, *, taking_out: bool) -> bool:
        """As Actor.write does it: the claims are read, the clock is looked at, the write is sent."""
        proof = self.keeper.confirm(taking_out=taking_out)
        if not proof.allowed or self.clock.at_s() >= proof.until_s:
            return False
        self.script.ask(Ask("write", self.node, word=to.value))
        return True

    def lost(self) -> bool:
        """One turn of the loop: a look, which reads the claims if that was not done just now. Another's ends it all."""
        if self.clock.at_s() - self.keeper.asked_at_s > REUSE_S:
            self.keeper.heard(self.world.gather(self.keeper.questions(), WITHIN_S))
        return any(view.ours is Ours.OTHER for view in self.keeper.views.values())

    # --- a takeover --------------------------------------------------------------------------------------------------

    def take_over(self) -> str:
        """session._recover and session._resume."""
        copies = takeover.read_copies(self.world)
        runs = copies.runs()
        if not runs or (self.program.mode == "resume" and _recovered_since(copies, runs[0])):
            return END
        who = Who(self.program.name, "host", 1, "2026-11-24T02:00:00Z")
        try:
            others = copies.unbegun(runs[0])
            taken = takeover.take_over(self.world, self.clock, copies, runs[0], who, self.program.name, also=others)
        except (Refused, ClaimError, takeover.NotTaken):
            return END
        self.keeper = taken.keeper
        return self._resumed(taken) if self.program.mode == "resume" else self._recovering(taken)

    def _recovering(self, taken: takeover.Taken) -> str:
        record = self.keeper.record
        begun = [n for n, entry in record.entries.items() if n == record.node_in_hand or any(e.wrote for e in entry)]
        reached = tuple(n for n in begun if n not in taken.blocked)
        self.memory = Memory(None, reached, blocked=bool(set(taken.blocked) - self.program.forget))
        if not reached:
            return "leave" if self.memory.blocked else "finish"
        return "healthy" if record.node_in_hand == reached[0] else "put_back"

    def _resumed(self, taken: takeover.Taken) -> str:
        """The node in hand is restarted, again where it was already: no journal tells."""
        if taken.blocked:
            return END
        record = self.keeper.record
        rest = tuple(n for n in self.program.nodes if n not in record.entries)
        if record.node_in_hand is None or record.node_in_hand not in record.entries:
            self.memory = Memory(None, rest)
            return "begin" if rest else "finish"
        self.memory = Memory(None, (record.node_in_hand, *rest))
        return "again"

    def again(self) -> str:
        """A resume goes on with the node in hand, once it is healthy."""
        return "drain" if self.script.ask(Ask("healthy", self.node)) else "leave"


def _recovered_since(copies: takeover.Copies, run: str) -> bool:
    return max(copy.token.epoch for copy in copies.of(run).values()) > FIRST_EPOCH


def found(node: str) -> FoundMember:
    """A member that was found ready."""
    member = Member(node, "scim", "lb", "tcp://lb", "pool", node)
    return FoundMember(member, Found(AdminState.READY), (AdminState.DRAIN.value, AdminState.MAINT.value))


class Rest(NamedTuple):
    """A process between two answers: `heard` came in and was not thought about yet. Times are ticks before the last
    moment at which it was at work; `age` is how long ago that is."""

    program: Program
    phase: str
    memory: Memory = Memory()
    began: int = 0
    slots: tuple[Slot, ...] = ()
    heard: tuple[tuple[int, Any], ...] = ()
    age: int = 0


def first_rest(program: Program) -> Rest:
    """A process that was not started yet."""
    start = "make" if program.mode == "run" else "take_over"
    return Rest(program, start, Memory(None, program.nodes))


class Step(NamedTuple):
    """Where a process stands once it has thought: what it asks, and the way it went."""

    rest: Rest
    asks: tuple[tuple[int, Ask], ...]
    place: Any = None  # two at the same place go on alike


def think(rest: Rest, records: Records, cluster: tuple[str, ...]) -> Step:
    """Go on with every answer that is there (all times are those of `now_is_zero`), to the next that is not."""
    phase, memory, began, slots = rest.phase, rest.memory, rest.began, rest.slots
    while phase != END:
        hands = _hands(rest.program, memory, Script(records, slots, began), cluster)
        act: Callable[[], str] = getattr(hands, phase)
        try:
            phase = act()
        except Stuck as stuck:
            if stuck.questions and hands.script.taken > len(slots):
                slots = (*slots, ((),) * stuck.questions)
            waiting = Rest(rest.program, phase, memory, began, slots, (), rest.age)
            carried = Memory() if phase in LAST else hands.memory._replace(kept=None)
            frames = Frames(records)
            place = (rest.program, phase, carried, frames.keeper(hands.keeper), frames.of(stuck))
            return Step(waiting, tuple(stuck.open.items()), place)
        memory = hands.memory._replace(kept=keep(hands.keeper, records))
        began, slots = 0, ()
    return Step(Rest(rest.program, END), ())


def _hands(program: Program, memory: Memory, script: Script, cluster: tuple[str, ...]) -> Hands:
    world, clock = ports(script, cluster)
    who = Who(program.name, "host", 1, "2026-11-24T02:00:00Z")
    keeper = ClaimKeeper(world, clock, first_record("c", program.name, program.name, who))
    if memory.kept is not None:
        restore(keeper, memory.kept, script.records)
    return Hands(program, memory, script, world, clock, keeper)
