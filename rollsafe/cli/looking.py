"""What plan, status and doctor share: one whole look at everything, side by side, that changes nothing anywhere.

Nothing here can write: no journal is opened, no claim is made, and of the ports only those calls are made that ask.
"""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollsafe.assembly import Assembled, assemble
from rollsafe.cli.asked import Asked
from rollsafe.cli.common import colours
from rollsafe.clock import SystemClock
from rollsafe.config.load import Loaded
from rollsafe.engine.observe import speaker
from rollsafe.engine.pools import at_their_quickest, read_pool
from rollsafe.engine.preflight import seen_of
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import BalancerError, ClaimError, NoSuchPool, PortError
from rollsafe.model.claim import ClaimRecord
from rollsafe.model.cluster import Cluster
from rollsafe.model.reading import HealthReading, IdentityReading, PoolReading, ProbeSample, Unread
from rollsafe.model.settings import ProbeSettings
from rollsafe.model.verdict import Verdict
from rollsafe.planner import gates
from rollsafe.planner.expand import pools_of
from rollsafe.planner.readings import PoolKey, Readings
from rollsafe.ports import Balancer, MayWrite, World
from rollsafe.reporting.plan_view import Paint

READ_TRIES = 2
UNPROVEN = "not proven"
_ANSI = {"good": "32", "bad": "31;1", "warn": "33", "dim": "2", "head": "1"}


@dataclass(frozen=True, slots=True)
class NodeSight:
    """What one node said over SSH. A text is a problem; empty: none. `claim` Unread: it could not be read."""

    unreachable: str = ""
    identity: str = ""
    rights: str = ""
    reading: IdentityReading | None = None  # the identity itself, where it was read
    claim: ClaimRecord | Unread | None = None


@dataclass(frozen=True, slots=True)
class Sight:
    """Everything that was asked, and what was answered in time."""

    readings: Readings
    nodes: Mapping[str, NodeSight] = field(default_factory=dict)
    admin: Mapping[tuple[str, str], Verdict] = field(default_factory=dict)  # (balancer, endpoint), where asked
    probes: tuple[tuple[str, ProbeSample | None], ...] = ()

    def unread(self) -> tuple[str, ...]:
        """A sentence for each balancer and node that could not be read; that there is no such pool is an answer."""
        pools = [
            f"pool {key[2]} on {key[1]} can't be read: {pool.reason}"
            for key, pool in self.readings.pools.items()
            if isinstance(pool, Unread) and not pool.for_good
        ]
        nodes = [_named(name, sight.unreachable) for name, sight in self.nodes.items() if sight.unreachable]
        return (*pools, *nodes)

    def unprovable(self, node: str, services: tuple[str, ...]) -> Verdict | None:
        """Why a restart of the node could not be proved; None where it could, or its identity was not read."""
        reading = self.nodes[node].reading
        if reading is None:
            return None
        told = gates.provable(reading, healthy=self.readings.healthy(node, services))
        return None if told.allowed else told


class Looking:
    """A cluster to look at, or some nodes of it."""

    def __init__(self, asked: Asked, cluster: Cluster) -> None:
        self.loaded: Loaded = asked.loaded
        self.cluster = cluster
        self.clock = SystemClock()
        self.run_clock = RunClock(self.clock)
        self.assembled: Assembled = assemble(cluster, self.clock, asked.reach)

    @property
    def world(self) -> World:
        """The ports."""
        return self.assembled.world

    def close(self) -> None:
        """Let go of every connection."""
        self.assembled.close()


def look(
    assembled: Assembled,
    cluster: Cluster,
    clock: RunClock,
    *,
    rights: bool,
    probes: bool,
    within_s: float,
    tries: int = READ_TRIES,
    again_s: float = 0.0,
) -> Sight:
    """Ask everything once, side by side. `rights`: what a run needs on the nodes and the balancers, too, and whether
    these are quick enough for one. `again_s`: an identity is read again after so long."""
    world = assembled.world
    at_s, wall = clock.at_s(), clock.wall()
    questions: dict[Any, Callable[[], Any]] = {}
    keys = list(pools_of(cluster))
    questions |= {("pool", key): _pool(world, key, tries) for key in keys}
    live = [node.name for node in cluster.live_nodes]
    pairs = [pair for pair in world.checks if pair[0] in live]
    for pair in pairs:
        questions |= {("health", pair, i): check.check for i, check in enumerate(world.checks[pair])}
    for node in live:
        questions["node", node] = _node(assembled, node, rights=rights, again_s=again_s)
    if rights:
        questions |= {("admin", key): _admin(key[1], balancer) for key, balancer in world.balancers.items()}
    if probes:
        questions |= {("probe", i): probe.ask for i, probe in enumerate(world.probes)}
    answers = world.gather(questions, within_s)
    late = f"no answer within {within_s:g} s"
    pools = {key: answers.get(("pool", key), Unread(late)) for key in keys}
    if rights:  # now that nothing else goes on; who gave no answer with all this patience is not asked again
        pools |= at_their_quickest(world, {key: pool for key, pool in pools.items() if isinstance(pool, PoolReading)})
    return Sight(
        Readings(
            at_s=at_s,
            wall=wall,
            pools=pools,
            health=_health(pairs, world, answers),
        ),
        nodes={n: answers.get(("node", n), NodeSight(f"over SSH {late}", claim=Unread(late))) for n in live},
        admin={key[1]: answer for key, answer in answers.items() if key[0] == "admin"},
        probes=tuple((_probe(p), answers.get(("probe", i))) for i, p in enumerate(cluster.probes) if probes),
    )


