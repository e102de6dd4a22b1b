"""The commands that change something, from the first question to the last line: run, resume, recover, and by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rollsafe.engine import elsewhere, met, preflight, takeover, unmatched
from rollsafe.engine.claim import BEAT_EVERY_S, ClaimKeeper
from rollsafe.engine.claiming import claim, look_for_claims
from rollsafe.engine.log import RunLog
from rollsafe.engine.loop import Rollout, Setting
from rollsafe.engine.orders import Orders
from rollsafe.engine.preflight import Selection
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.traces import Traces
from rollsafe.errors import Refused, ShellError
from rollsafe.model.claim import ClaimRecord, Who
from rollsafe.model.cluster import Cluster, Idle
from rollsafe.model.plan import Plan, PlannedNode
from rollsafe.model.reading import AdminState, IdentityReading, ProbeSummary, SeatReading
from rollsafe.planner.by_node import told
from rollsafe.planner.commands import completed
from rollsafe.planner.outcome import Ending, in_place_of_recover
from rollsafe.planner.readings import Budget, Readings
from rollsafe.planner.state import Restart
from rollsafe.ports import World

Fits = Callable[[Plan, Readings], None]
JOB_LOOK_EVERY_S = 2.0
STALE_S = 2.0  # of readings, as before a stop


@dataclass(frozen=True, slots=True)
class Session:
    """One execution of rollsafe over one cluster. `mend` is the command that puts back what may be left out."""

    cluster: Cluster
    world: World
    clock: RunClock
    log: RunLog
    orders: Orders
    who: Who
    holder: str
    mend: str
    budget: Callable[[], Budget] = Budget
    wait_for_lock_s: float = 0.0
    forget: frozenset[str] = field(default_factory=frozenset)  # nodes and endpoints that are gone for ever
    traces: Traces = field(default_factory=Traces)


def run(session: Session, plan: Plan, now: Readings, mode: str = "run", fits: Fits | None = None) -> Ending:
    """The rolling restart of a plan whose readings were just taken. Modes `drain` and `restart`: one node by hand.

    `fits` raises Refused where the plan is not the one that was asked for. It is asked once nobody else holds the
    cluster: what another run has out is no change of the cluster.
    """
    started(session, mode, [n.name for n in plan.nodes], plan)
    return closing(session, lambda: _run(session, plan, now, fits))


def _run(session: Session, plan: Plan, now: Readings, fits: Fits | None) -> Ending:
    session.traces.before = now
    standing = look_for_claims(session, now)
    if standing is not None:
        return standing
    if session.clock.at_s() - now.at_s > STALE_S:  # it waited: whoever held the claim has put its node back since
        now = preflight.look(session.world, plan, session.clock)
    if fits is not None:
        fits(plan, now)
    fine = preflight.check(session.world, plan, now, session.log, session.clock)
    if session.orders.order:
        return Ending("stopped", 20, "stopped before anything was begun: nothing was touched")
    keeper = claim(session, now)
    if isinstance(keeper, Ending):
        return keeper
    session.log.write("claim.made", f"the claim is ours on all {len(plan.all_nodes)} nodes", data={"fine": list(fine)})
    return roll(session, plan, keeper)


def resume(session: Session, plan: Plan, run_id: str, *, take_over: bool = False) -> Ending:
    """Go on where a run stopped: its journal tells how far it came, its claim is taken over, the world is looked at."""
    return closing(session, lambda: _resume(session, plan, run_id, take_over=take_over))


def _resume(session: Session, plan: Plan, run_id: str, *, take_over: bool) -> Ending:
    copies = _first_copies(session, run_id)
    if copies.of(run_id):
        copies = _watched(session, copies, run_id, "resume", take_over=take_over)
    if not copies.of(run_id):
        raise Refused(f"run {run_id} has no claim on the cluster any more: it was ended or recovered; begin a new run")
    why = _recovered_since(session, copies, run_id) or met.unknown_here(session, copies.highest(run_id))
    if why:
        return met.dead(session, copies.highest(run_id), why)
    text = f"{session.who.who} takes over the claim of run {run_id}"
    session.log.write("claim.raising", text, data={"holder": session.holder})  # else a later resume thinks it another's
    taken = _taken(session, copies, run_id, "resume", take_over=take_over)
    if taken.blocked:
        why = f"resume needs every node's claim: {told(taken.blocked)}"
        newest = takeover.read_copies(session.world)
        return met.dead(session, (newest if newest.of(run_id) else copies).highest(run_id), why)
    words = {"epoch": taken.keeper.record.token.epoch, "holder": session.holder}
    session.log.write("run.resumed", f"{session.who.who} goes on with run {run_id}", data=words)
    _settle_restart(session)
    return roll(session, plan, taken.keeper)


def _recovered_since(session: Session, copies: takeover.Copies, run_id: str) -> str:
    """Who took the claim over since may have written what this journal does not know of: then it is no guide."""
    known = session.log.state
    tokens = [copy.token for copy in copies.of(run_id).values()]
    if all(token.epoch <= known.epoch or token.holder in known.raised_by for token in tokens):
        return ""
    who = copies.highest(run_id).who
    return (
        f"run {run_id} was taken over since, last by {who.who} from {who.host}, so that this machine's journal "
        f"does not know all that was done"
    )


def _settle_restart(session: Session) -> None:
    """A restart that was in doubt: look. The raised epoch fences it off, so that it can't run any more."""
    hand = session.log.state.hand
    if hand is None or hand.restart not in (Restart.INTENT, Restart.BEGUN):
        return
    reading = _identity(session.world, hand.name)
    if reading is None or reading.identity is None or reading.job or reading.ours:
        return  # stopped, or on its way: the loop waits for the proof
    if reading.identity != hand.identity_before:
        words = {"identity_before": hand.identity_before, "identity_after": reading.identity}
        session.log.write(
            "restart.done", f"{hand.name} was restarted before the run stopped", node=hand.name, data=words
        )
        session.log.restart_over(hand.name, "done")
        return
    text = f"the restart of {hand.name} never ran, and is fenced off now"
    session.log.write("restart.failed", text, node=hand.name, data={"effect": "none"})
    session.log.restart_over(hand.name, "failed")


