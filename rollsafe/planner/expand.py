"""Inventory + playbook + what the balancers show → the plan, its exact writes, and how long it will take."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from rollsafe.model.cluster import Cluster, Idle, Service
from rollsafe.model.plan import Forecast, Plan, PlannedNode, PlannedService, PlannedStep, PlannedWrite
from rollsafe.model.reading import AdminState, Found, Member, PoolReading, SeatReading, Unread
from rollsafe.planner import gates
from rollsafe.planner.estimate import Past, estimates
from rollsafe.planner.fingerprint import fingerprint
from rollsafe.planner.matching import match_all
from rollsafe.planner.readings import PoolKey, Readings
from rollsafe.planner.watch import unfit

CHECK_S = 10.0  # a balancer's own check after maint, where nothing is known
COMMAND_S = 15.0  # stop and start of the JVM's process, where nothing is known
LONE_REQUEST_S = 5.0  # a request in flight, where nothing is known


def pools_of(cluster: Cluster) -> dict[PoolKey, Service]:
    """Every pool on every endpoint that a run reads."""
    endpoints = {b.name: b.endpoints for b in cluster.balancers}
    return {
        (service.balancer, endpoint.url, pool): service
        for service in cluster.services
        for endpoint in endpoints[service.balancer]
        for pool in service.pools
    }


def find_members(
    cluster: Cluster, pools: Mapping[PoolKey, PoolReading | Unread]
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Every live node's members, and a sentence for each that could not be found or read, or is another node's."""
    members, problems = [], []
    for key, service in pools_of(cluster).items():
        pool = pools.get(key, Unread("it was not read"))
        if isinstance(pool, Unread):
            problems.append(f"pool {key[2]} on {key[1]} can't be read: {pool.reason}")
            continue
        for _, member, problem in match_all(cluster, service, key[0], key[1], pool):
            if member is not None:
                members.append(member)
            if problem:
                problems.append(problem)
    return tuple(members), tuple(dict.fromkeys(problems))


def make_plan(
    cluster: Cluster,
    members: tuple[Member, ...],
    nodes: Sequence[str],
    steps: tuple[PlannedStep, ...],
    *,
    until: str | None = None,
    accept_outage: bool = False,
    past: Past = MappingProxyType({}),
    playbook: str = "",
) -> Plan:
    """The plan for these nodes, in this order. The playbook's arguments outrank the inventory's; `past` is what the
    nodes' last turns took."""
    arguments = {step.name: dict(step.arguments) for step in steps}
    by_name = {n.name: n for n in cluster.live_nodes}
    policy = replace(
        cluster.policy,
        healthy_for_s=arguments.get("healthy", {}).get("for", cluster.policy.healthy_for_s),
        soak_s=arguments["soak"].get("for", cluster.policy.soak_s) if "soak" in arguments else 0.0,
    )
    drain, restart = arguments.get("drain", {}), arguments.get("restart", {})
    plan = Plan(
        cluster=cluster.name,
        nodes=tuple(
            PlannedNode(n, by_name[n].start_timeout_s, restart.get("timeout", by_name[n].restart.timeout_s))
            for n in nodes
        ),
        all_nodes=tuple(n.name for n in cluster.live_nodes),
        services=tuple(
            PlannedService(
                s.name,
                s.drain.idle,
                drain.get("timeout", s.drain.timeout_s),
                drain.get("linger", s.drain.linger_s),
                s.min_ready,
            )
            for s in cluster.services
        ),
        members=members,
        each_node=steps,
        policy=policy,
        window=cluster.window,
        until=until,
        accept_outage=accept_outage,
        playbook=playbook,
        inventory=fingerprint(cluster),
    )
    plan = replace(plan, node_estimate_s=estimate_s(plan, cluster.typical_start_s))
    return replace(plan, estimates=estimates(plan, past))


def estimate_s(plan: Plan, start_s: float) -> float:
    """The expected time of one node: what is unavoidable, plus the product's typical start."""
    drains = sum(min(LONE_REQUEST_S, s.timeout_s) for s in plan.services)
    policy = plan.policy
    limit_s = max((n.start_timeout_s for n in plan.nodes), default=start_s)  # one quick node makes no other quick
    return drains + min(COMMAND_S, limit_s) + min(start_s, limit_s) + policy.healthy_for_s + CHECK_S + policy.soak_s


