"""Observe → decide → act, until the planner says that the run is over. The same loop runs, resumes and recovers."""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from rollsafe.engine.act import Actor
from rollsafe.engine.claim import ClaimKeeper
from rollsafe.engine.landing import Landing
from rollsafe.engine.last_words import with_blocked, with_broken_journal, with_late, with_under_way
from rollsafe.engine.log import RunLog
from rollsafe.engine.observe import Observer
from rollsafe.engine.orders import Orders
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.traces import Traces
from rollsafe.engine.undo import without_others
from rollsafe.errors import ClaimError, InvariantBroken, JournalError
from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Member, RestartReading, SeatReading, Unread
from rollsafe.model.record import Record
from rollsafe.model.verdict import Verdict
from rollsafe.model.wording import ended
from rollsafe.planner.by_node import unrepeated
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
from rollsafe.planner.next_step import next_step
from rollsafe.planner.outcome import Ending, in_place_of_recover, judge
from rollsafe.planner.readings import Budget, Order, Readings, claims_gone
from rollsafe.planner.state import Restart
from rollsafe.ports import World

QUICK_POLL_S = 0.1
WAITING_EVERY_S = 5.0
MARKS_AT_MOST = 60  # records without a new look; more of them would be a loop
NUMBERS = dict.fromkeys(map(ord, "0123456789."))
LAST_LOOKS = 5  # longer than one answer that times out after 5 s
LAST_LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Everything a run is made of."""

    world: World
    plan: Plan
    clock: RunClock
    log: RunLog
    keeper: ClaimKeeper
    orders: Orders
    mend: str  # the command that puts back what is left out
    traces: Traces
    budget: Callable[[], Budget] = Budget
    blocked: Mapping[str, str] = field(default_factory=dict)  # nodes whose claim a takeover could not raise, and why
    forgotten: frozenset[str] = frozenset()  # what is gone for ever, as the operator says: machines, endpoints


class Rollout:
    """One run of the loop over one claim that is held already."""

    def __init__(self, setting: Setting) -> None:
        self._s = setting
        self._observer = Observer(
            setting.world,
            setting.plan,
            setting.clock,
            keeper=setting.keeper,
            orders=setting.orders,
            budget=setting.budget,
        )
        self._actor = Actor(
            setting.world, setting.plan, setting.clock, setting.log, setting.keeper, blocked=frozenset(setting.blocked)
        )
        self._waited: tuple[str, str, float] = ("", "", float("-inf"))
        self._gates_told: dict[tuple[str, bool], float] = {}
        self._no_more_writes = ""
        self._landing = Landing()
        setting.log.intents_elsewhere = self._intent_in_claim

    def run(self) -> Ending:
        """Loop to the end, judge the ending from fresh readings, and end or keep the claim accordingly."""
        try:
            self._loop()
        except InvariantBroken as error:
            self._stop_writing(f"an invariant broke, all writes stop: {error}")
        except Exception as error:  # noqa: BLE001 - a defect must still end with the truth, and write nothing more
            self._s.log.write("warning", f"defect: {error!r}", data={"traceback": traceback.format_exc()[-4000:]})
            self._stop_writing(f"a defect of rollsafe, all writes stop: {error!r}")
        return self._end()

    def _loop(self) -> None:
        """Turn by turn. Past all limits nothing more is begun; past them once more (a defect) nothing is written."""
        limit_s = longest_s(self._s.plan)
        deadline_s = self._s.clock.at_s() + limit_s
        while self._turn():
            if self._s.clock.at_s() < deadline_s:
                continue
            reason = f"the run goes on for longer than all its limits together ({limit_s / 3600:.1f} h)"
            if self._s.log.state.halt is not None:
                self._stop_writing(reason)
                return
            self._halt(reason)
            deadline_s = self._s.clock.at_s() + limit_s

    # --- one turn ----------------------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Look once, then decide and act; False when the run is over."""
        self._tell_signals()
        now = self._look()
        self._landing.look(self._s.log.state.hand, now)
        self._settle_doubts(now)
        self._note_command_end(now)
        for _ in range(MARKS_AT_MOST):
            decision = next_step(self._s.plan, self._s.log.state, now, self._s.clock.at_s())
            if isinstance(decision, Finished):
                return self._outwait()
            try:
                looked_at = self._perform(decision, now)
            except JournalError as error:
                self._halt(f"the journal is broken: {error}")
                return True
            if looked_at:
                return True
        raise InvariantBroken("I9", f"the planner goes round in circles at {decision}")

    def _look(self, *, everything: bool = False, since_s: float | None = None) -> Readings:
        now = self._observer.look(self._s.log.state, everything=everything, since_s=since_s)
        self._s.traces.watch = now.watch
        return now

    def _perform(self, decision: Decision, now: Readings) -> bool:
        """Perform one decision. True when the world may have changed, so that it must be looked at again."""
        match decision:
            case Wait():
                self._wait(decision)
            case BeginNode():
                self._tell_gates(decision.node, decision.verdicts)
                self._actor.begin(decision, now)
                if self._s.log.state.in_hand != decision.node:
                    self._s.clock.sleep(self._s.plan.policy.poll_s)
                elif decision.node in self._s.blocked:
                    # its claim is not ours: nothing of it may be written
                    self._finish_node(decision.node, "forgotten" if decision.node in self._s.forgotten else "left out")
            case WriteMembers():
                self._write(decision)
            case RestartNode():
                self._restart(decision)
            case GiveUpRestart():
                self._actor.give_up(decision)
            case _:
                self._mark(decision)
                return False
        return True

    def _write(self, decision: WriteMembers) -> None:
        before = dict(self._s.log.state.nodes[decision.node].failures)
        self._actor.write(decision)
        if self._s.log.state.nodes[decision.node].failures != before:
            self._s.clock.sleep(self._s.plan.policy.poll_s)

    def _restart(self, decision: RestartNode) -> None:
        """First what is slow, over SSH; then the last look, and the planner's word once more; then the restart."""
        self._tell_gates(decision.node, decision.verdicts)
        prepared = self._actor.prepare(decision.node)
        if prepared is None:
            return
        now = self._look()
        again = next_step(self._s.plan, self._s.log.state, now, self._s.clock.at_s())
        if isinstance(again, RestartNode):
            self._actor.restart(again.node, prepared, now)
        else:  # a no between the two looks counts: gates that are shut every other time must not hold the node for ever
            self._perform(again, now)

    def _mark(self, decision: Decision) -> None:
        log = self._s.log
        match decision:
            case StartStep(node=node, step=step, service=service):
                log.write(
                    "step.started", f"{step} of {service or node}", node=node, service=service, data={"step": step}
                )
            case FinishStep(node=node, step=step, service=service, outcome=outcome, data=data):
                words = {**data, "step": step, "outcome": outcome}
                log.write("step.finished", f"{step}: {outcome}", node=node, service=service, data=words)
            case ProveRestart(node=node, identity=identity):
                if log.state.nodes[node].restart_exit_s is None:
                    self._actor.let_go(node)
                before = log.state.nodes[node].identity_before
                words = {"identity_before": before, "identity_after": identity}
                log.write("restart.done", f"{node} was restarted: {before} → {identity}", node=node, data=words)
                log.restart_over(node, "done")
            case HaltRun(reason=reason, remedy=remedy, lost=lost):
                log.write("run.stopping", reason, node=log.state.in_hand, data={"remedy": remedy, "lost": lost})
            case FinishNode(node=node, outcome=outcome):
                self._finish_node(node, outcome)
            case _:
                raise InvariantBroken("I9", f"nobody performs {decision}")

    def _finish_node(self, node: str, outcome: str) -> None:
        state = self._s.log.state.nodes[node]
        end_s = state.ready_s if state.ready_s is not None else self._s.clock.at_s()
        out_s = round(end_s - state.out_s, 1) if state.out_s is not None else 0.0
        words = {"outcome": outcome, "out_of_service_s": out_s}
        self._landing.tell(self._s.log, state)
        self._s.log.write("node.finished", f"{node}: {outcome}", node=node, data=words)

    # --- what is told ------------------------------------------------------------------------------------------

    def _tell_signals(self) -> None:
        for name in self._s.orders.untold():
            self._s.log.write("signal", f"{name} came", data={"name": name})

    def _tell_gates(self, node: str, verdicts: tuple[Verdict, ...]) -> None:
        """Each gate's answer, where it is another than the last one told; a no is told again now and then."""
        at_s = self._s.clock.at_s()
        for verdict in verdicts:
            key = f"{node}/{verdict.gate}/{_without_numbers(verdict.reason)}"
            told_s = self._gates_told.get((key, verdict.allowed))
            if told_s is not None and not verdict.allowed and at_s - told_s < WAITING_EVERY_S:
                continue
            self._gates_told[key, verdict.allowed] = at_s
            words = {
                "gate": verdict.gate,
                "allowed": verdict.allowed,
                "reason": verdict.reason,
                "remedy": verdict.remedy,
                "all_allowed": all(v.allowed for v in verdicts),
            }
            self._s.log.write("gate.checked", verdict.reason, node=node, data=words)

    def _wait(self, wait: Wait) -> None:
        if any(not verdict.allowed for verdict in wait.verdicts):
            assert wait.node is not None
            self._tell_gates(wait.node, tuple(v for v in wait.verdicts if not v.allowed))
        self._tell_wait(wait)
        poll_s = self._s.plan.policy.poll_s
        pause_s = min(poll_s, QUICK_POLL_S) if wait.quick else poll_s
        if wait.next_s is not None:
            pause_s = min(pause_s, max(wait.next_s, 0.01))
        self._s.clock.sleep(pause_s)

    def _outwait(self) -> bool:
        """True where a write that had no answer may still land: once the claims are gone, nobody would know of it."""
        state, left_s = self._s.log.state, self._actor.may_land_until_s - self._s.clock.at_s()
        if left_s <= 0 or self._s.orders.order is Order.NOW or (state.halt is not None and state.halt.lost):
            return False
        self._wait(Wait("a write without an answer, which may still land", left_s=left_s))
        return True

    def _tell_wait(self, wait: Wait) -> None:
        at_s = self._s.clock.at_s()
        what = f"{wait.node}/{wait.step}/{wait.service}/{_without_numbers(wait.reason)}"
        shown = repr(wait.reading)
        same_wait, same_reading, told_s = what == self._waited[0], shown == self._waited[1], self._waited[2]
        if same_wait and at_s - told_s < (WAITING_EVERY_S if same_reading else 1.0):
            return
        self._waited = (what, shown, at_s)
        left = f", {wait.left_s:.0f} s left" if wait.left_s is not None else ""
        words = {
            "step": wait.step,
            "for": wait.reason,
            "reading": dict(wait.reading),
            "left_s": None if wait.left_s is None else round(wait.left_s, 1),
        }
        self._s.log.write(
            "step.waiting", f"waiting for {wait.reason}{left}", node=wait.node, service=wait.service, data=words
        )

    # --- what a look settles -----------------------------------------------------------------------------------

    def _settle_doubts(self, now: Readings) -> None:
        """A write without an outcome, whose state is read now, has its outcome."""
        hand = self._s.log.state.hand
        for member, to in dict(hand.in_doubt).items() if hand is not None else ():
            seat = now.member(member)
            if isinstance(seat, SeatReading) and seat.admin is to:
                self._s.log.about("write.done", member, f"{member.seat} reads {to.value}", to=to.value, seen="later")

    def _note_command_end(self, now: Readings) -> None:
        hand = self._s.log.state.hand
        if hand is None or hand.restart_exit_s is not None or hand.restart not in (Restart.INTENT, Restart.BEGUN):
            return
        if isinstance(now.restart, RestartReading) and now.restart.finished:
            words = {"exit_status": now.restart.exit_status, "output": now.restart.output[-2000:]}
            message = f"the restart command of {hand.name} exited {now.restart.exit_status}"
            self._s.log.write("restart.ended", message, node=hand.name, data=words)

    # --- the end -----------------------------------------------------------------------------------------------

    def _halt(self, reason: str) -> None:
        if self._s.log.state.halt is None:
            self._s.log.write("run.stopping", reason, node=self._s.log.state.in_hand, data={"remedy": ""})

    def _stop_writing(self, reason: str) -> None:
        self._no_more_writes = reason
        self._halt(reason)

    def _intent_in_claim(self, record: Record) -> None:
        """The journal is broken: the intent of a put-back is made durable in the claim, on the nodes."""
        try:
            self._s.keeper.change(doing=f"put back {record.node} ({record.message}); the journal is broken")
        except ClaimError as error:
            raise JournalError(f"{self._s.log.broken}; nor can the claim hold the intent: {error}") from error

    def _end(self) -> Ending:
        setting = self._s
        lost = setting.log.state.halt is not None and setting.log.state.halt.lost
        late = self._actor.late_writes() if lost else {}
        now = self._last_look()
        ending, mend = self._judged(now, late)
        ending = with_under_way(ending, {} if lost else self._actor.under_way(), setting.mend)
        ending = with_blocked(ending, setting.world, setting.blocked, setting.forgotten, setting.mend)
        ending = with_broken_journal(ending, setting.log.broken, mend)
        if lost:
            return with_late(ending, late, mend)  # whoever took over answers for the claim
        if ending.exit_code in (0, 20) and not self._no_more_writes:
            problems = setting.keeper.end()
            if problems:
                if setting.orders.order is not Order.NOW:  # there is time for one more try
                    setting.keeper.release(f"ended with 40: {problems[0]}")
                reasons = {node: view.detail for node, view in setting.keeper.views.items()}
                why = unrepeated("; ".join(problems), ending.message, reasons)
                text = f"{ending.message} But the claim could not be ended: {ended(why)} Then: {setting.mend}"
                return replace(ending, outcome="unknown", exit_code=40, message=text)
            setting.log.write("claim.ended", "the claim was removed from every node")
            return ending
        entries = without_others(setting.keeper.record, setting.log.state, now)
        setting.keeper.release(f"ended with {ending.exit_code}: {ending.outcome}", entries)
        setting.log.write("claim.changed", "the claim stays on the nodes, for recover")
        if ending.exit_code in (0, 20):
            text = f"{ending.message} The claims stay on the nodes. To clear them: {setting.mend}"
            return replace(ending, message=text)
        return ending

    def _last_look(self) -> Readings:
        """Fresh readings; an endpoint that is silent is asked a few times more, unless the run must end at once."""
        began_s = self._s.clock.at_s()
        for turn in range(LAST_LOOKS):
            now = self._look(everything=True, since_s=began_s)
            silent = any(isinstance(pool, Unread) and not pool.for_good for pool in now.pools.values())
            if not silent or self._s.orders.order is Order.NOW or turn == LAST_LOOKS - 1:
                break
            self._s.clock.sleep(LAST_LOOK_EVERY_S)
        return now

    def _judged(self, now: Readings, late: Mapping[Member, AdminState]) -> tuple[Ending, str]:
        """The ending, and the command that it names. `recover` works from our claim: where there is none any more, a
        node is put back by hand; and where nothing of ours is out, whoever lost the claim may only look."""
        setting, begun = self._s, list(self._s.log.state.nodes)
        halt, record = setting.log.state.halt, setting.keeper.record
        lost = halt is not None and halt.lost
        answered = lost and setting.keeper.answered_for()

        def judged(mend: str) -> Ending:
            last = late if answered else None
            at_s = setting.clock.at_s()
            return judge(setting.plan, setting.log.state, now, mend=mend, at_s=at_s, entries=record.entries, late=last)

        ending, gone = judged(setting.mend), claims_gone(now) or answered
        if not begun or not (gone or lost) or (ending.left_out and not gone):
            return ending, setting.mend
        command = in_place_of_recover(setting.mend, f"ready {begun[-1]}" if ending.left_out else "status")
        return judged(command), command


def _without_numbers(text: str) -> str:
    """What a reason says, whatever its readings are just now."""
    return text.translate(NUMBERS)


def longest_s(plan: Plan) -> float:
    """The time that a run can't outlast whatever happens: every limit of every step, and then some."""
    policy = plan.policy
    per_node = sum(3 * s.timeout_s * 5 + s.linger_s * 5 for s in plan.services) + sum(
        (policy.gate_timeout_s * 4, policy.put_back_timeout_s * 2, policy.soak_s * 2, policy.healthy_for_s * 2)
    )
    starts = sum(n.start_timeout_s + 2 * n.restart_timeout_s + n.start_timeout_s for n in plan.nodes)
    return 3600.0 + per_node * max(1, len(plan.nodes)) + starts + policy.start_timeout_s
