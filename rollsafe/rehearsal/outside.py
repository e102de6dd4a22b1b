"""The outside observer: it knows the truth about the simulated cluster, and nothing of what rollsafe thinks.

It watches every act and keeps what is wrong as values, with the invariant's name (design section 6). Nothing raises.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from rollsafe.model.cluster import Cluster, Idle
from rollsafe.model.reading import AdminState, Found
from rollsafe.rehearsal.balancers import RELOAD, Request, SimEndpoint, SimSeat
from rollsafe.rehearsal.clock import Timeline
from rollsafe.rehearsal.nodes import SimNode
from rollsafe.rehearsal.operator import Operator
from rollsafe.rehearsal.traffic import cut_by

# What may lie between a reading and the act that rests on it: claims and gates are read, a slow call is waited for.
GRACE_S = 15.0
OUTWAIT_S = 10.0
SIDE_BY_SIDE_S = 0.5
ON_ITS_WAY_S = 30.0  # from the look that finds a node as it is to the claim that says so, at most


@dataclass(frozen=True, slots=True)
class Violation:
    """One invariant that did not hold."""

    invariant: str
    at_s: float
    message: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.1f} s: {self.message}"


@dataclass(frozen=True, slots=True)
class Act:
    """One thing that rollsafe did to the cluster."""

    at_s: float
    operator: str
    what: str
    node: str


@dataclass(slots=True)
class Outside:
    """The history of one simulated cluster."""

    cluster: Cluster
    timeline: Timeline
    nodes: Mapping[str, SimNode]
    endpoints: Mapping[tuple[str, str], SimEndpoint]
    violations: list[Violation] = field(default_factory=list)
    acts: list[Act] = field(default_factory=list)
    cuts: list[Request] = field(default_factory=list)
    failures: list[tuple[float, str, str]] = field(default_factory=list)  # at, service, reason
    least: dict[str, int] = field(default_factory=dict)  # service -> fewest members in service on any endpoint
    hands: set[str] = field(default_factory=set)  # operators that have written or restarted anything
    excused: dict[str, float] = field(default_factory=dict)  # operators whose late write has been seen, and when
    late: list[tuple[str, SimSeat]] = field(default_factory=list)  # such an operator, and what it wrote to
    _out_since: dict[tuple[tuple[str, str], str, str], float] = field(default_factory=dict)
    _ordered_s: dict[str, float] = field(default_factory=dict)  # node -> when its restart was ordered
    _reloaded_at: dict[tuple[str, str], float] = field(default_factory=dict)

    def answering(self) -> set[tuple[str, str]]:
        """Every node's service that answers now."""
        now, names = self.timeline.now, [service.name for service in self.cluster.services]
        return {(node.name, name) for node in self.nodes.values() for name in names if node.answers(name, now)}

    def observe(self, answering: Container[tuple[str, str]] | None = None) -> None:
        """Look at every member: who is in service now? `answering` where that was asked in this moment."""
        now = self.timeline.now
        answers = self.answering() if answering is None else answering
        for key, endpoint in self.endpoints.items():
            counts: dict[str, int] = {}
            for pool, seats in endpoint.pools.items():
                for seat in seats.values():
                    serves = seat.takes_new() and seat.whose in answers
                    counts[seat.service] = counts.get(seat.service, 0) + serves
                    if not serves:
                        self._out_since.setdefault((key, pool, seat.seat), now)
                    elif self._out_since:
                        self._out_since.pop((key, pool, seat.seat), None)
            for service, count in counts.items():
                self.least[service] = min(self.least.get(service, count), count)
        self._back_again()

    def _back_again(self) -> None:
        """A node that is back is no longer stopped by us: if it dies from here on, it dies by itself."""
        for node in self.nodes.values():
            if node.stopped_by is not None and self.well(node):
                seats = [s for e in self.endpoints.values() for s in e.seats() if s.node is node]
                if not any(seat.out_by_us for seat in seats):
                    node.stopped_by = None

    def changed(self, endpoint: SimEndpoint, _seat: SimSeat, _before: AdminState, by: str) -> None:
        """An admin state was set, by whomever."""
        if by == RELOAD:
            self._reloaded_at[endpoint.key] = self.timeline.now
        self.observe()

    def listed(self, names: set[str]) -> None:
        """A claim tells from now on how these nodes were found. Who changed one a moment ago came after the look."""
        for endpoint in self.endpoints.values():
            for seat in endpoint.seats():
                for at_s, found in seat.replaced if seat.node.name in names else ():
                    if self.timeline.now - at_s < ON_ITS_WAY_S:
                        seat.theirs |= found

    def failed(self, service: str, reason: str) -> None:
        """A client's request failed."""
        self.failures.append((self.timeline.now, service, reason))

    def stopped(self, node: SimNode, by: str) -> None:
        """A JVM's ports close: what is cut?"""
        now = self.timeline.now
        required = {s.name for s in self.cluster.services if s.drain.idle is Idle.REQUIRED}
        for endpoint in self.endpoints.values():
            for request in cut_by(endpoint.seats(), node.name, now):
                self.cuts.append(request)
                excused = now - self._reloaded_at.get(endpoint.key, -1e9) < GRACE_S or self._set_since(endpoint, node)
                if request.service in required and by in self.hands and not excused:
                    self._broken("I3", f"the stop of {node.name} cut a {request.service} request in flight")

    def _set_since(self, endpoint: SimEndpoint, node: SimNode) -> bool:
        """Did a person set a member of the node after its restart was ordered? The order was on its way already."""
        sent_s = self._ordered_s.get(node.name, float("inf"))
        return any(at_s >= sent_s for seat in endpoint.seats() if seat.node is node for at_s, _ in seat.replaced)

    def writes(self, operator: Operator, endpoint: SimEndpoint, pool: str, seat: str, to: Found) -> None:
        """rollsafe is about to write to a balancer."""
        it = endpoint.pools[pool][seat]
        what = f"{it.service} of {it.node.name} on {endpoint.url}: {it.admin.value} → {to.admin.value}"
        self._acts(operator, what, it.node.name)
        self._intended(operator, endpoint, it, to, what)
        if it.admin is AdminState.READY and to.admin.out and not self._just_read_out(operator, endpoint, it):
            if it.takes_new() and it.node.answers(it.service):  # else nobody loses anything by it
                self._enough_others(operator, it.node.name, what, it.service)
            self._alone(it.node.name, what)
            self._holds_the_claim(operator, it, what)
        elif it.admin.out and to.admin is AdminState.READY:
            self._ready_for_it(operator, it.node, what)

    def _just_read_out(self, operator: Operator, endpoint: SimEndpoint, seat: SimSeat) -> bool:
        """Did the operator read it out a moment ago, on its way back? A person was quicker, and that it can't know."""
        at, reading = operator.seen.get((endpoint.key, seat.pool), (-1e9, None))
        wrote_s = operator.wrote.get((endpoint.key, seat.pool, seat.seat), -1e9)
        if reading is None or at < wrote_s or self.timeline.now - at > GRACE_S:
            return False
        return any(row.seat == seat.seat and row.admin.out for row in reading.seats)

    def restarts(self, operator: Operator, node: SimNode, ordered_s: float) -> None:
        """rollsafe is about to stop a node, by an order that was sent at `ordered_s`."""
        self._ordered_s[node.name] = ordered_s
        what = f"restart of {node.name}"
        self._acts(operator, what, node.name)
        self._enough_others(operator, node.name, what)
        self._alone(node.name, what)
        required = {s.name for s in self.cluster.services if s.drain.idle is Idle.REQUIRED}
        for key, endpoint in self.endpoints.items():
            for seat in endpoint.seats():
                if seat.node is node:
                    problem = self._read_out(operator, key, seat, idle=seat.service in required)
                    if problem:
                        self._broken("I3", f"{what}: {seat.service} on {endpoint.url} {problem}")
        if not self._has_record(operator, "restart.intent", node.name):
            self._broken("I5", f"{what} has no intent in the journal before it")

    def _read_out(self, operator: Operator, key: tuple[str, str], seat: SimSeat, *, idle: bool) -> str:
        at, reading = operator.seen.get((key, seat.pool), (-1e9, None))
        if reading is None:
            return "was never read"
        if at < operator.wrote.get((key, seat.pool, seat.seat), -1e9):
            return "was not read after the last write to it"
        excused = operator.late or operator.paused_in_call  # it was sent in time, or stopped after the last look
        if self.timeline.now - at > GRACE_S and not excused:
            return f"was read {self.timeline.now - at:.1f} s ago"
        seen = next(row for row in reading.seats if row.seat == seat.seat)
        if not seen.admin.out:
            return f"was read {seen.admin.value}"
        return f"was read with {seen.active} active" if idle and seen.active else ""

    def _intended(self, operator: Operator, endpoint: SimEndpoint, seat: SimSeat, to: Found, what: str) -> None:
        for record in reversed(operator.records):
            data = record.data
            if (
                record.type == "write.intent"
                and (record.balancer, record.endpoint) == endpoint.key
                and (data.get("pool"), data.get("seat"), data.get("to")) == (seat.pool, seat.seat, to.admin.value)
            ):
                break
        else:
            self._broken("I5", f"{what} has no intent in the journal before it")
        # one that lands when all is as it was changes nothing any more; of one that was stopped I6 speaks
        excused = operator.paused_in_call or (operator.late and seat.admin is to.admin)
        if not excused and not any(self._undo_holds(node, endpoint, seat) for node in self.nodes.values()):
            self._broken("I5", f"{what}: no claim on any node says how it was found")

    @staticmethod
    def _undo_holds(node: SimNode, endpoint: SimEndpoint, seat: SimSeat) -> bool:
        if node.claim is None:
            return False
        entries = node.claim.entries.get(seat.node.name, ())
        where = (*endpoint.key, seat.pool, seat.seat)
        return any((e.member.balancer, e.member.endpoint, e.member.pool, e.member.seat) == where for e in entries)

    @staticmethod
    def _has_record(operator: Operator, kind: str, node: str) -> bool:
        return any(record.type == kind and record.node == node for record in reversed(operator.records))

    def _enough_others(self, operator: Operator, node: str, what: str, service: str | None = None) -> None:
        """I1, on every endpoint of every pool (of one service): without this node, do enough others serve?"""
        if operator.paused_in_call:
            return  # it was stopped after its last look: who fell out meanwhile, it could not know
        now = self.timeline.now
        services = {service.name: service for service in self.cluster.services}
        for key, endpoint in self.endpoints.items():
            for pool, seats in endpoint.pools.items():
                others = [seat for seat in seats.values() if seat.node.name != node]
                if not others or service not in (None, others[0].service):
                    continue
                need = services[others[0].service].min_ready.of(len(others), len(seats))
                out = [now - self._out_since.get((key, pool, s.seat), now) for s in others]
                serve = sum(1 for seconds in out if seconds <= GRACE_S)
                if serve < need:
                    self._broken("I1", f"{what} with {serve} of {need} others in service in {pool} on {endpoint.url}")

    def nodes_out_by_us(self) -> set[str]:
        """Every node that rollsafe took out or stopped, and that is not back."""
        out = {seat.node.name for endpoint in self.endpoints.values() for seat in endpoint.seats() if seat.out_by_us}
        for node in self.nodes.values():
            if node.stopped_by in self.hands and not self.well(node):
                out.add(node.name)
        return out

    def well(self, node: SimNode) -> bool:
        """Does every service of the node serve?"""
        return all(node.answers(service.name) for service in self.cluster.services)

    def _alone(self, node: str, what: str) -> None:
        others = self.nodes_out_by_us() - {node}
        if others:
            self._broken("I2", f"{what} while {', '.join(sorted(others))} is out by rollsafe's hand")

    def _holds_the_claim(self, operator: Operator, seat: SimSeat, what: str) -> None:
        now = self.timeline.now
        for node in self.nodes.values():
            mine = node.claim is not None and node.claimed_by == operator.name
            fresh = now - node.claimed_at <= OUTWAIT_S  # a write rests on a reading that may be so old
            if mine or fresh:
                continue
            # one write, which is one to each endpoint: they are sent side by side
            if operator.paused_in_call and now - self.excused.setdefault(operator.name, now) < SIDE_BY_SIDE_S:
                self.late.append((operator.name, seat))
                return
            holder = f"is held by {node.claimed_by}" if node.claim is not None else "is gone"
            self._broken("I6", f"{what} by {operator.name}, but the claim on {node.name} {holder}")
            return

    def _ready_for_it(self, operator: Operator, node: SimNode, what: str) -> None:
        """I4: healthy on every service, unbroken for as long as the policy says, unless it was never stopped."""
        if node.stopped_by not in self.hands or operator.paused_in_call:
            return  # stopped after its last look, it could not know that the node fell ill
        now, policy = self.timeline.now, self.cluster.policy
        for service in self.cluster.services:
            since = node.well_since(service.name, now)
            if since is None:
                fell = [start for start, end, _ in node.sick if start <= now < end]
                if not fell or now - max(fell) > GRACE_S:
                    self._broken("I4", f"{what} while {service.name} of {node.name} does not answer")
            elif now - since < policy.healthy_for_s - policy.poll_s:
                self._broken("I4", f"{what} after only {now - since:.1f} s of health of {service.name}")

    def _acts(self, operator: Operator, what: str, node: str) -> None:
        self.acts.append(Act(self.timeline.now, operator.name, what, node))
        self.hands.add(operator.name)

    def _broken(self, invariant: str, message: str) -> None:
        self.violations.append(Violation(invariant, self.timeline.now, message))
