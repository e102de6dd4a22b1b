"""The inventory, as the planner and the engine see it. Times are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from rollsafe.model.secret import Secret
from rollsafe.model.settings import (
    BalancerSettings,
    CheckSettings,
    ProbeSettings,
    RestartSettings,
    SshSettings,
)


class Idle(Enum):
    """What a drain owes the requests in flight."""

    REQUIRED = "required"  # never stop a node with one in flight
    PREFERRED = "preferred"  # wait for them within limits, then cut and report them


@dataclass(frozen=True, slots=True)
class MinReady:
    """How many members must serve while one node is out: all others (both None), a number, or a percentage."""

    count: int | None = None
    percent: float | None = None

    def of(self, others: int, total: int) -> int:
        """The number that must serve, out of `others` members that are not the node in hand's (`total` with it)."""
        if self.count is not None:
            return self.count
        if self.percent is not None:
            return -int(-(total * self.percent) // 100)
        return others

    def __str__(self) -> str:
        if self.count is not None:
            return str(self.count)
        return f"{self.percent:g}%" if self.percent is not None else "all-others"


@dataclass(frozen=True, slots=True)
class DrainRule:
    """How long requests in flight are waited for. `linger_s` counts from maint, for `idle: preferred` only."""

    idle: Idle
    timeout_s: float
    linger_s: float = 30.0


@dataclass(frozen=True, slots=True)
class Service:
    """What must stay reachable on a port of every node."""

    name: str
    balancer: str
    pools: tuple[str, ...]
    min_ready: MinReady
    drain: DrainRule
    member: str | None = None  # template: {node}, {host}, {port}; None: whichever of the usual forms is found


@dataclass(frozen=True, slots=True)
class Node:
    """One machine that is restarted over SSH."""

    name: str
    host: str
    ports: Mapping[str, int]  # service -> port
    ssh: SshSettings
    restart: RestartSettings
    start_timeout_s: float
    members: Mapping[str, str] = field(default_factory=dict)  # service -> the balancer's name for it, where told
    excluded: str | None = None  # the reason; not restarted, not counted, not claimed


@dataclass(frozen=True, slots=True)
class Policy:
    """How patient and how watchful a run is."""

    healthy_for_s: float = 15.0
    soak_s: float = 30.0
    start_timeout_s: float = 1800.0
    gate_timeout_s: float = 120.0
    put_back_timeout_s: float = 300.0
    poll_s: float = 1.0


@dataclass(frozen=True, slots=True)
class WindowRules:
    """When steps may start. `open` entries read `Sat 02:00-05:00`, `blackouts` `2026-12-20/2027-01-04` (both in)."""

    timezone: str
    open: tuple[str, ...] = ()
    blackouts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """The inventory's root. `services` are most critical first; `nodes` in the order in which they are restarted."""

    name: str
    product: str
    nodes: tuple[Node, ...]
    services: tuple[Service, ...]
    balancers: tuple[BalancerSettings, ...]
    checks: tuple[CheckSettings, ...]
    probes: tuple[ProbeSettings, ...]
    policy: Policy
    window: WindowRules | None = None
    claim_dir: str = "/var/tmp/rollsafe"  # noqa: S108 - the documented default on the node's own disk
    state: str | None = None
    notify: tuple[Secret, ...] = ()  # Apprise addresses, which hold tokens
    typical_start_s: float = 300.0  # the product's usual start, for estimates before there is history

    @property
    def live_nodes(self) -> tuple[Node, ...]:
        """Every node that is not excluded."""
        return tuple(node for node in self.nodes if node.excluded is None)