def _identity(world: World, node: str) -> IdentityReading | None:
    try:
        return world.restarters[node].identity()
    except ShellError:
        return None


def cannot_resume(session: Session, run_id: str, why: str) -> Ending:
    """A run that this machine can't go on with: what it left out is told all the same."""
    started(session, "resume", [], None)
    return closing(session, lambda: _cannot_resume(session, run_id, why))


def _cannot_resume(session: Session, run_id: str, why: str) -> Ending:
    copies = _first_copies(session, run_id)
    if not copies.of(run_id):
        return Ending("refused", 10, f"nothing was touched: {why}; its claim is gone meanwhile")
    met.refuse_if_alive(session, copies, run_id, "resume")
    return met.dead(session, copies.highest(run_id), why)


def recover(session: Session, *, run_id: str | None, wait_s: float, take_over: bool = False) -> Ending:
    """Put back what an interrupted run left out, from any machine: the claim on the nodes tells what was found."""
    started(session, "recover", [], None)
    return closing(session, lambda: _recover(session, run_id, wait_s, take_over=take_over))


def _recover(session: Session, run_id: str | None, wait_s: float, *, take_over: bool) -> Ending:
    copies = _first_copies(session, run_id)
    runs = [r for r in copies.runs() if run_id in (None, r)]
    if not runs:
        return met.nothing_to_recover(session, copies, run_id)
    copies = _watched(session, copies, runs[0], "recover", take_over=take_over)
    if not copies.of(runs[0]):
        return _recover(session, run_id, wait_s, take_over=take_over)  # it has ended; is there another?
    if wrong := unmatched.wrong_forget(session, copies.highest(runs[0])):
        return met.dead(session, copies.highest(runs[0]), wrong)
    before = copies.highest(runs[0]).who
    taken = _taken(session, copies, runs[0], "recover", take_over=take_over)
    words = {"epoch": taken.keeper.record.token.epoch, "holder": session.holder, "blocked": dict(taken.blocked)}
    text = f"the claim of run {runs[0]} was taken over from {before.who}"
    session.log.write("claim.made", text, data=words)
    plan = recovery_plan(session, taken.keeper.record, wait_s)
    if _restart_goes_on(session, taken.keeper.record.node_in_hand, wait_s):
        taken.keeper.release("left while systemd is at the restart")
        return met.dead(session, taken.keeper.record, "systemd is still at its restart, which may stop it any time")
    blocked = {**taken.blocked, **dict.fromkeys(unmatched.strange_nodes(session.world, plan), "")}
    ending = unmatched.tell(session, taken.record, plan, roll(session, plan, taken.keeper, blocked=blocked))
    ending = elsewhere.swept(session, taken.keeper, ending)
    left = [r for r in runs[1:] if r not in copies.unbegun(runs[0])]
    more = f" There is another claim: {session.mend} --run-id {left[0]}" if left else ""
    return replace(ending, message=ending.message + more)


