"""When a run that met a fault stands again where the faultless run stood, its future is known: it need not be played.

Looked at between two nodes, where everything is at rest; where only a question got no answer, at every sign of progress
once all was asked again. The run's folded state (without its times), every member, every JVM and every claim must be
the same, and no fault may be left over.
"""

from collections.abc import Hashable, Mapping
from dataclasses import fields

from rollsafe.model.claim import ClaimRecord
from rollsafe.model.record import Record
from rollsafe.planner.fold import fold
from rollsafe.planner.state import NodeState, RunState
from rollsafe.rehearsal.operator import EFFECTS, Operator
from rollsafe.rehearsal.world import SimWorld

BETWEEN = "node.finished"
SIGNS = frozenset({BETWEEN, "claim.made", "claim.changed", "step.finished", "write.done", "restart.begun"})
ASKED_AGAIN_S = 1.0  # virtual; a rehearsed run looks four times as often

TIMES = frozenset(field.name for field in fields(NodeState) if field.name.endswith("_s")) | {"found", "wrote", "drains"}
TIMED = frozenset({"healthy_s", "ready_s", "gates_closed_s"})  # of these, whether they are set matters

Signature = tuple[Hashable, ...]


class Rejoined(BaseException):
    """The rest of this run is the rest of the faultless one. Nothing may catch this but the player."""


class Crossroads:
    """Remembers the faultless run at its signs of progress, and recognizes it."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str, str | None], Signature] = {}
        self.asked: Mapping[Hashable, int] = {}  # how often each question was asked in all
        self._followed: tuple[Operator | None, int, RunState] = None, 0, RunState()

    def follow(self, operator: Operator) -> RunState:
        """The folded state of this operator's run. Called again and again, it costs but the new records."""
        whom, known, state = self._followed
        if whom is not operator:
            known, state = 0, RunState()
        state = fold(operator.records[known:], state)
        self._followed = operator, len(operator.records), state
        return state

    def remember(self, sim: SimWorld, operator: Operator, record: Record) -> None:
        """The faultless run's hook."""
        if record.type in SIGNS:
            self.known[_where(operator, record)] = signature(sim, operator, self.follow(operator))

    def recognize(self, sim: SimWorld, operator: Operator, record: Record) -> None:
        """Another run's hook. Raises Rejoined."""
        if record.type not in SIGNS or any(fault.times for fault in operator.faults):
            return
        if record.type != BETWEEN and not _only_a_question_failed(operator):
            return
        if any(self.asked.get(key, 0) > 1 for key in operator.asking.left_over):
            return  # what was asked again and again will be asked again, and get that old answer
        if self.known.get(_where(operator, record)) == signature(sim, operator, self.follow(operator)):
            raise Rejoined(record.node)


def _where(operator: Operator, record: Record) -> tuple[int, str, str | None]:
    return sum(one.type in SIGNS for one in operator.records), record.type, record.node


def _only_a_question_failed(operator: Operator) -> bool:
    """Nothing in the cluster came of it, and all was asked again since."""
    asked = all(fault.site.partition(" ")[0] not in EFFECTS for fault in operator.faults)
    return asked and operator.clock.timeline.now - operator.asking.odd_s >= ASKED_AGAIN_S


def signature(sim: SimWorld, operator: Operator, state: RunState) -> Signature:
    """Everything that the future of a run depends on, but for moments in time."""
    nodes = tuple((name, _node(node)) for name, node in state.nodes.items())
    run = (state.mode, state.in_hand, state.halt is None, state.gates_closed_s is None, state.finished)
    seats = tuple(
        (*endpoint.key, seat.pool, seat.seat, seat.admin, seat.health, seat.up, seat.set_by)
        for endpoint in sim.endpoints.values()
        for seat in endpoint.seats()
    )
    machines = tuple(
        (node.name, node.incarnation, sim.outside.well(node), node.ssh, len(node.restarts), _claim(node.claim))
        for node in sim.nodes.values()
    )
    seen = (len(sim.outside.failures), len(sim.outside.cuts), operator.quiet(), sim.calm())
    return (nodes, run, seats, machines, seen)


def _node(node: NodeState) -> Signature:
    words: list[Hashable] = []
    for field in fields(node):
        value = getattr(node, field.name)
        if field.name in TIMED:
            words.append(value is None)
        elif field.name not in TIMES:
            words.append(tuple(sorted(value.items())) if isinstance(value, Mapping) and not value else repr(value))
    words.append(tuple((name, drain.outcome) for name, drain in node.drains.items()))
    return tuple(words)


def _claim(claim: ClaimRecord | None) -> Hashable:
    if claim is None:
        return None
    token = claim.token
    return (token.run, token.epoch, token.holder, claim.node_in_hand, claim.done)
