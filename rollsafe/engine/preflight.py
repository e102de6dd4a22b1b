"""Before the claim: is everything that a run needs there? One no, and the run is refused with nothing touched."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rollsafe.engine.log import RunLog
from rollsafe.engine.observe import Observer
from rollsafe.engine.orders import Orders
from rollsafe.engine.pools import READ_TRIES, at_their_quickest, read_pools
from rollsafe.engine.runclock import RunClock
from rollsafe.errors import BalancerError, MayOnlyLook, PortError, Refused
from rollsafe.model.cluster import Cluster
from rollsafe.model.plan import Plan, PlannedStep
from rollsafe.model.reading import IdentityReading, Member, PoolReading, ProbeSample
from rollsafe.model.verdict import Verdict
from rollsafe.planner import by_node, gates, latency
from rollsafe.planner.estimate import Past
from rollsafe.planner.expand import find_members, fine_nodes, make_plan
from rollsafe.planner.readings import Budget, Readings
from rollsafe.planner.state import RunState
from rollsafe.ports import Balancer, MayWrite, Probe, World

REACH_WITHIN_S = 15.0
AGAIN_S = 1.0  # an identity is read again after so long: an age in whole seconds in it is another one by then
PROBES_RUNNING = 5
PROBE_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Selection:
    """What the command line chose."""

    nodes: tuple[str, ...]
    steps: tuple[PlannedStep, ...]
    until: str | None = None
    accept_outage: bool = False
    past: Past = field(default_factory=dict)
    playbook: str = ""  # as it was named


def members_now(world: World, cluster: Cluster) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """The members that the balancers show now, and a sentence for each that can't be found or read."""
    return find_members(cluster, read_pools(world, cluster))


def plan_of(cluster: Cluster, members: tuple[Member, ...], selection: Selection) -> Plan:
    """The plan for a selection."""
    return make_plan(
        cluster,
        members,
        selection.nodes,
        selection.steps,
        until=selection.until,
        accept_outage=selection.accept_outage,
        past=selection.past,
        playbook=selection.playbook,
    )


def survey(world: World, cluster: Cluster, selection: Selection, clock: RunClock) -> tuple[Plan, Readings]:
    """The plan from what the balancers show now, and one whole look. Raises Refused where a member can't be found."""
    members, problems = members_now(world, cluster)
    if problems:
        raise Refused("nothing was touched: " + "; ".join(problems))
    plan = plan_of(cluster, members, selection)
    return plan, look(world, plan, clock)


def look(world: World, plan: Plan, clock: RunClock) -> Readings:
    """One whole look at what the plan is about; what did not answer is asked again, a few times."""
    observer = Observer(world, plan, clock, keeper=None, orders=Orders(), budget=Budget)
    now = observer.look(RunState(), everything=True)
    for _ in range(READ_TRIES):
        if _complete(world, plan, now):
            break
        now = _patched(observer.look(RunState(), everything=True), now)
    return now


def _complete(world: World, plan: Plan, now: Readings) -> bool:
    asked = [pair for pair in world.checks if pair[0] in plan.all_nodes]
    read = all(isinstance(pool, PoolReading) for pool in now.pools.values())
    return read and all(pair in now.health for pair in asked)


def _patched(now: Readings, before: Readings) -> Readings:
    """A slow health check's answer counts, though it came with an earlier look."""
    return replace(now, health={**before.health, **now.health})


def check(world: World, plan: Plan, now: Readings, log: RunLog, clock: RunClock) -> tuple[str, ...]:
    """Ask everything that must hold before the claim; returns the nodes that are fine now. Raises Refused."""
    now = replace(now, pools=at_their_quickest(world, now.pools))
    noes = _too_slow(now, log)
    for node in plan.nodes:
        verdicts = gates.before_claim(plan, now, node.name)
        for verdict in verdicts:
            log.write("gate.checked", verdict.reason, node=node.name, data=_words(verdict))
        noes += [(node.name, v) for v in gates.refusals(verdicts)]
    if noes:
        raise Refused(f"nothing was touched: {gates.in_words(noes)}")
    restarts = () if log.state.mode == "drain" else tuple(node.name for node in plan.nodes)
    _provable(plan, now, reach(world, plan, log, restarts), log)
    ask_probes(world, clock)
    return fine_nodes(plan, now)


def _too_slow(now: Readings, log: RunLog) -> list[tuple[str, Verdict]]:
    """The endpoints that no look would ever hear in time: each node would be taken out, and put back for that."""
    slow = latency.too_slow(now.pools)
    for (balancer, url), no in slow.items():
        log.write("gate.checked", no.reason, balancer=balancer, endpoint=url, data=_words(no))
    return [("", no) for no in slow.values()]


