"""Every state that the real planner can reach in a small cluster, each looked at once, and the invariants on all."""

import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from rollsafe.planner.outcome import Ending
from rollsafe.planner.readings import Order
from rollsafe.planner.state import RunState
from tests.search.next_step_keys import operator_key, state_key
from tests.search.next_step_operator import Operator, Turn, begin_run, take_over, turns
from tests.search.next_step_truth import judge_ending
from tests.search.next_step_world import DRAIN, FOR_EVER, MAINT, READY, Broken, Shape, World

DARK_AT_MOST_S = 6  # so long may a service stay dark though putting an untouched node back would light it
QUIET_TURNS = 400  # a run without further faults must be over by then


@dataclass(frozen=True)
class Limits:
    """How much may go wrong on one path, and how much is searched."""

    faults: int = 1
    crashes: int = 1
    states: int = 10_000_000
    seconds: float = 3600.0


@dataclass
class Node:
    """One state of the search."""

    world: World
    active: Operator | None  # who is at work
    stopped: Operator | None  # a process that was stopped (SIGSTOP, a laptop that sleeps) and may wake up
    journal: RunState  # the run's, as the machine that began it has it
    faults: int
    crashes: int
    operators: int
    over: bool = False  # the last operator has ended by itself
    trail: "Trail | None" = None

    def key(self) -> int:
        """Equal for states that can't be told apart any more."""
        t = self.world.t
        return hash(
            (
                self.world.key(),
                operator_key(self.active, t),
                operator_key(self.stopped, t),
                state_key(self.journal, t) if self.active is None or self.active.mode != "run" else None,
                self.faults,
                self.crashes,
                self.operators,
                self.over,
            )
        )

    def path(self) -> str:
        """How the search came here, for people."""
        steps: list[str] = []
        trail = self.trail
        while trail is not None:
            steps.append(f"{trail.t:3d} s  {trail.label}")
            trail = trail.before
        return "\n".join(reversed(steps))


@dataclass(frozen=True, slots=True)
class Trail:
    """One step of the way to a state. It holds no state, so that memory stays small."""

    before: "Trail | None"
    t: int
    label: str


@dataclass
class Found:
    """What a search saw."""

    states: int = 0
    transitions: int = 0
    endings: Counter[int] = field(default_factory=Counter)
    bound: str = "none: every state was seen"
    seconds: float = 0.0

    def __str__(self) -> str:
        ends = ", ".join(f"exit {code}: {count}" for code, count in sorted(self.endings.items()))
        return (
            f"{self.states} states, {self.transitions} transitions, {sum(self.endings.values())} endings ({ends}), "
            f"{self.seconds:.0f} s; bound that was hit: {self.bound}"
        )


def search(shape: Shape, limits: Limits) -> Found:
    """Look at every reachable state once. Raises Broken with the path to the first state where something is wrong."""
    return _Search(shape, limits).run()


class _Search:
    def __init__(self, shape: Shape, limits: Limits) -> None:
        self.limits, self.found = limits, Found()
        world = World(shape, shape.plan())
        operator = begin_run(world)
        self.first = Node(world, operator, None, operator.state, limits.faults, limits.crashes, 1)
        self.seen: set[int] = set()
        self.quiet: dict[int, int] = {}  # where a state goes when nothing more goes wrong
        self.recovered: set[int] = set()

    def run(self) -> Found:
        began_s = time.monotonic()
        waiting = deque([self.first])
        self.seen.add(self.first.key())
        while waiting:
            if len(self.seen) >= self.limits.states or time.monotonic() - began_s > self.limits.seconds:
                hit = "states" if len(self.seen) >= self.limits.states else "time"
                self.found.bound = f"{hit} ({len(waiting)} states were not gone on from)"
                break
            self._look_at(waiting.popleft(), waiting)
        else:
            self._nothing_goes_on_for_ever()
        self.found.states, self.found.seconds = len(self.seen), time.monotonic() - began_s
        return self.found

    def _look_at(self, node: Node, waiting: deque[Node]) -> None:
        key, first = node.key(), True
        try:
            if node.world.dark > DARK_AT_MOST_S:
                raise Broken(f"a service is dark for {node.world.dark} s, and an untouched node stays out")
            for label, after in self._next(node):
                self.found.transitions += 1
                after.trail = Trail(node.trail, node.world.t, label)
                then = after.key()
                if first and node.active is not None:
                    self.quiet[key] = then
                first = False
                if then not in self.seen:
                    self.seen.add(then)
                    waiting.append(after)
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}\n{node.path()}\n{node.world.t:3d} s  here") from error

    def _next(self, node: Node) -> Iterator[tuple[str, Node]]:
        """Every state that may come next; the first is what comes when nothing more goes wrong."""
        if node.active is not None:
            for turn in turns(node.world, node.active, crashes=node.crashes > 0, faults=node.faults):
                yield turn.label, self._after(node, turn)
            yield from _orders(node)
            if node.crashes and node.stopped is None and node.active.mode == "run":
                yield (
                    "the process is stopped",
                    replace(node, active=None, stopped=node.active, crashes=node.crashes - 1),
                )
        elif node.world.claim is not None and node.operators < 4:
            yield from _takeovers(node)
        if node.stopped is not None and node.active is None:
            woken = node.stopped.copy()
            yield "the process wakes up", replace(node, active=woken, stopped=None, over=False)
        if not (node.over and node.world.claim is None):
            yield from _events(node)

    def _after(self, node: Node, turn: Turn) -> Node:
        over = turn.ending is not None
        journal = turn.journal if node.active is not None and node.active.mode == "run" else node.journal
        after = replace(
            node,
            world=turn.world,
            active=None if over else turn.operator,
            journal=journal,
            faults=node.faults - turn.cost,
            crashes=node.crashes - (turn.operator is None),
            over=over,
        )
        if turn.ending is not None:
            assert turn.operator is not None
            self.found.endings[turn.ending.exit_code] += 1
            judge_ending(turn.world, turn.operator, turn.ending)
            self._comes_back(after, turn.ending)
        return after

    def _comes_back(self, after: Node, ending: Ending) -> None:
        """When the faults stop, one recover puts everything back as it was found, and a second finds nothing to do."""
        if after.world.claim is None:
            return
        world = after.world.copy()
        world.heal()
        for _ in range(4):
            world.tick()
        key = hash(world.key())
        if key in self.recovered:
            return
        self.recovered.add(key)
        operator = take_over(world, after.operators + 1, "recover", None)
        for _ in range(QUIET_TURNS):
            turn = turns(world, operator, crashes=False, faults=0)[0]
            world = turn.world
            if turn.ending is not None:
                if turn.ending.exit_code != 0 or world.claim is not None:
                    raise Broken(f"I8: after exit {ending.exit_code} and without faults, recover ends: {turn.ending}")
                assert turn.operator is not None
                judge_ending(world, turn.operator, turn.ending)
                return
            assert turn.operator is not None
            operator = turn.operator
        raise Broken(f"I8: after exit {ending.exit_code} and without faults, recover does not end")

    def _nothing_goes_on_for_ever(self) -> None:
        """Follow each state to where it goes when nothing more goes wrong: it must end."""
        ends: set[int] = set()
        for start in self.quiet:
            walked: dict[int, None] = {}
            at = start
            while at in self.quiet and at not in ends:
                if at in walked:
                    raise Broken("a run without further faults goes round in circles for ever")
                walked[at] = None
                at = self.quiet[at]
            ends.update(walked)


