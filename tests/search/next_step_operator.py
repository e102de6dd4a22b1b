"""One operator at work in the abstract cluster: the real planner and fold, and the engine's acts in their order.

Each turn is a look, the marks that follow from it, and one act. An act has several endings: as told, as a fault makes
it, or cut off by a crash before or after each of its effects. What a crashed operator leaves is its
journal and the claim.
"""

from dataclasses import dataclass, replace
from typing import Any

from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Found, IdentityReading, Member, RestartReading, SeatReading, Unread
from rollsafe.model.record import Record
from rollsafe.planner import invariants
from rollsafe.planner.decisions import (
    BeginNode,
    Decision,
    Finished,
    FinishNode,
    FinishStep,
    GiveUpRestart,
    HaltRun,
    ProveRestart,
    RestartNode,
    StartStep,
    Wait,
    WriteMembers,
)
from rollsafe.planner.fold import advance, found_data, member_data
from rollsafe.planner.next_step import next_step
from rollsafe.planner.outcome import Ending, judge
from rollsafe.planner.readings import ClaimView, Order, Ours, Readings, Watch
from rollsafe.planner.state import Restart, RunState
from rollsafe.planner.watch import observe
from tests.search.next_step_world import Broken, Claim, Job, World, key_of

MARKS_AT_MOST = 60
OURS, OTHER = ClaimView(Ours.OURS), ClaimView(Ours.OTHER, "another's")
UNREACHED = ClaimView(Ours.UNREAD, "no route")


@dataclass
class Operator:
    """One process of rollsafe. `state` is folded from its journal; `watch` is lost when it dies."""

    number: int
    mode: str
    state: RunState
    watch: Watch
    plan: Plan
    order: Order = Order.NONE
    order_s: int = 0
    looked_s: int | None = None

    def copy(self) -> "Operator":
        """The same operator, to go another way."""
        return replace(self)

    def add(
        self, t: int, kind: str, node: str | None = None, service: str | None = None, message: str = "", **data: Any
    ) -> None:
        """One durable record."""
        self.state = advance(self.state, Record("r", 0, kind, "", t, message, node, service, data=data))

    def about(self, t: int, kind: str, member: Member, to: AdminState, message: str = "", **data: Any) -> None:
        """One durable record about a member."""
        words = {**member_data(member), "to": to.value, **data}
        self.state = advance(self.state, Record("r", 0, kind, "", t, message, member.node, member.service, data=words))


@dataclass
class Turn:
    """One way in which a turn can end."""

    label: str
    world: World
    operator: Operator | None  # None: it crashed, and left its journal
    journal: RunState
    cost: int = 0  # faults
    ending: Ending | None = None


def begin_run(world: World) -> Operator:
    """A new run claims every node."""
    operator = Operator(1, "run", RunState(), Watch(), world.plan)
    world.claim = Claim(1, None)
    operator.add(0, "run.started", mode="run")
    operator.add(0, "claim.made", fine=list(world.plan.all_nodes))
    return operator


def take_over(world: World, number: int, mode: str, journal: RunState | None) -> Operator:
    """Raise the claim: a restart that has not landed can't land any more. `resume` knows the journal, too."""
    assert world.claim is not None
    world.claim = replace(world.claim, holder=number, epoch=world.claim.epoch + 1)
    world.dark = 0
    world.jobs = {n: job for n, job in world.jobs.items() if job.landed}
    if mode == "resume":
        assert journal is not None
        operator = Operator(number, "run", journal, Watch(), world.plan)
        operator.add(world.t, "run.resumed", epoch=world.claim.epoch)
        _settle_restart(world, operator)
        return operator
    operator = Operator(number, "recover", RunState(), Watch(), _recovery_plan(world))
    operator.add(world.t, "run.started", mode="recover")
    operator.add(world.t, "claim.made")
    return operator