def _provable(plan: Plan, now: Readings, identities: Mapping[str, IdentityReading], log: RunLog) -> None:
    """A restart that can't be proved would end the run with the node restarted; and an identity that differs each time
    would prove one that never was. Raises Refused."""
    services = tuple(service.name for service in plan.services)
    verdicts = {n: gates.provable(told, healthy=now.healthy(n, services)) for n, told in identities.items()}
    noes = [(node, no) for node, no in verdicts.items() if not no.allowed]
    for node, no in noes:
        log.write("gate.checked", no.reason, node=node, data=_words(no))
    if noes:
        raise Refused(f"nothing was touched: {gates.in_words(noes)}")


def _words(verdict: Verdict) -> dict[str, Any]:
    return {
        "gate": verdict.gate,
        "allowed": verdict.allowed,
        "reason": verdict.reason,
        "remedy": verdict.remedy,
    }


def reach(world: World, plan: Plan, log: RunLog, restarts: Collection[str] = ()) -> Mapping[str, IdentityReading]:
    """Every live node over SSH: each of them gets a claim; and every balancer must take writes, as far as it tells.
    Returns the identities of those that are to be restarted. Raises Refused naming all that can't be reached, or that
    may only be looked at."""
    questions = {
        ("reach", node): _reacher(world, node, AGAIN_S if node in restarts else None) for node in plan.all_nodes
    }
    rights = {("admin", key): _admin(balancer) for key, balancer in world.balancers.items()}
    answers = world.gather({**questions, **rights}, REACH_WITHIN_S)
    shut = {key[1]: text for key in rights if (text := answers.get(key))}
    for (balancer, url), text in shut.items():
        log.write("gate.checked", text, balancer=balancer, endpoint=url, data=_words(Verdict("admin", False, text)))
    if shut:
        raise Refused(f"nothing was touched: {'; '.join(shut.values())}")
    late = f"no answer over SSH within {REACH_WITHIN_S:g} s"
    told = {n: answers.get(("reach", n), late) for n in plan.all_nodes}
    problems = {n: problem for n, problem in told.items() if isinstance(problem, str)}
    for node, problem in problems.items():
        no = Verdict("reach", False, problem, remedy="`doctor` tries each connection")
        log.write("gate.checked", problem, node=node, data=_words(no))
    if problems:
        text = "nothing was touched: not every node can be reached, claimed and restarted over SSH"
        raise Refused(f"{text}: {by_node.told(problems)}")
    return {n: told[n] for n in restarts}


def _reacher(world: World, node: str, again_s: float | None) -> Callable[[], IdentityReading | str]:
    """The node's identity, or what is wrong."""

    def ask() -> IdentityReading | str:
        try:
            identity = world.restarters[node].identity(again_s=again_s)
            if node in world.rights:
                world.rights[node]()
        except PortError as error:
            return str(error)
        return identity

    return ask


def _admin(balancer: Balancer) -> Callable[[], str]:
    """What forbids writes there; a balancer that can't tell, or does not answer now, forbids none."""

    def ask() -> str:
        try:
            if isinstance(balancer, MayWrite):
                balancer.may_write()
        except MayOnlyLook as error:
            return str(error)
        except BalancerError:
            pass  # it was read a moment ago; whether it can be written to is seen at the first write
        return ""

    return ask


def ask_probes(world: World, clock: RunClock) -> None:
    """Each probe must be good five times running. Raises Refused."""
    for turn in range(PROBES_RUNNING):
        if turn:
            clock.sleep(PROBE_EVERY_S)
        questions = {("probe", i): _prober(probe) for i, probe in enumerate(world.probes)}
        answers = world.gather(questions, 60.0)
        for key in questions:
            sample = answers.get(key)
            if sample is None or not sample.good:
                said = _said(sample) if sample is not None else "one gave no answer within 60 s"
                raise Refused(
                    f"nothing was touched: before the run a probe must be good {PROBES_RUNNING} times running, "
                    f"and {said} (request {turn + 1})"
                )


def _prober(probe: Probe) -> Callable[[], ProbeSample]:
    return probe.ask


def _said(sample: ProbeSample) -> str:
    return f"the {sample.service} probe {sample.name} was not: {seen_of(sample)}"


def seen_of(sample: ProbeSample) -> str:
    """What a probe saw, in words; of a bad answer with its beginning."""
    evidence = sample.evidence
    what = evidence.detail or (f"HTTP {evidence.status}" if evidence.status is not None else "no answer")
    return what if sample.good else f"{what} {evidence.excerpt}".strip()