def _takeovers(node: Node) -> Iterator[tuple[str, Node]]:
    claim = node.world.claim
    assert claim is not None
    for wait_s in (1, 8):  # at once, and when all that is under way has come to rest
        for mode in ("recover", "resume"):
            if mode == "resume" and (node.world.cut or node.journal.epoch != claim.epoch):
                continue  # refused: not every claim can be raised, or another took over since
            world = node.world.copy()
            for _ in range(wait_s):
                world.tick()
            number = node.operators + 1
            operator = take_over(world, number, mode, node.journal)
            label = f"{mode} by operator {number} after {wait_s} s"
            yield label, replace(node, world=world, active=operator, operators=number, over=False)


def _orders(node: Node) -> Iterator[tuple[str, Node]]:
    assert node.active is not None
    for order in (Order.FINISH, Order.NOW):
        if node.faults and order > node.active.order:
            told = replace(node.active, order=order, order_s=node.world.t)
            yield f"order {order.name}", replace(node, active=told, faults=node.faults - 1)


def _events(node: Node) -> Iterator[tuple[str, Node]]:
    """Everything that can happen to the world now."""
    world = node.world
    for name, job in world.jobs.items():
        if not job.landed:
            after = world.copy()
            after.land(name)
            yield f"the restart of {name} lands", replace(node, world=after)
    if not node.faults:
        return
    for label, after in _faults(world):
        yield label, replace(node, world=after, faults=node.faults - 1)


def _faults(world: World) -> Iterator[tuple[str, World]]:
    for n in world.plan.all_nodes:
        for service in (None, "scim"):
            if world.up(n, "scim"):
                after = world.copy()
                after.die(n, service)
                yield f"{n} {service or 'whole'} dies", after
        if any(left < 0 for (node, _), left in world.up_in.items() if node == n):
            after = world.copy()
            after.revive(n)
            yield f"{n} comes back", after
        after = world.copy()
        after.cut = world.cut ^ {n}
        yield f"SSH to {n} is {'back' if n in world.cut else 'cut'}", after
        yield from _people(world, n)
    for key in world.process:
        after = world.copy()
        after.muted = world.muted ^ {key}
        yield f"{key[1]} is {'heard again' if key in world.muted else 'silent'}", after
        after = world.copy()
        after.reload(key)
        yield f"{key[1]} is reloaded", after


def _people(world: World, n: str) -> Iterator[tuple[str, World]]:
    for service in ("scim", "web"):
        shown = {world.admin[m] for m in world.plan.members_of(n, service)}
        for to in (READY, DRAIN, MAINT):
            if shown != {to}:
                after = world.copy()
                after.person(n, service, to)
                yield f"a person sets {service} of {n} to {to.value}", after
        if READY in shown and world.up(n, service) and not world.active[n, service]:
            for seconds in (2, FOR_EVER):
                after = world.copy()
                after.busy(n, service, seconds)
                yield f"{service} of {n} is busy for {seconds} s", after
