"""The only place that names concrete drivers: an inventory goes in, a world of ports comes out."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from rollsafe.clock import SystemClock
from rollsafe.drivers.balancers import make_balancer
from rollsafe.drivers.http import make_transport
from rollsafe.drivers.remote.claim_file import SshClaimFile
from rollsafe.drivers.remote.restarter import SshRestarter
from rollsafe.drivers.side_by_side import SideBySide, ThreadHeart
from rollsafe.drivers.ssh.connection import SshPool
from rollsafe.model.cluster import Cluster
from rollsafe.model.settings import CheckSettings, ProbeSettings, SshSettings
from rollsafe.planner.budget import spent
from rollsafe.planner.readings import Budget
from rollsafe.ports import Balancer, HealthCheck, World
from rollsafe.probes.health import Dial, dial_directly, make_check
from rollsafe.probes.http_probe import HttpProbe
from rollsafe.probes.watch import Watch
from rollsafe.reach import NodeSurvey, Reach, wire


@dataclass(frozen=True, slots=True)
class Assembled:
    """A cluster's ports, wired, and what a caller needs beside them."""

    world: World
    clock: SystemClock
    watch: Watch
    budget: Callable[[], Budget]
    close: Callable[[], None]
    reach: Mapping[str, Callable[[], None]] = field(default_factory=dict)  # node -> connects; raises ShellError
    surveys: Mapping[str, NodeSurvey] = field(default_factory=dict)  # node -> asks; raises ShellError


def assemble(cluster: Cluster, clock: SystemClock, reach: Reach | None = None) -> Assembled:
    """Wire the real thing. Nothing is connected to yet; connections are made when they are first used.

    `reach`: its SSH side where that was wired before; it is closed with the rest.
    """
    stack = ExitStack()
    reach = reach or wire(cluster)
    pool = reach.pool
    stack.callback(pool.close)
    watch = Watch([(p, HttpProbe(p, _probe_transport(p, pool, stack), clock)) for p in cluster.probes], clock)
    world = World(
        balancers=_balancers(cluster, pool, stack),
        claims=reach.claims,
        restarters=reach.restarters,
        checks=_checks(cluster, pool, stack, clock),
        probes=tuple(HttpProbe(p, _probe_transport(p, pool, stack), clock) for p in cluster.probes),
        watch=watch,
        clock=clock,
        gather=SideBySide(),
        heart=ThreadHeart(clock.monotonic),
        elsewhere=reach.elsewhere,
        rights={n.name: _rights(reach.restarters[n.name], reach.claims[n.name]) for n in cluster.live_nodes},
    )
    return Assembled(
        world,
        clock,
        watch,
        lambda: spent(cluster.probes, watch.summaries()),
        stack.close,
        {n.name: pool.get(n.ssh).check for n in cluster.live_nodes},
        reach.surveys,
    )


def _balancers(cluster: Cluster, pool: SshPool, stack: ExitStack) -> dict[tuple[str, str], Balancer]:
    balancers = {}
    for settings in cluster.balancers:
        for endpoint in settings.endpoints:
            driver = make_balancer(settings, endpoint, pool.get)
            balancers[settings.name, endpoint.url] = driver
            close = getattr(driver, "close", None)  # a driver that holds connections may have one
            if close is not None:
                stack.callback(close)
    return balancers


def _rights(restarter: SshRestarter, claim: SshClaimFile) -> Callable[[], None]:
    def ask() -> None:
        restarter.may_restart()
        claim.may_claim()

    return ask


def _checks(
    cluster: Cluster, pool: SshPool, stack: ExitStack, clock: SystemClock
) -> Mapping[tuple[str, str], Sequence[HealthCheck]]:
    """One transport for all plain HTTP checks: each costs memory, and each question is a new connection anyway."""
    transports: dict[tuple[object, ...], httpx.BaseTransport] = {}
    checks: dict[tuple[str, str], list[HealthCheck]] = {}
    for settings in cluster.checks:
        key = (settings.scheme, settings.ca_file, settings.timeout_s, settings.via)
        if settings.path is not None and key not in transports:
            transports[key] = _check_transport(settings, pool)
            stack.callback(transports[key].close)
        transport = transports.get(key) if settings.path is not None else None
        check = make_check(settings, transport, _dial(settings.via, pool) or dial_directly, clock)
        checks.setdefault((settings.node, settings.service), []).append(check)
    return checks


def _check_transport(settings: CheckSettings, pool: SshPool) -> httpx.BaseTransport:
    return make_transport(
        timeout_s=settings.timeout_s,
        ca_file=settings.ca_file,
        dial=_dial(settings.via, pool),
        tls=settings.scheme == "https",
        keepalive=False,
    )


def _probe_transport(settings: ProbeSettings, pool: SshPool, stack: ExitStack) -> httpx.BaseTransport:
    transport = make_transport(
        timeout_s=settings.timeout_s,
        ca_file=settings.ca_file,
        dial=_dial(settings.via, pool),
        connect_to=_address(settings.connect_to),
        proxy=settings.proxy,
        tls=urlsplit(settings.url).scheme == "https",
        keepalive=False,
    )
    stack.callback(transport.close)
    return transport


def _dial(via: SshSettings | None, pool: SshPool) -> Dial | None:
    if via is None:
        return None
    connection = pool.get(via)
    return lambda host, port, timeout_s: connection.dial_tcp(host, port, timeout_s=timeout_s)


def _address(connect_to: str | None) -> tuple[str, int] | None:
    if connect_to is None:
        return None
    host, _, port = connect_to.rpartition(":")
    return host.strip("[]"), int(port)