def _restart_goes_on(session: Session, node: str | None, wait_s: float) -> bool:
    """Does systemd still have a job for the node that the dead run had in hand? It answers as ever until it is stopped,
    so that its health says nothing: waited for."""
    if node is None or node not in session.world.restarters or node in session.forget:
        return False
    ends_s = session.clock.at_s() + wait_s
    while (told := _identity(session.world, node)) is not None and told.job:
        left_s = ends_s - session.clock.at_s()
        if left_s <= 0 or session.orders.order:
            return True
        goal = f"the end of systemd's job on {node}"
        words = {"step": "restart", "for": goal, "reading": {"job": True}, "left_s": round(left_s, 1)}
        session.log.write("step.waiting", f"waiting for {goal}, {left_s:.0f} s left", node=node, data=words)
        session.clock.sleep(JOB_LOOK_EVERY_S)
    return False


def _watched(
    session: Session, copies: takeover.Copies, run_id: str, command: str, *, take_over: bool
) -> takeover.Copies:
    """The copies after the run's beat was watched: it may have ended meanwhile. Raises Refused where it lives."""
    if take_over:
        return copies
    met.refuse_if_alive(session, copies, run_id, command)
    session.traces.alive = False
    return takeover.read_copies(session.world)


def _first_copies(session: Session, run_id: str | None) -> takeover.Copies:
    """What the claims say when the command begins: until then nobody knows what a dead run left out."""
    session.traces.reading = True
    copies = takeover.read_copies(session.world)
    runs = [run for run in copies.runs() if run_id in (None, run)]
    session.traces.met = copies.highest(runs[0]) if runs else None
    session.traces.reading = False
    return copies


def _taken(session: Session, copies: takeover.Copies, run_id: str, command: str, *, take_over: bool) -> takeover.Taken:
    """The claim, and those of other runs that stand in its way and began no node: two dead runs must not block one
    another."""
    others = copies.unbegun(run_id)
    for other in () if take_over else others:
        met.refuse_if_alive(session, copies, other, command)
    session.traces.met = copies.highest(run_id)
    asked = met.asked(session, command)
    words = (session.world, session.clock, copies, run_id, session.who, session.holder)
    taken = takeover.take_over(*words, also=others, asked=asked)
    session.traces.met = taken.keeper.record
    return taken


def recovery_plan(session: Session, record: ClaimRecord, wait_s: float) -> Plan:
    """The plan of going back: every node that was begun and may have been written to, with the members it had."""
    selection = Selection(tuple(n.name for n in session.cluster.live_nodes), ())
    members, _problems = preflight.members_now(session.world, session.cluster)
    begun = [n for n, entry in record.entries.items() if n == record.node_in_hand or any(e.wrote for e in entry)]
    known = unmatched.members_to_undo(record, members, begun, session.forget)
    base = preflight.plan_of(session.cluster, known, selection)
    nodes = tuple(PlannedNode(n, wait_s, 0.0) for n in begun)
    policy = replace(base.policy, start_timeout_s=wait_s)
    return replace(base, nodes=nodes, policy=policy)


# --- what they share -------------------------------------------------------------------------------------------


def roll(session: Session, plan: Plan, keeper: ClaimKeeper, blocked: Mapping[str, str] | None = None) -> Ending:
    """Look, decide, act, until there is no more to do, while the claim's heart beats."""
    session.traces.keeper = keeper
    session.world.heart.start(keeper.beat, BEAT_EVERY_S)
    try:
        setting = Setting(
            session.world,
            plan,
            session.clock,
            session.log,
            keeper,
            session.orders,
            session.mend,
            session.traces,
            budget=session.budget,
            blocked=blocked or {},
            forgotten=session.forget,
        )
        return Rollout(setting).run()
    finally:
        session.world.heart.stop()


def started(session: Session, mode: str, nodes: Sequence[str], plan: Plan | None) -> None:
    """The first record."""
    words: dict[str, Any] = {
        "cluster": session.cluster.name,
        "nodes": list(nodes),
        "services": [s.name for s in session.cluster.services],
        "who": session.who.who,
        "host": session.who.host,
        "pid": session.who.pid,
        "reason": session.who.reason,
        "url": session.who.url,
        "mode": mode,
        "estimate_s": None if plan is None else round(plan.expected_s(), 1),
    }
    session.log.write("run.started", f"{mode} of {session.cluster.name}", data=words)