def _settle_restart(world: World, operator: Operator) -> None:
    hand = operator.state.hand
    if hand is None or hand.restart not in (Restart.INTENT, Restart.BEGUN):
        return
    if str(world.identity[hand.name]) != hand.identity_before:
        operator.add(world.t, "restart.done", hand.name)
    else:
        operator.add(world.t, "restart.failed", hand.name, message="it never ran", effect="none")


def _recovery_plan(world: World) -> Plan:
    assert world.claim is not None
    begun = [n for n, entry in world.claim.entries if n == world.claim.in_hand or any(wrote for _, _, wrote in entry)]
    return replace(world.plan, nodes=tuple(world.plan.node(n) for n in begun))


# --- looking ---------------------------------------------------------------------------------------------------


def look(world: World, operator: Operator) -> Readings:
    """One look, with its streaks."""
    hand = operator.state.hand
    restart, identity = _of_hand(world, hand.name) if hand is not None else (None, None)
    health = world.health()
    if hand is not None and _may_stop(operator):
        health = {pair: reading for pair, reading in health.items() if pair[0] != hand.name}
    now = Readings(
        world.t,
        world.wall(),
        world.pools(),
        health,
        _claims(world, operator),
        world.t,
        restart,
        identity,
        order=operator.order,
        order_s=operator.order_s,
    )
    gap = operator.looked_s is not None and world.t - operator.looked_s > 3
    operator.looked_s = world.t
    operator.watch = observe(operator.plan, operator.state, operator.watch, now, gap="a gap" if gap else "")
    return replace(now, watch=operator.watch)


def _may_stop(operator: Operator) -> bool:
    hand = operator.state.hand
    if hand is None or hand.counts_as_stopped or hand.ready_s is not None:
        return False
    return hand.restart in (Restart.NONE, Restart.INTENT, Restart.BEGUN)


def _claims(world: World, operator: Operator) -> dict[str, ClaimView]:
    ours = world.claim is not None and world.claim.holder == operator.number
    views = {n: UNREACHED if n in world.cut else (OURS if ours else OTHER) for n in world.plan.all_nodes}
    return {} if operator.mode == "recover" and ours else views


def _of_hand(world: World, node: str) -> tuple[RestartReading | Unread, IdentityReading | Unread]:
    if node in world.cut:
        return Unread("no route"), Unread("no route")
    job = world.jobs.get(node)
    under_way = job is not None and job.landed and not job.over
    identity = IdentityReading(str(world.identity[node]), under_way)
    if job is None or not job.landed or not job.over:
        return RestartReading(finished=False), identity
    return RestartReading(True, 1 if job.outcome == "fails" else 0), identity


# --- one turn --------------------------------------------------------------------------------------------------


def turns(world: World, operator: Operator, *, crashes: bool, faults: int) -> list[Turn]:
    """Every way in which the operator's next turn can end. `faults`: how much may go wrong in it."""
    world, operator = world.copy(), operator.copy()
    before = operator.state
    now = look(world, operator)
    _settle_doubts(world, operator, now)
    _note_command_end(world, operator, now)
    for _ in range(MARKS_AT_MOST):
        decision = next_step(operator.plan, operator.state, now, world.t)
        judge_decision(world, operator, decision)
        if not _mark(world, operator, decision):
            cut_off = _crashes(world, operator, decision, now, before) if crashes else []
            return _act(world, operator, decision, now, faults) + cut_off
    raise Broken(f"the planner goes round in circles at {decision}")


def judge_decision(world: World, operator: Operator, decision: Decision) -> None:
    """What must hold for every decision, whatever the world does next."""
    state = operator.state
    if isinstance(decision, BeginNode) and operator.mode == "run":
        failed = [n.name for n in state.nodes.values() if n.outcome != "restarted"]
        if failed or state.halt is not None:
            raise Broken(f"{decision.node} is begun after a failure: {failed} {state.halt}")
        until, need_s = world.shape.window_s, world.plan.node_estimate_s
        if until is not None and world.t + need_s > until:
            raise Broken(f"I7: {decision.node} is begun {until - world.t} s before the end, and takes {need_s} s")
    if operator.mode == "recover" and isinstance(decision, RestartNode):
        raise Broken(f"recover restarts {decision.node}")


