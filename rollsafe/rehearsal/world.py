"""The simulated cluster: built from an inventory, held by any number of operators, changed by people and faults."""

import random
from datetime import datetime

from rollsafe.model.cluster import Cluster, Node, Service
from rollsafe.model.reading import AdminState
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.ports import World
from rollsafe.rehearsal.balancers import FOUND, INTER_S, PERSON, SimEndpoint, SimSeat
from rollsafe.rehearsal.clock import START, Timeline
from rollsafe.rehearsal.faults import CrashPoint, Fault
from rollsafe.rehearsal.nodes import NodeTimes, SimNode
from rollsafe.rehearsal.operator import Operator, OperatorClock, SimHeart
from rollsafe.rehearsal.outside import Outside
from rollsafe.rehearsal.port import SimBalancer, SimCheck, SimClaimFile, SimRestarter
from rollsafe.rehearsal.traffic import Load, SimProbe, SimWatch, Stream

UNCHECKED = frozenset({"apache"})  # products whose members have no check unless one is set up for them
WEB = Load(every_s=1.0, short_s=0.3, long_s=3.0, users=12)
SCIM = Load(every_s=1.5)


class SimWorld:
    """One simulated cluster. The same inventory, seed and acts always give the same history."""

    def __init__(self, cluster: Cluster, seed: int = 0, *, start: datetime = START, traffic: bool = True) -> None:
        self.cluster = cluster
        self.seed = seed
        self.start = start
        self.rng = random.Random(seed)  # noqa: S311 - a simulation that replays, not a secret
        self.timeline = Timeline()
        self.operators: list[Operator] = []
        critical = cluster.services[0].name
        self.nodes = {n.name: SimNode(n, self.timeline, critical, NodeTimes()) for n in cluster.live_nodes}
        self.endpoints = self._endpoints()
        self.outside = Outside(cluster, self.timeline, self.nodes, self.endpoints)
        self.streams = {service.name: self._stream(service) for service in cluster.services}
        self._wire(traffic=traffic)

    def operator(
        self, name: str | None = None, *, faults: list[Fault] | None = None, crash: CrashPoint | None = None
    ) -> Operator:
        """Another operator's machine."""
        clock = OperatorClock(self.timeline, self.start)
        it = Operator(name or f"operator{len(self.operators) + 1}", clock, faults or [], crash)
        clock.operator = it
        it.born_s = self.timeline.now
        it.calm = self.calm
        self.operators.append(it)
        return it

    def world(self, operator: Operator) -> World:
        """Every port of this cluster, as that operator holds them."""
        checks: dict[tuple[str, str], list[SimCheck]] = {}
        for settings in self.cluster.checks:
            if settings.node in self.nodes:
                made = SimCheck(operator, self.nodes[settings.node], settings.service, settings.timeout_s)
                checks.setdefault((settings.node, settings.service), []).append(made)
        clock = operator.clock
        probes = [SimProbe(p, self.streams[p.service], clock) for p in self.cluster.probes if p.service in self.streams]
        return World(
            balancers={key: SimBalancer(operator, it, self.outside) for key, it in self.endpoints.items()},
            claims={name: SimClaimFile(operator, node, self.outside) for name, node in self.nodes.items()},
            restarters={name: SimRestarter(operator, node, self.outside) for name, node in self.nodes.items()},
            checks=checks,
            probes=probes,
            watch=SimWatch(probes, operator),
            clock=clock,
            gather=operator.asking.gather,
            heart=SimHeart(operator),
        )

    def seats(self, node: str, service: str | None = None) -> list[tuple[SimEndpoint, SimSeat]]:
        """The members of a node, on every endpoint."""
        return [
            (endpoint, seat)
            for endpoint in self.endpoints.values()
            for seat in endpoint.seats()
            if seat.node.name == node and service in (None, seat.service)
        ]

    def person_sets(self, node: str, admin: AdminState, service: str | None = None) -> None:
        """Somebody changes the node's members by hand, on every endpoint.

        While the node is begun (a claim lists it, or one that does is on its way: see Outside.listed), nobody can tell
        that from what rollsafe writes: then the member may stay so, or be as it was found.
        """
        begun = any(it.claim is not None and node in it.claim.entries for it in self.nodes.values())
        for endpoint, seat in self.seats(node, service):
            found = frozenset(seat.theirs)
            endpoint.set(seat.pool, seat.seat, admin, PERSON)
            seat.replaced.append((self.timeline.now, found))
            seat.theirs |= found if begun else set()

    def found_as(self, node: str, admin: AdminState, service: str | None = None) -> None:
        """Before anything begins, the node's members are in this state."""
        for _, seat in self.seats(node, service):
            seat.admin, seat.theirs, seat.set_by = admin, {admin}, FOUND

    def lose_claim(self, node: str) -> None:
        """The claim's file is gone from the node's disk."""
        self.nodes[node].claim = None
        self.nodes[node].claimed_at = self.timeline.now

    def state(self) -> dict[tuple[str, str, str, str], str]:
        """Every member's admin state now: (balancer, endpoint, pool, seat) -> state."""
        return {(*e.key, s.pool, s.seat): s.admin.value for e in self.endpoints.values() for s in e.seats()}

    def as_found(self) -> bool:
        """Is every member as somebody other than rollsafe left it?"""
        return not any(s.out_by_us for e in self.endpoints.values() for s in e.seats())

    def close(self) -> None:
        """The simulation is over: every process in it is gone, and whatever was under way with it."""
        for operator in self.operators:
            operator.dead = True
        self.timeline.close()

    def calm(self) -> bool:
        """Is nothing slow or silent, and no lock held?"""
        now = self.timeline.now
        return all(e.api != "hangs" for e in self.endpoints.values()) and all(
            n.ssh != "hangs" and n.locked_until <= now for n in self.nodes.values()
        )

    def _endpoints(self) -> dict[tuple[str, str], SimEndpoint]:
        made: dict[tuple[str, str], SimEndpoint] = {}
        for balancer in self.cluster.balancers:
            services = [service for service in self.cluster.services if service.balancer == balancer.name]
            for endpoint in balancer.endpoints:
                made[balancer.name, endpoint.url] = self._endpoint(balancer, endpoint, services)
        return made

    def _endpoint(self, balancer: BalancerSettings, endpoint: EndpointSettings, services: list[Service]) -> SimEndpoint:
        pools: dict[str, dict[str, SimSeat]] = {}
        checked = balancer.driver not in UNCHECKED
        for service in services:
            for pool in service.pools:
                seats = pools.setdefault(pool, {})
                for node in self.cluster.live_nodes:
                    seat = self._seat(node, service, pool, checked=checked)
                    seats.setdefault(seat.seat, seat)
        return SimEndpoint(balancer.name, endpoint.url, self.timeline, pools, endpoint.timeout_s)

    def _seat(self, node: Node, service: Service, pool: str, *, checked: bool) -> SimSeat:
        port = node.ports.get(service.name, 0)
        template = node.members.get(service.name) or service.member or "{node}"
        name = template.replace("{node}", node.name).replace("{host}", node.host).replace("{port}", str(port))
        return SimSeat(self.nodes[node.name], service.name, pool, name, f"{node.host}:{port}", checked)

    def _stream(self, service: Service) -> Stream:
        endpoints = [it for (balancer, _), it in self.endpoints.items() if balancer == service.balancer]
        critical = service.name == self.cluster.services[0].name
        load = SCIM if critical else WEB
        seed = random.Random(f"{self.seed}/{service.name}")  # noqa: S311 - a simulation that replays, not a secret
        return Stream(service.name, service.pools[0], endpoints, load, self.timeline, seed, self.outside.failed)

    def _wire(self, *, traffic: bool) -> None:
        for node in self.nodes.values():
            node.on_stop = self.outside.stopped
        for endpoint in self.endpoints.values():
            endpoint.on_change = self.outside.changed
        self.timeline.every(INTER_S, self._checks)
        if traffic:
            for stream in self.streams.values():
                stream.start()
        self.outside.observe()

    def _checks(self) -> None:
        answering = self.outside.answering()
        for endpoint in self.endpoints.values():
            endpoint.run_checks(answering)
        self.outside.observe(answering)
