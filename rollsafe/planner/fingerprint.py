"""What a plan took from the inventory without holding it: a digest of each part, so that a changed one is named.

Keys, certificates and their paths are left out: another machine may have them elsewhere. Secrets never enter.
"""

import hashlib
from collections.abc import Iterator
from typing import Any

from rollsafe.model.cluster import Cluster, Node
from rollsafe.model.settings import BalancerSettings, SshSettings

_LETTERS = 16  # of a digest: enough to see a change, and short enough to look at


def fingerprint(cluster: Cluster) -> tuple[tuple[str, str], ...]:
    """(part, digest) of everything that a run obeys and the plan does not spell out."""
    return tuple((part, _digest(what)) for part, what in _parts(cluster))


def _parts(cluster: Cluster) -> Iterator[tuple[str, Any]]:
    for node in cluster.live_nodes:
        yield f"node {node.name} (host, ports, SSH, restart or members)", _node(node)
    for balancer in cluster.balancers:
        yield f"balancer {balancer.name} (driver, endpoints or options)", _balancer(balancer)
    for service in cluster.services:
        yield f"service {service.name} (balancer, pool or member)", (service.balancer, service.pools, service.member)
        checks = [
            (c.node, c.host, c.port, c.path, c.scheme, _sorted(c.headers), repr(c.expect), c.timeout_s, _ssh(c.via))
            for c in cluster.checks
            if c.service == service.name
        ]
        yield f"health of {service.name}", checks
        probes = [
            (p.url, _sorted(p.headers), repr(p.expect), p.interval_s, p.timeout_s, p.connect_to, _ssh(p.via), p.proxy)
            for p in cluster.probes
            if p.service == service.name
        ]
        limits = [
            (p.max_outage_s, p.hold_outage_s, p.max_failures, p.max_failures_in_a_row, p.max_rejections)
            for p in cluster.probes
            if p.service == service.name
        ]
        yield f"probe of {service.name}", (probes, limits)
    yield "claim_dir", cluster.claim_dir


def _node(node: Node) -> Any:
    return (node.host, _sorted(node.ports), _ssh(node.ssh), repr(node.restart), _sorted(node.members))


def _balancer(balancer: BalancerSettings) -> Any:
    endpoints = [(e.url, e.username, _ssh(e.via), _ssh(e.ssh)) for e in balancer.endpoints]
    return (balancer.driver, endpoints, _sorted(balancer.options))


def _ssh(ssh: SshSettings | None) -> Any:
    return None if ssh is None else (ssh.host, ssh.port, ssh.user, [repr(hop) for hop in ssh.jump or ()])


def _sorted(pairs: Any) -> list[tuple[str, str]]:
    return sorted((str(key), repr(value)) for key, value in dict(pairs).items())


def _digest(what: Any) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:_LETTERS]