def _mark(world: World, operator: Operator, decision: Decision) -> bool:
    """Marks change the journal alone. False: it is an act, or the end."""
    match decision:
        case StartStep():
            operator.add(world.t, "step.started", decision.node, decision.service, step=decision.step)
        case FinishStep():
            words = {"step": decision.step, "outcome": decision.outcome}
            operator.add(world.t, "step.finished", decision.node, decision.service, **words)
        case ProveRestart():
            operator.add(world.t, "restart.done", decision.node)
        case HaltRun():
            words = {"remedy": decision.remedy, "lost": decision.lost}
            operator.add(world.t, "run.stopping", operator.state.in_hand, message=decision.reason, **words)
        case FinishNode():
            operator.add(world.t, "node.finished", decision.node, outcome=decision.outcome)
        case _:
            return False
    return True


def _settle_doubts(world: World, operator: Operator, now: Readings) -> None:
    hand = operator.state.hand
    for member, to in dict(hand.in_doubt).items() if hand is not None else ():
        seat = now.member(member)
        if isinstance(seat, SeatReading) and seat.admin is to:
            operator.about(world.t, "write.done", member, to)


def _note_command_end(world: World, operator: Operator, now: Readings) -> None:
    hand = operator.state.hand
    if hand is None or hand.restart_exit_s is not None or hand.restart not in (Restart.INTENT, Restart.BEGUN):
        return
    if isinstance(now.restart, RestartReading) and now.restart.finished:
        operator.add(world.t, "restart.ended", hand.name)


# --- acts ------------------------------------------------------------------------------------------------------


def _act(world: World, operator: Operator, decision: Decision, now: Readings, faults: int) -> list[Turn]:
    match decision:
        case Wait():
            _tell_gates(world, operator, decision.node, decision.verdicts)
            world.tick()
            return [_turn("wait", world, operator)]
        case BeginNode():
            _begin(world, operator, decision, now)
            return [_turn(f"begin {decision.node}", world, operator)]
        case WriteMembers():
            return _write(world, operator, decision, faults)
        case RestartNode():
            return _restart(world, operator, decision, now, faults)
        case GiveUpRestart():
            return [_give_up(world, operator, decision)]
        case Finished():
            return [_finish(world, operator)]
    raise Broken(f"nobody performs {decision}")


def _turn(label: str, world: World, operator: Operator, cost: int = 0) -> Turn:
    return Turn(label, world, operator, operator.state, cost)


def _tell_gates(world: World, operator: Operator, node: str | None, verdicts: tuple[Any, ...]) -> None:
    for verdict in verdicts:
        every = all(v.allowed for v in verdicts)
        operator.add(world.t, "gate.checked", node, allowed=verdict.allowed, all_allowed=every)


def _begin(world: World, operator: Operator, decision: BeginNode, now: Readings) -> None:
    node = decision.node
    if operator.mode == "recover":
        _begin_from_claim(world, operator, node)
        return
    _tell_gates(world, operator, node, decision.verdicts)
    found = _claim_node(world, node, now)
    operator.add(world.t, "node.started", node, found=[found_data(m, f) for m, f in found.items()])


def _claim_node(world: World, node: str, now: Readings) -> dict[Member, Found]:
    """The claim says what the members were, before anything is written."""
    assert world.claim is not None
    found = {m: seat.found for m in world.plan.members_of(node) if isinstance(seat := now.member(m), SeatReading)}
    entry = tuple((m, f.admin, _may_write(f.admin)) for m, f in found.items())
    closed = tuple((n, tuple((m, a, ()) for m, a, _ in rows)) for n, rows in world.claim.entries)
    world.claim = replace(world.claim, in_hand=node, entries=(*closed, (node, entry)))
    world.begun.update({m: f.admin for m, f in found.items()})
    world.persons -= set(found)
    return found


def _may_write(found: AdminState) -> tuple[str, ...]:
    if found is AdminState.MAINT:
        return ()
    return tuple(s.value for s in (AdminState.DRAIN, AdminState.MAINT) if s is not found)


