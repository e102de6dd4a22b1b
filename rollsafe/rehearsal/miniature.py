"""The operator's inventory with shorter times: limits are made small, so that a window takes minutes of virtual time.

Names, members, pools, endpoints, order, rules and numbers stay as they are.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from rollsafe.model.cluster import Cluster, Service
from rollsafe.model.plan import PlannedStep
from rollsafe.planner import window
from rollsafe.rehearsal.clock import START

POLL_S = (0.5, 2.0)
LIMITS_S = {
    "healthy_for_s": 2.0,
    "soak_s": 2.0,
    "start_timeout_s": 60.0,
    "gate_timeout_s": 15.0,
    "put_back_timeout_s": 20.0,
}
DRAIN_S, LINGER_S, RESTART_S = 20.0, 5.0, 30.0


def shorten(cluster: Cluster, steps: tuple[PlannedStep, ...]) -> tuple[Cluster, tuple[PlannedStep, ...]]:
    """The cluster and the playbook's steps with short times; what is shorter already stays."""
    policy = cluster.policy
    told = {step.name: dict(step.arguments) for step in steps}
    healthy = told.get("healthy", {}).get("for", policy.healthy_for_s)
    short = {name: min(getattr(policy, name), limit) for name, limit in LIMITS_S.items()}
    short["healthy_for_s"] = min(healthy, LIMITS_S["healthy_for_s"])
    poll_s = min(max(policy.poll_s, POLL_S[0]), POLL_S[1])
    nodes = tuple(
        replace(
            node,
            start_timeout_s=min(node.start_timeout_s, LIMITS_S["start_timeout_s"]),
            restart=replace(node.restart, timeout_s=min(node.restart.timeout_s, RESTART_S)),
        )
        for node in cluster.nodes
    )
    services = tuple(_service(service) for service in cluster.services)
    small = replace(
        cluster, nodes=nodes, services=services, policy=replace(policy, poll_s=poll_s, **short), window=cluster.window
    )
    return small, tuple(_step(step) for step in steps)


def _service(service: Service) -> Service:
    drain = service.drain
    timeout_s, linger_s = min(drain.timeout_s, DRAIN_S), min(drain.linger_s, LINGER_S)
    return replace(service, drain=replace(drain, timeout_s=timeout_s, linger_s=linger_s))


def _step(step: PlannedStep) -> PlannedStep:
    limits = {
        ("drain", "timeout"): DRAIN_S,
        ("drain", "linger"): LINGER_S,
        ("restart", "timeout"): RESTART_S,
        ("healthy", "for"): LIMITS_S["healthy_for_s"],
        ("soak", "for"): LIMITS_S["soak_s"],
    }

    def short(name: str, value: Any) -> Any:
        limit = limits.get((step.name, name))
        return value if limit is None else min(value, limit)

    return replace(step, arguments=tuple((name, short(name, value)) for name, value in step.arguments))


def opening(cluster: Cluster) -> datetime:
    """A moment just after the window opens, so that the rehearsal is not refused by the hour of the day."""
    moment = START
    if cluster.window is None:
        return moment
    for _ in range(400):
        if window.verdict(cluster.window, None, moment, timedelta(minutes=30)).allowed:
            return moment
        moment += timedelta(hours=1)
    return START
