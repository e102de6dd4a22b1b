"""The acts: intent on disk → the claims read → the act → the world read again → outcome on disk. Never otherwise."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from rollsafe.engine.claim import ClaimKeeper, Confirmed
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.engine.undo import with_entry
from rollsafe.engine.unknown import no_endpoint
from rollsafe.errors import BalancerError, ClaimError, Effect, ShellError
from rollsafe.model.claim import FoundMember
from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Found, IdentityReading, Member, SeatReading, Unread
from rollsafe.planner.decisions import BeginNode, GiveUpRestart, MemberWrite, WriteMembers
from rollsafe.planner.fold import found_data
from rollsafe.planner.gates import FRESH_S
from rollsafe.planner.invariants import check_before_restart, check_before_write
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import Restart
from rollsafe.ports import Balancer, World

SEEN_WITHIN_S = 3.0  # after a write, so long is the new state looked for
LOOK_EVERY_S = 0.05
OUTWAIT_S = 10.0  # a write without an answer may still land, so long as a takeover waits for one
IDENTITY_WITHIN_S = 10.0
ORDER_WITHIN_S = 10.0  # a restart is begun so soon after it was ordered, or not at all
COMMAND_ENDS_WITHIN_S = 12.0  # TERM, 3 s, KILL, 3 s, and the way there
WRITE_WITHIN_S = 8.0  # the write and the looking, together; an endpoint that is slower is asked again later


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a node said of itself before its restart, and when it was asked."""

    identity: IdentityReading
    asked_s: float

    def until_s(self, now_s: float) -> float | None:
        """The node's uptime past which an order that is sent now comes too late; None where it tells no uptime."""
        uptime_s = self.identity.uptime_s
        return None if uptime_s is None else uptime_s + (now_s - self.asked_s) + ORDER_WITHIN_S


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of one write. No problem: the new state was seen. `late`: the call may have reached the balancer
    after the time in which a takeover waits for it, because this process stood still meanwhile. `unheard`: it had no
    answer, so that it may land later, whatever was seen."""

    problem: str = ""
    effect: Effect = Effect.UNKNOWN
    late: bool = False
    unheard: bool = False


class Actor:
    """Performs what the planner decided. Every method leaves an outcome in the log."""

    def __init__(
        self, world: World, plan: Plan, clock: RunClock, log: RunLog, keeper: ClaimKeeper, *, blocked: frozenset[str]
    ) -> None:
        self._world = world
        self._plan = plan
        self._clock = clock
        self._log = log
        self._keeper = keeper
        self._blocked = blocked  # nodes whose claim could not be raised in a takeover: nothing of theirs is written
        self._late: dict[Member, AdminState] = {}  # of the last writes those that a takeover may not have outwaited
        self._unheard: dict[Hashable, tuple[Member, AdminState]] = {}  # and those that had no answer in time
        self.may_land_until_s = float("-inf")  # until then a write that had no answer may still land
        self._may_land: dict[Member, AdminState] = {}

    # --- begin -------------------------------------------------------------------------------------------------

    def begin(self, decision: BeginNode, now: Readings) -> None:
        """Take a node in hand: what its members are goes into the claim on every node, then into the log."""
        node = decision.node
        if self._log.state.mode == "recover":
            self._begin_from_claim(node)
            return
        found = {m: seat.found for m in self._plan.members_of(node) if isinstance(seat := now.member(m), SeatReading)}
        assert len(found) == len(self._plan.members_of(node)), "a node is begun only when all its members were read"
        entry = tuple(FoundMember(m, f, _may_write(f)) for m, f in found.items())
        doing = f"{'draining' if self._log.state.mode == 'drain' else 'restarting'} {node}"
        try:
            self._keeper.change(entries=with_entry(self._keeper.record, node, entry), node_in_hand=node, doing=doing)
        except ClaimError as error:
            self._log.write(
                "gate.checked", str(error), data={"gate": "claim", "allowed": False, "reason": str(error), "for": node}
            )
            return
        self._log.write("claim.changed", f"the claim says on every node that {node} is in hand", node=node)
        position = len(self._log.state.nodes) + 1
        self._log.write(
            "node.started",
            f"node {position} of {len(self._plan.nodes)}",
            node=node,
            data={
                "position": position,
                "of": len(self._plan.nodes),
                "found": [found_data(m, f) for m, f in found.items()],
            },
        )

    def _begin_from_claim(self, node: str) -> None:
        entry = self._keeper.record.entries[node]
        in_hand = self._keeper.record.node_in_hand == node
        self._log.write(
            "node.started",
            "as the claim tells it" + ("; it counts as stopped" if in_hand else ""),
            node=node,
            data={
                "position": len(self._log.state.nodes) + 1,
                "of": len(self._plan.nodes),
                "counts_as_stopped": in_hand,
                "found": [{**found_data(e.member, e.found), "wrote": list(e.wrote)} for e in entry],
            },
        )

    # --- balancers ---------------------------------------------------------------------------------------------

    def write(self, decision: WriteMembers) -> None:
        """Write to the members, each endpoint by itself, and look until the new state is seen."""
        writes = [w for w in decision.writes if w.member.node not in self._blocked]
        state = self._log.state
        check_before_write(self._plan, state, decision)
        for write in writes:
            self._log.about(
                "write.intent",
                write.member,
                f"{write.member.pool}/{write.member.seat} to {write.to.admin.value}: {write.why}",
                **self._words(write),
                taking_out=decision.taking_out,
            )
        proof = self._keeper.confirm(taking_out=decision.taking_out)
        if not proof.allowed:
            for write in writes:
                self._failed(write, proof.reason, Effect.NONE)
            return
        started_s = self._clock.at_s()
        keys = {w.member: ("write", w.member, w.to.admin, started_s) for w in writes}  # no earlier write's late answer
        answers = self._world.gather({keys[w.member]: self._writer(w, proof) for w in writes}, WRITE_WITHIN_S)
        orders = {keys[w.member]: (w.member, w.to.admin) for w in writes}
        # what was late before is forgotten: the claims were read as ours after it, so nobody had taken over
        self._unheard = {key: what for key, what in orders.items() if key not in answers}
        self._late = dict(orders[key] for key, answer in answers.items() if answer.late)
        none = _Sent(f"no answer within {WRITE_WITHIN_S:g} s", unheard=True)
        if unheard := {m: to for key, (m, to) in orders.items() if answers.get(key, none).unheard}:
            self.may_land_until_s = self._clock.at_s() + OUTWAIT_S
            self._may_land |= unheard
        for write in writes:
            sent = answers.get(keys[write.member], none)
            if sent.problem:
                self._failed(write, sent.problem, sent.effect)
                continue
            took_s = round(self._clock.at_s() - started_s, 3)
            self._log.about(
                "write.done",
                write.member,
                f"{write.member.pool}/{write.member.seat} reads {write.to.admin.value}",
                **self._words(write),
                took_s=took_s,
            )

    def under_way(self) -> Mapping[Member, AdminState]:
        """Writes that had no answer and may still land, though the member was seen otherwise since."""
        return self._may_land if self._clock.at_s() < self.may_land_until_s else {}

    def late_writes(self) -> Mapping[Member, AdminState]:
        """The claim is lost: the last writes that the takeover may not have outwaited. One under way is waited for."""
        keys = dict(self._unheard)
        late = _Sent(late=True)
        answers = self._world.gather(dict.fromkeys(keys, lambda: late), WRITE_WITHIN_S)  # heard, not sent anew
        self._late |= {member: to for key, (member, to) in keys.items() if answers.get(key, late).late}
        self._unheard = {}
        return self._late

    def _writer(self, write: MemberWrite, proof: Confirmed) -> Callable[[], _Sent]:
        """Send once, then look until the new state is seen. The clock is looked at again just before the send."""
        member = write.member
        balancer = self._world.balancers.get((member.balancer, member.endpoint))
        if balancer is None:
            unsent = _Sent(no_endpoint(self._world, member.balancer, member.endpoint).reason, Effect.NONE)
            return lambda: unsent

        def send_and_see() -> _Sent:
            left_s = proof.until_s - self._clock.at_s()
            if left_s <= 0:
                return _Sent("the claims were read too long ago", Effect.NONE)
            problem = ""
            try:
                balancer.write(member.pool, member.seat, write.to, within_s=left_s)
            except BalancerError as error:
                problem = str(error)
                if error.effect is Effect.NONE:
                    return _Sent("" if self._reads(balancer, write) else problem, Effect.NONE)
            late = self._clock.at_s() >= proof.until_s
            seen = self._see(balancer, write)
            return _Sent((problem or seen) if seen else "", late=late, unheard=bool(problem))

        return send_and_see

    def _reads(self, balancer: Balancer, write: MemberWrite) -> bool:
        """Does the member read as it should all the same? A balancer's old process refuses what its new one shows."""
        try:
            seats = balancer.read(write.member.pool).seats
        except BalancerError:
            return False
        return any(seat.seat == write.member.seat and seat.admin is write.to.admin for seat in seats)

    def _see(self, balancer: Balancer, write: MemberWrite) -> str:
        """Read until the member shows the new state; empty when it does, else what it shows instead."""
        member = write.member
        deadline_s = self._clock.at_s() + SEEN_WITHIN_S
        shown = "nothing"
        while True:
            try:
                seats = {seat.seat: seat for seat in balancer.read(member.pool).seats}
                if member.seat in seats and seats[member.seat].admin is write.to.admin:
                    return ""
                shown = seats[member.seat].admin.value if member.seat in seats else "no such member"
            except BalancerError as error:
                shown = str(error)
            if self._clock.at_s() >= deadline_s:
                return f"{write.to.admin.value} was written, and {SEEN_WITHIN_S:g} s later it shows {shown}"
            self._clock.sleep(LOOK_EVERY_S)

    def _failed(self, write: MemberWrite, problem: str, effect: Effect) -> None:
        self._log.about("write.failed", write.member, problem, **self._words(write), effect=effect.value)

    def _words(self, write: MemberWrite) -> dict[str, object]:
        node = self._log.state.nodes[write.member.node]
        back = node.found.get(write.member)
        found = node.read.get(write.member, back.admin if back else None)
        return {
            "found": found.value if found else None,
            "to": write.to.admin.value,
            "why": write.why,
        }

    # --- the restart -------------------------------------------------------------------------------------------

    def prepare(self, node: str) -> "Prepared | None":
        """What is asked over SSH before the last look: the node's identity, and whose the claims are.

        None: the restart is not sent, and the log says why.
        """
        asked_s = self._clock.at_s()
        before = self._identity(node)
        if isinstance(before, Unread):
            self._not_sent(node, f"{node} could not be asked for its identity: {before.reason}")
            return None
        proof = self._keeper.confirm(taking_out=True)
        if not proof.allowed:
            self._not_sent(node, proof.reason)
            return None
        return Prepared(before, asked_s)

    def restart(self, node: str, prepared: "Prepared", now: Readings) -> None:
        """The one irreversible act, fenced by the claim's token, on readings that are young enough: here, and by the
        node's own clock also where the order is held up on its way."""
        restarter = self._world.restarters[node]
        age_s = self._clock.at_s() - now.at_s
        if age_s > FRESH_S:
            self._not_sent(node, f"the readings became {age_s:.1f} s old before {node} could be stopped")
            return
        check_before_restart(self._plan, self._log.state, now, node)
        self._log.write("step.started", f"restart of {node}", node=node, data={"step": "restart"})
        token, until_s = self._keeper.tokens[node], prepared.until_s(self._clock.at_s())
        self._log.write(
            "restart.intent",
            f"restart of {node}",
            node=node,
            data={
                "identity_before": prepared.identity.identity,
                "revision": token.revision,
                "epoch": token.epoch,
                "node_uptime_until_s": None if until_s is None else round(until_s, 3),
            },
        )
        try:
            begun = restarter.begin(token, until_s=until_s)
        except ShellError as error:
            if error.effect is Effect.NONE:
                self._not_sent(node, str(error))
            else:
                self._log.write("warning", f"no word whether the restart of {node} began: {error}", node=node)
            return
        if begun:
            self._log.write("restart.begun", f"{node} began to restart", node=node)
        else:
            self._keeper.read()
            self._not_sent(node, f"the claim on {node} carries another token than ours")

    def _identity(self, node: str) -> IdentityReading | Unread:
        def ask() -> IdentityReading | Unread:
            try:
                return self._world.restarters[node].identity()
            except ShellError as error:
                return Unread(str(error))

        late = Unread(f"no answer over SSH within {IDENTITY_WITHIN_S:g} s")
        key = ("identity", node, self._clock.at_s())  # no earlier question's late answer
        return self._world.gather({key: ask}, IDENTITY_WITHIN_S).get(key, late)

    def _not_sent(self, node: str, reason: str) -> None:
        intended = self._log.state.nodes[node].restart is Restart.INTENT
        self._log.write("restart.failed", reason, node=node, data={"effect": Effect.NONE.value})
        if intended:
            self._log.restart_over(node, "failed")

    def give_up(self, decision: GiveUpRestart) -> None:
        """Fence the restart off. Where that can't be done the node may still stop: it must stay out.

        A command that still runs holds the node's lock: it is ended first. But where systemd has it in hand, its end
        would stop nothing, and free the lock that keeps `recover` away until that job is over."""
        node = decision.node
        problem = "systemd would go on" if decision.job else self._ended(node) or self._keeper.fence(node)
        message = decision.reason if not problem else f"{decision.reason}; it could not be fenced off: {problem}"
        self._log.write(
            "restart.failed",
            message,
            node=decision.node,
            data={"effect": Effect.UNKNOWN.value, "fenced": not problem},
        )
        self._log.restart_over(decision.node, "failed")

    def let_go(self, node: str) -> None:
        """The restart is proven, and its command has not ended: the claim there must be free for what follows."""
        if problem := self._told_to(self._world.restarters[node].let_go, node):
            self._log.write("warning", f"the claim on {node} may stay locked: {problem}", node=node)

    def _ended(self, node: str) -> str:
        if self._log.state.nodes[node].restart_exit_s is not None:
            return ""
        runs_on = "its command runs on there, and could not be ended"
        problem = self._told_to(lambda: "" if self._world.restarters[node].end() else runs_on, node)
        return problem if problem == runs_on else ""  # of another problem the fence will tell, which needs the lock

    def _told_to(self, order: Callable[[], str | None], node: str) -> str:
        def tell() -> str:
            try:
                return order() or ""
            except ShellError as error:
                return str(error)

        key = ("restart command", node, self._clock.at_s())
        return self._world.gather({key: tell}, COMMAND_ENDS_WITHIN_S).get(key, "no answer over SSH")


def _may_write(found: Found) -> tuple[str, ...]:
    """The states that a run may set on a member found so, for a recover that has nothing but the claim."""
    if found.admin is AdminState.MAINT:
        return ()
    return tuple(state.value for state in (AdminState.DRAIN, AdminState.MAINT) if state is not found.admin)