def _pool(world: World, key: PoolKey, tries: int) -> Callable[[], PoolReading | Unread]:
    def ask() -> PoolReading | Unread:
        answer: PoolReading | Unread = Unread("it was not asked")
        for _ in range(tries):
            try:
                return read_pool(world, key)
            except NoSuchPool as error:
                return Unread(str(error), for_good=True)
            except BalancerError as error:
                answer = Unread(str(error))
        return answer

    return ask


def _admin(url: str, balancer: Balancer) -> Callable[[], Verdict]:
    def ask() -> Verdict:
        try:
            if isinstance(balancer, MayWrite) and balancer.may_write():
                return Verdict("admin", True, f"{url} may be written to")
        except BalancerError as error:
            return Verdict("admin", False, str(error))
        return Verdict("admin", True, f"{url}: only a write can show that it may be written to", warning=UNPROVEN)

    return ask


def _node(assembled: Assembled, node: str, *, rights: bool, again_s: float) -> Callable[[], NodeSight]:
    world = assembled.world

    def ask() -> NodeSight:
        if problem := problem_of(assembled.reach[node]):
            return NodeSight(problem, claim=Unread(problem))
        if not rights:
            return NodeSight(claim=read_claim(world, node))
        try:
            told = assembled.surveys[node](again_s=again_s)
        except PortError as error:  # a question that hangs takes the others' answers along: a claim must be known of
            return NodeSight(claim=read_claim(world, node), identity=str(error))
        claim = Unread(str(told.claim)) if isinstance(told.claim, ClaimError) else standing(told.claim)
        return NodeSight(claim=claim, identity=told.identity, rights=told.rights, reading=told.reading)

    return ask


def problem_of(question: Callable[[], object]) -> str:
    """Why a question was not answered well; empty where it was."""
    try:
        question()
    except PortError as error:
        return str(error)
    return ""


def read_claim(world: World, node: str) -> ClaimRecord | Unread | None:
    """The claim on one node; a `done` one blocks nobody, and counts as none."""
    try:
        return standing(world.claims[node].read())
    except ClaimError as error:
        return Unread(str(error))


def standing(record: ClaimRecord | None) -> ClaimRecord | None:
    """The claim, unless it is done with."""
    return None if record is not None and record.done else record


def _health(
    pairs: Sequence[tuple[str, str]], world: World, answers: Mapping[Any, Any]
) -> dict[tuple[str, str], HealthReading]:
    health: dict[tuple[str, str], HealthReading] = {}
    for pair in pairs:
        asked = [("health", pair, i) for i in range(len(world.checks[pair]))]
        given: list[HealthReading] = [answers[key] for key in asked if key in answers]
        if (reading := speaker(given, len(asked), lambda one: one.healthy)) is not None:
            health[pair] = reading
    return health


def _probe(settings: ProbeSettings) -> str:
    return settings.service if settings.name == settings.service else f"{settings.service} ({settings.name})"


def _named(node: str, text: str) -> str:
    """The text with the node's name in front, once."""
    return text if text.startswith(f"{node}:") else f"{node}: {text}"


def said(sample: ProbeSample | None) -> str:
    """What a probe saw, in words."""
    return "no answer in time" if sample is None else seen_of(sample)


# --- telling ---------------------------------------------------------------------------------------------------


def painter(no_color: bool) -> Paint:
    """Colours for a terminal, or none."""
    on = colours(no_color)

    def paint(text: str, style: str) -> str:
        return f"\x1b[{_ANSI[style]}m{text}\x1b[0m" if on and style in _ANSI and text.strip() else text

    return paint


def print_lines(lines: Iterable[str]) -> None:
    """Lines on stdout, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON object on one line. ASCII, as events are."""
    import json

    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()