def _begin_from_claim(world: World, operator: Operator, node: str) -> None:
    assert world.claim is not None
    entry = dict(world.claim.entries)[node]
    rows = [{**found_data(m, Found(a)), "wrote": list(wrote)} for m, a, wrote in entry]
    operator.add(world.t, "node.started", node, found=rows, counts_as_stopped=world.claim.in_hand == node)


def _write(world: World, operator: Operator, decision: WriteMembers, faults: int) -> list[Turn]:
    invariants.check_before_write(operator.plan, operator.state, decision)
    _intents(world, operator, decision)
    refused = _confirm(world, operator, taking_out=decision.taking_out)
    base_world, base_operator = world.copy(), operator.copy()
    for write in decision.writes:
        m, to = write.member, write.to.admin
        if refused:
            operator.about(world.t, "write.failed", m, to, refused, effect="none")
        elif key_of(m) in world.muted:
            operator.about(world.t, "write.failed", m, to, "no answer", effect="unknown")
        else:
            world.write(m, to)
            operator.about(world.t, "write.done", m, to)
    if refused or world.muted:
        world.tick()
    made = [_turn(_told(decision), world, operator)]
    if faults and not refused:
        made += [_unseen(base_world.copy(), base_operator.copy(), decision, landed=landed) for landed in (True, False)]
    return made


def _told(decision: WriteMembers) -> str:
    return "write " + ", ".join(f"{w.member.node}.{w.member.endpoint}={w.to.admin.value}" for w in decision.writes)


def _intents(world: World, operator: Operator, decision: WriteMembers) -> None:
    for write in decision.writes:
        taking_out = decision.taking_out
        operator.about(world.t, "write.intent", write.member, write.to.admin, taking_out=taking_out)


def _unseen(world: World, operator: Operator, decision: WriteMembers, *, landed: bool) -> Turn:
    """The first write gets no answer, whether it lands or not; the others are done."""
    for index, write in enumerate(decision.writes):
        m, to, heard = write.member, write.to.admin, key_of(write.member) not in world.muted
        if heard and (index or landed):
            world.write(m, to)
        if index == 0 or not heard:
            operator.about(world.t, "write.failed", m, to, "no answer", effect="unknown")
        else:
            operator.about(world.t, "write.done", m, to)
    world.tick()
    return _turn(f"{_told(decision)}, no answer, {'landed' if landed else 'lost'}", world, operator, cost=1)


def _confirm(world: World, operator: Operator, *, taking_out: bool) -> str:
    """Read the claims in front of a write."""
    if world.claim is None or world.claim.holder != operator.number:
        return "the claim is another's"
    reached = len(world.plan.all_nodes) - len(world.cut)
    return "" if not world.cut or (reached and not taking_out) else "not every claim can be read"


def _restart(world: World, operator: Operator, decision: RestartNode, now: Readings, faults: int) -> list[Turn]:
    node = decision.node
    _tell_gates(world, operator, node, decision.verdicts)
    problem = "no route" if node in world.cut else _confirm(world, operator, taking_out=True)
    if problem:
        operator.add(world.t, "restart.failed", node, message=problem, effect="none")
        world.tick()
        return [_turn(f"restart {node}: {problem}", world, operator)]
    invariants.check_before_restart(operator.plan, operator.state, now, node)
    operator.add(world.t, "restart.intent", node, identity_before=str(world.identity[node]))
    ways: list[tuple[str, int, bool, bool]] = [("well", 0, True, True)]
    if faults:  # (outcome, cost, it lands, the node's word that it began arrives)
        ways += [(outcome, 1, True, True) for outcome in ("fails", "same", "never up")]
        ways += [("well", 1, True, False), ("well", 1, False, False)]
    return [_sent(world.copy(), operator.copy(), node, way) for way in ways]


