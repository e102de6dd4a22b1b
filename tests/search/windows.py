"""Random windows from a seed: faults of every kind, people, signals, stopped processes, a second operator; then an end.

A script says everything that happens in one window; the same seed is the same script, and the same script the same
history. `play` returns what broke: nothing, as long as faults go on (safety), and nothing once they have stopped and
somebody has called recover (liveness).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from rollsafe.cli.in_rehearsal import EACH_NODE, Engine
from rollsafe.engine.orders import Orders
from rollsafe.model.reading import AdminState
from rollsafe.planner.readings import Order
from rollsafe.rehearsal.faults import Crash, CrashPoint, Endless, Fault, Way
from rollsafe.rehearsal.happen import EVENTS, Event, happen, mend
from rollsafe.rehearsal.judgement import Ended, judge
from rollsafe.rehearsal.miniature import shorten
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.outside import Violation
from rollsafe.rehearsal.play import defects
from rollsafe.rehearsal.sample import small_cluster, with_slow_answers
from rollsafe.rehearsal.world import SimWorld

SITES = (
    *("", "balancer", "balancer.read", "balancer.write", "claim", "claim.read", "claim.swap", "claim.create"),
    *("restarter", "restarter.begin", "restarter.progress", "restarter.identity", "check"),
)
WINDOW_S = 14.0  # of simulated time, roughly, for one node of the run without a fault
CALLS = 190  # and so many calls
KINDS = [
    kind for kind, scope in EVENTS.items() if scope != "address"
]  # that one only spends a budget, as a dark SCIM does
HANDS = (AdminState.READY, AdminState.DRAIN, AdminState.MAINT)
SIGNALS = (("SIGINT", Order.FINISH), ("SIGTERM", Order.NOW))
COMES_AND_GOES_FROM = 2_000_000  # in windows of seeds from here on something may also fail now and then, all the time
FOR_EVER = 100_000
ONCE = {"another node's claim is lost"}  # losing every copy is outside of the protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """One operator: what it is told to do, when, and what befalls it."""

    mode: str
    begins_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    crash: CrashPoint | None = None
    pauses: tuple[tuple[int, float], ...] = ()
    signals: tuple[tuple[float, str, Order], ...] = ()
    wall_jumps: tuple[tuple[float, float], ...] = ()  # at, by
    take_over: bool = False


@dataclass(frozen=True, slots=True)
class Script:
    """One window."""

    seed: int
    nodes: int
    endpoints: int
    machines: tuple[Machine, ...]
    events: tuple[tuple[float, Event], ...] = ()
    people: tuple[tuple[float, str, AdminState, str | None], ...] = ()  # at, node, state, service
    found: tuple[tuple[str, AdminState], ...] = ()
    resumes: bool = False
    slow_s: float | None = None  # how long a slow answer of a balancer takes, where it is not the usual time


@dataclass(slots=True)
class Outcome:
    """What became of a window."""

    script: Script
    broken: list[Violation] = field(default_factory=list)
    exits: list[int | None] = field(default_factory=list)
    least: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = "\n".join(f"    {violation}" for violation in self.broken)
        return f"seed {self.script.seed}, exits {self.exits}:\n{lines}\n  {self.script}"


def script(seed: int) -> Script:
    """The window of this seed."""
    rng = random.Random(f"window {seed}")
    nodes, endpoints = rng.choice((2, 3, 3, 3, 4)), rng.choice((1, 2))
    names = [f"n{i + 1}" for i in range(nodes)]
    lasts_s = WINDOW_S * nodes
    machines = [_machine(rng, "run", nodes)]
    if rng.random() < 0.3:
        second = _machine(rng, rng.choice(("run", "recover", "recover")), nodes)
        machines.append(replace(second, begins_s=rng.uniform(0, lasts_s), take_over=rng.random() < 0.4))
    made = Script(
        seed,
        nodes,
        endpoints,
        tuple(machines),
        _events(rng, names, endpoints, lasts_s),
        tuple(
            (rng.uniform(0, lasts_s), rng.choice(names), rng.choice(HANDS), rng.choice((None, "scim", "web")))
            for _ in range(rng.choice((0, 0, 0, 1, 2)))
        ),
        tuple((rng.choice(names), rng.choice(HANDS)) for _ in range(rng.choice((0, 0, 0, 0, 1)))),
        resumes=rng.random() < 0.4,
    )
    return made if seed < COMES_AND_GOES_FROM else _comes_and_goes(made)


def _comes_and_goes(made: Script) -> Script:
    """With something that fails every n-th time, or is slow every time, from some call on and for ever."""
    rng = random.Random(f"comes and goes {made.seed}")
    first, *others = made.machines
    way, every = rng.choice(list(Way)), rng.randint(2, 5)
    if rng.random() < 0.3:
        way, every = Way.SLOW, 1
    fault = Fault(way, rng.randint(1, CALLS * made.nodes), rng.choice(SITES[1:]), FOR_EVER, every)
    # a look asks two services of each node: a check that fails at the same one each time tells nothing from an ill node
    while fault.site == "check" and fault.every > 1 and 2 * made.nodes % fault.every == 0:
        fault = replace(fault, every=fault.every + 1)
    machines = (replace(first, faults=(*first.faults, fault)), *others)
    return replace(made, machines=machines, slow_s=rng.choice((None, 1.6, 2.4, 3.2)))


def _machine(rng: random.Random, mode: str, nodes: int) -> Machine:
    calls, lasts_s = CALLS * nodes, WINDOW_S * nodes
    faults = tuple(
        Fault(rng.choice(list(Way)), rng.randint(1, calls), rng.choice(SITES), rng.choice((1, 1, 2, 5, 40)))
        for _ in range(rng.choice((0, 1, 1, 2, 4)))
    )
    crash = None
    if rng.random() < 0.4:
        kind = rng.choice(("record", "effect"))
        crash = CrashPoint(kind, rng.randint(1, (55 if kind == "record" else 20) * nodes), rng.random() < 0.5)
    pauses = tuple((rng.randint(1, calls), rng.choice((2.0, 12.0, 40.0))) for _ in range(rng.choice((0, 0, 0, 0, 1))))
    signals = tuple((rng.uniform(0, lasts_s), *rng.choice(SIGNALS)) for _ in range(rng.choice((0, 0, 0, 0, 1, 2))))
    jumps = tuple((rng.uniform(0, lasts_s), rng.choice((-3600.0, 30.0))) for _ in range(rng.choice((0,) * 9 + (1,))))
    return Machine(mode, 0.0, faults, crash, pauses, signals, jumps)


def _events(rng: random.Random, names: list[str], endpoints: int, lasts_s: float) -> tuple[tuple[float, Event], ...]:
    keys = [f"scim-lb tcp://scim-lb{i + 1}:9999" for i in range(endpoints)] + ["web-lb tcp://web-lb1:9999"]
    events: list[tuple[float, Event]] = []
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        kind = rng.choice(KINDS)
        if kind in ONCE and any(event.kind == kind for _, event in events):
            continue
        target = rng.choice(keys if EVENTS[kind] == "endpoint" else names)
        events.append((rng.uniform(0, lasts_s), Event(kind, target)))
    return tuple(events)


class Window:
    """One script, played."""

    def __init__(self, it: Script) -> None:
        self.script = it
        sample = small_cluster(it.nodes, it.endpoints)
        cluster, steps = shorten(sample if it.slow_s is None else with_slow_answers(sample, it.slow_s), EACH_NODE)
        self.sim = SimWorld(cluster, it.seed)
        self.engine = Engine(cluster, steps)
        self.outcome = Outcome(it)
        for node, admin in it.found:
            self.sim.found_as(node, admin)
        for at_s, event in it.events:
            self.sim.timeline.at(at_s, lambda event=event: happen(self.sim, event))  # type: ignore[misc]  # a default
        for at_s, node, admin, service in it.people:
            self.sim.timeline.at(at_s, self._person(node, admin, service))

    def _person(self, node: str, admin: AdminState, service: str | None) -> Callable[[], None]:
        return lambda: self.sim.person_sets(node, admin, service)

    def play(self) -> Outcome:
        """Faults first; then they stop, and somebody recovers."""
        try:
            self.sim.timeline.together([self._body(i, machine) for i, machine in enumerate(self.script.machines)])
            self._come_back()
        finally:
            self.sim.close()
        self.outcome.broken += self.sim.outside.violations
        self.outcome.least = dict(self.sim.outside.least)
        return self.outcome

    def _body(self, index: int, machine: Machine) -> Callable[[], None]:
        def live() -> None:
            self.sim.timeline.pass_time(machine.begins_s)
            self._command(self._operator(f"machine{index + 1}", machine), machine.mode, f"run{index + 1}", machine)

        return live

    def _operator(self, name: str, machine: Machine) -> Operator:
        faults = [replace(fault) for fault in machine.faults]
        operator = self.sim.operator(name, faults=faults, crash=machine.crash)
        operator.pauses = dict(machine.pauses)
        orders = self.engine.orders.setdefault(name, Orders())
        for at_s, word, order in machine.signals:
            self.sim.timeline.at(at_s, lambda order=order, word=word: orders.give(order, word))  # type: ignore[misc]  # a default
        for at_s, by_s in machine.wall_jumps:
            self.sim.timeline.at(at_s, lambda by_s=by_s: operator.clock.jump_wall(by_s))  # type: ignore[misc]  # a default
        return operator

    def _command(self, operator: Operator, mode: str, run: str, machine: Machine) -> Ended | None:
        ended = None
        try:
            ended = self.engine(mode, operator, self.sim.world(operator), run, take_over=machine.take_over)
        except Crash:
            pass  # it died: nobody says how it ended
        except Endless as endless:
            self._broke("I9", f"{mode}: {endless}")
        operator.dead = True
        self.outcome.exits.append(None if ended is None else ended.exit_code)
        self.outcome.broken += defects(operator.records)
        alone = all(other.dead and not _began_after(other, operator) for other in self.sim.operators)
        if ended is not None and alone:  # else the truth is another's doing
            self.outcome.broken += judge(self.sim.outside, operator, ended, mode=mode)
        self._told_of_late_writes(operator, ended)
        return ended

    def _told_of_late_writes(self, operator: Operator, ended: Ended | None) -> None:
        """A process that was stopped and woke too late has named what it wrote: from here on a person knows of it."""
        named = {(one.get("node"), one.get("service")) for one in (ended.left_out if ended is not None else ())}
        for name, seat in self.sim.outside.late:
            if name == operator.name and seat.whose in named:
                seat.theirs.add(seat.admin)

    def _come_back(self) -> None:
        """Liveness: somebody mends machines, networks and JVMs; then resume or recover must bring everything back."""
        timeline = self.sim.timeline
        timeline.pass_time(60.0)
        mend(self.sim)
        timeline.pass_time(30.0)
        first = self.sim.operators[0]
        if self.script.resumes and "run1" in self.engine.plans:
            again = self.sim.operator("machine1 again")
            again.records = list(first.records)
            self._command(again, "resume", "run1", Machine("resume"))
        ended = self._recovered("machine7")
        if ended is not None and ended.exit_code == 0 and "another claim" in ended.message:
            ended = self._recovered("machine8")
        if ended is None or ended.exit_code != 0:
            self._broke("I8", f"recover ended with {ended}")
        self._as_found()
        before = len(self.sim.outside.acts)
        ended = self._recovered("machine9")
        if ended is None or ended.exit_code != 0 or len(self.sim.outside.acts) != before:
            self._broke("I8", f"a second recover did not find everything done: {ended}")

    def _recovered(self, name: str) -> Ended | None:
        return self._command(self.sim.operator(name), "recover", "recovery", Machine("recover"))

    def _as_found(self) -> None:
        sim = self.sim
        for endpoint in sim.endpoints.values():
            for seat in endpoint.seats():
                if seat.out_by_us:
                    self._broke("I8", f"{seat.seat} in {seat.pool} on {endpoint.url} is still {seat.admin.value}")
        for node in sim.nodes.values():
            if node.claim is not None and not node.claim.done:
                self._broke("I8", f"a claim is left on {node.name}")

    def _broke(self, invariant: str, message: str) -> None:
        self.outcome.broken.append(Violation(invariant, self.sim.timeline.now, message))


def _began_after(other: Operator, operator: Operator) -> bool:
    """Did the other claim the cluster for a run of its own once this one had given it up? What it left is its to tell,
    however long this one took to end."""
    if other.token is None or operator.token is None or other.token.run == operator.token.run:
        return False
    return _claimed_s(other) > _claimed_s(operator)


def _claimed_s(operator: Operator) -> float:
    return max((operator.born_s + it.at_s for it in operator.records if it.type == "claim.made"), default=-1.0)


def play(seed: int) -> Outcome:
    """The window of this seed, played."""
    return Window(script(seed)).play()
