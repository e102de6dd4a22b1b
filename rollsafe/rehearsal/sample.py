"""A small cluster to try things on, without an inventory."""

from dataclasses import replace

from rollsafe.model.cluster import Cluster, DrainRule, Idle, MinReady, Node, Policy, Service
from rollsafe.model.settings import (
    BalancerSettings,
    CheckSettings,
    EndpointSettings,
    ProbeSettings,
    RestartSettings,
    SshSettings,
)


def small_cluster(nodes: int = 3, endpoints: int = 1, **policy: float) -> Cluster:
    """A cluster to try things on: SCIM and web behind two balancers; SCIM's has `endpoints` endpoints."""

    names = [f"n{i + 1}" for i in range(nodes)]
    made = tuple(
        Node(
            name,
            f"10.0.0.{i + 1}",
            {"scim": 5501, "web": 8080},
            SshSettings(f"10.0.0.{i + 1}"),
            RestartSettings(unit="jira.service"),
            120.0,
        )
        for i, name in enumerate(names)
    )
    scim = tuple(EndpointSettings(f"tcp://scim-lb{i + 1}:9999") for i in range(endpoints))
    return Cluster(
        name="small",
        product="jira",
        nodes=made,
        services=(
            Service("scim", "scim-lb", ("scim",), MinReady(), DrainRule(Idle.REQUIRED, 30.0)),
            Service("web", "web-lb", ("jira",), MinReady(), DrainRule(Idle.PREFERRED, 20.0, 10.0)),
        ),
        balancers=(
            BalancerSettings("scim-lb", "haproxy", scim),
            BalancerSettings("web-lb", "haproxy", (EndpointSettings("tcp://web-lb1:9999"),)),
        ),
        checks=tuple(
            CheckSettings(n.name, service, n.host, port, "/status") for n in made for service, port in n.ports.items()
        ),
        probes=(ProbeSettings("scim", "scim", "https://scim.example.com/"),),
        policy=replace(Policy(healthy_for_s=5.0, soak_s=5.0, gate_timeout_s=20.0, put_back_timeout_s=30.0), **policy),
    )


def with_slow_answers(cluster: Cluster, seconds: float) -> Cluster:
    """The cluster with another `timeout` of each endpoint, of which a slow answer of the simulation takes 0.8: here so
    many seconds."""
    balancers = [
        replace(one, endpoints=tuple(replace(it, timeout_s=seconds / 0.8) for it in one.endpoints))
        for one in cluster.balancers
    ]
    return replace(cluster, balancers=tuple(balancers))