def closing(session: Session, body: Callable[[], Ending]) -> Ending:
    """Probes around the body, and `run.finished` after it, whatever happens."""
    session.world.watch.start()
    try:
        ending = body()
    except Refused as error:
        ending = Ending("refused", 10, completed(str(error), session.mend))
    except takeover.NotTaken as error:
        record, doubts = met.newest(session)
        ending = met.dead(session, record, str(error), session.traces.before, doubts=doubts)
    except takeover.AskedToStop:
        ending = met.stopped(session)
    finally:
        session.world.watch.stop()
        summaries = session.world.watch.summaries()  # what settled at the end counts, as among the samples
    finish(session.log, session.clock, ending, summaries)
    return ending


def finish(log: RunLog, clock: RunClock, ending: Ending, summaries: Sequence[ProbeSummary]) -> None:
    """The last record."""
    log.write("run.finished", ending.message, data=_last_words(clock, ending, summaries))


def finish_now(log: RunLog, clock: RunClock, ending: Ending, summaries: Sequence[ProbeSummary]) -> None:
    """The last record of a process that must end, while its engine hangs or has broken: nobody writes after it."""
    log.end("run.finished", ending.message, _last_words(clock, ending, summaries))


def _last_words(clock: RunClock, ending: Ending, summaries: Sequence[ProbeSummary]) -> dict[str, Any]:
    """The contract's fields, and `changed` where there is any."""
    changed = {"changed": [dict(entry) for entry in ending.changed]} if ending.changed else {}
    return {
        "outcome": ending.outcome,
        "exit_code": ending.exit_code,
        "nodes": {name: dict(node) for name, node in ending.nodes.items()},
        "services": services_data(summaries),
        "duration_s": round(clock.at_s(), 1),
        "left_out": [dict(entry) for entry in ending.left_out],
        "others": [dict(entry) for entry in ending.others],
        **changed,
    }


def services_data(summaries: Sequence[ProbeSummary]) -> dict[str, dict[str, Any]]:
    """What the probes saw, one entry for each service (several probes of one service are added up)."""
    services: dict[str, dict[str, Any]] = {}
    for seen in summaries:
        entry = services.setdefault(
            seen.service, {"probes": 0, "failed": 0, "rejected": 0, "longest_outage_s": 0.0, "missed": 0, "late_s": 0.0}
        )
        entry["probes"] += seen.probes
        entry["failed"] += seen.failed
        entry["rejected"] += seen.rejected
        entry["missed"] += seen.missed
        entry["late_s"] = round(max(entry["late_s"], seen.late_s), 3)
        entry["longest_outage_s"] = round(max(entry["longest_outage_s"], seen.longest_outage_s), 3)
    for entry in services.values():
        asked = entry["probes"]
        entry["availability"] = round((asked - entry["failed"]) / asked, 6) if asked else None
    return services


def is_drained(plan: Plan, now: Readings, node: str) -> str:
    """Why a node is not drained (every member out, 0 active, or the time for that used up and in maint where that is
    permitted); empty where it is."""
    cut = {service.name for service in plan.services if service.idle is Idle.PREFERRED}
    for member in plan.members_of(node):
        seat = now.member(member)
        if not isinstance(seat, SeatReading):
            return f"{member} can't be read: {seat.reason}"
        if not seat.admin.out:
            return f"{member} reads {seat.admin.value}"
        if seat.active and not (member.service in cut and seat.admin is AdminState.MAINT):
            return f"{member} has {seat.active} active"
    return ""


def claims_unread(session: Session, mode: str, unread: Mapping[str, str]) -> Ending:
    """A command that goes on with a run, and met no claim where it could ask: there may be one where it could not."""
    started(session, mode, [], None)
    ending = met.not_asked(unread, in_place_of_recover(session.mend, mode))
    finish(session.log, session.clock, ending, ())
    return ending


def nothing_to_do(session: Session, mode: str, message: str) -> Ending:
    """A command that finds nothing to do says so, as every other ending is said."""
    started(session, mode, [], None)
    ending = Ending("done", 0, message)
    finish(session.log, session.clock, ending, ())
    return ending