def _sent(world: World, operator: Operator, node: str, way: tuple[str, int, bool, bool]) -> Turn:
    outcome, cost, lands, word = way
    world.jobs[node] = Job(outcome)
    world.may_stop(node)
    if lands:
        world.land(node)
    if word:
        operator.add(world.t, "restart.begun", node)
    told = f"{outcome}{'' if lands else ', late'}{'' if word else ', no word'}"
    return _turn(f"restart {node}: {told}", world, operator, cost)


def _give_up(world: World, operator: Operator, decision: GiveUpRestart) -> Turn:
    """Raise the revision on the node; a restart that has not landed is fenced off."""
    node = decision.node
    fenced = node not in world.cut
    job = world.jobs.get(node)
    if fenced and job is not None and not job.landed:
        del world.jobs[node]
    operator.add(world.t, "restart.failed", node, message=decision.reason, effect="unknown", fenced=fenced)
    return _turn(f"give up the restart of {node}{'' if fenced else ', not fenced'}", world, operator)


def _finish(world: World, operator: Operator) -> Turn:
    now = look(world, operator)
    ending = judge(operator.plan, operator.state, now, mend="recover", at_s=world.t)
    lost = operator.state.halt is not None and operator.state.halt.lost
    if ending.exit_code in (0, 20) and not lost:
        world.claim = None
    operator.add(world.t, "run.finished")
    turn = _turn(f"exit {ending.exit_code}", world, operator)
    turn.ending = ending
    return turn


# --- crashes ---------------------------------------------------------------------------------------------------


def _crashes(world: World, operator: Operator, decision: Decision, now: Readings, before: RunState) -> list[Turn]:
    """Dead before the marks, after them, and after each effect of the act."""
    ends = [_dead("before the marks", world.copy(), before), _dead("before the act", world.copy(), operator.state)]
    match decision:
        case BeginNode() if operator.mode == "run":
            claimed = world.copy()
            _claim_node(claimed, decision.node, now)
            ends.append(_dead("after the claim was changed", claimed, operator.state))
        case WriteMembers() if not _confirm(world, operator, taking_out=decision.taking_out):
            ends += _crashed_writes(world, operator, decision)
        case RestartNode() if not world.cut:
            ends += _crashed_restarts(world, operator, decision)
        case GiveUpRestart() if decision.node not in world.cut:
            fenced = world.copy()
            fenced.jobs = {n: j for n, j in fenced.jobs.items() if n != decision.node or j.landed}
            ends.append(_dead("after the fence", fenced, operator.state))
        case Finished():
            ends += _crashed_end(world, operator)
    return ends


def _dead(label: str, world: World, journal: RunState) -> Turn:
    return Turn(f"crash {label}", world, None, journal)


def _crashed_writes(world: World, operator: Operator, decision: WriteMembers) -> list[Turn]:
    operator = operator.copy()
    _intents(world, operator, decision)
    ends = [_dead("after the intents", world.copy(), operator.state)]
    for landed in sorted({1, len(decision.writes)}):
        partly = world.copy()
        for write in decision.writes[:landed]:
            if key_of(write.member) not in world.muted:
                partly.write(write.member, write.to.admin)
        ends.append(_dead(f"after {landed} writes landed", partly, operator.state))
    return ends


def _crashed_restarts(world: World, operator: Operator, decision: RestartNode) -> list[Turn]:
    node, operator = decision.node, operator.copy()
    operator.add(world.t, "restart.intent", node, identity_before=str(world.identity[node]))
    sent, under_way = world.copy(), world.copy()
    sent.jobs[node] = under_way.jobs[node] = Job("well")
    under_way.may_stop(node)
    under_way.land(node)
    return [
        _dead("after the restart's intent", world.copy(), operator.state),
        _dead("after the restart was sent", sent, operator.state),
        _dead("after the restart began", under_way, operator.state),
    ]


def _crashed_end(world: World, operator: Operator) -> list[Turn]:
    ended, operator = world.copy(), operator.copy()
    turn = _finish(ended, operator)
    return [_dead("after the claim was removed", ended, turn.journal)] if ended.claim is None else []