def longest_s(plan: Plan) -> float:
    """What the run takes when every wait uses its limit up."""
    drains = sum(s.timeout_s + (s.linger_s if s.idle is Idle.PREFERRED else 0.0) for s in plan.services)
    policy = plan.policy
    each_s = drains + policy.healthy_for_s + policy.put_back_timeout_s + policy.soak_s
    return sum(each_s + n.restart_timeout_s + n.start_timeout_s for n in plan.nodes)


def forecast(plan: Plan, now: Readings, warnings: Sequence[str] = ()) -> Forecast:
    """The plan with its exact writes in order, and the gates' verdicts on the readings of now."""
    verdicts = tuple((n.name, v) for n in plan.nodes for v in gates.before_claim(plan, now, n.name))
    told = dict.fromkeys([*warnings, *(v.warning for _, v in verdicts if v.warning), *_tcp(plan, now)])
    if len(plan.all_nodes) == 1:
        told["a cluster of one node can't stay reachable while it restarts: run needs --accept-outage"] = None
    return Forecast(
        plan=plan,
        writes=tuple(w for n in plan.nodes for w in writes_of(plan, n.name, now)),
        verdicts=verdicts,
        warnings=tuple(told),
        unchecked=tuple(str(m) for m in plan.members if isinstance(now.member(m), Unread)),
        expected_s=plan.expected_s(),
        longest_s=longest_s(plan),
    )


def writes_of(plan: Plan, node: str, now: Readings) -> tuple[PlannedWrite, ...]:
    """The exact writes of one node's turn, in order, from the states that its members are in now."""
    turn = _Turn({m: seat.found for m in plan.members_of(node) if isinstance(seat := now.member(m), SeatReading)})
    for service in reversed(plan.services):
        members = plan.members_of(node, service.name)
        _out(service, members, turn, pinned=now.pinned(members))
    _back([m for s in plan.services for m in plan.members_of(node, s.name)], turn)
    return tuple(turn.writes)


class _Turn:
    """One node's members, and what they will read as the writes go on."""

    def __init__(self, found: Mapping[Member, Found]) -> None:
        self.found = found
        self.shown = {m: f.admin for m, f in found.items()}
        self.writes: list[PlannedWrite] = []

    def write(self, member: Member, to: Found, condition: str = "") -> None:
        self.writes.append(PlannedWrite(member, self.found[member], to, condition))
        self.shown[member] = to.admin


def _out(service: PlannedService, members: tuple[Member, ...], turn: _Turn, *, pinned: bool) -> None:
    readable = [m for m in members if m in turn.found]
    for member in readable:
        if not turn.shown[member].out:
            turn.write(member, Found(AdminState.DRAIN))
    if service.idle is Idle.PREFERRED or pinned:
        when = f"after 0 active, or {service.timeout_s:g} s of drain" if service.idle is Idle.PREFERRED else ""
        for member in readable:
            if turn.shown[member] is AdminState.DRAIN:
                turn.write(member, Found(AdminState.MAINT), when)


def _back(members: Sequence[Member], turn: _Turn) -> None:
    readable = [m for m in members if m in turn.found]
    for member in readable:
        if turn.found[member].admin is AdminState.READY and turn.shown[member] is AdminState.MAINT:
            turn.write(member, Found(AdminState.DRAIN), "so that the balancer's own check comes first")
    for member in readable:
        if turn.shown[member] is not turn.found[member].admin:
            turn.write(member, turn.found[member], "once it is healthy, and up by the balancer's own check")


def _tcp(plan: Plan, now: Readings) -> list[str]:
    told: dict[str, None] = {}
    for member in plan.members:
        seat = now.member(member)
        if isinstance(seat, SeatReading) and seat.counts == "connections":
            told[
                f"pool {member.pool} on {member.endpoint} is in TCP mode: active counts connections, so that an idle "
                "client can hold up a drain (HTTP mode, a shorter client time-out, or idle: preferred help)"
            ] = None
    return list(told)


def fine_nodes(plan: Plan, now: Readings) -> tuple[str, ...]:
    """The nodes that are in, up and healthy now."""
    return tuple(node for node in plan.all_nodes if not unfit(plan, now, node))
