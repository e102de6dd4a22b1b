"""The plan: what a run will do, in order, with the exact writes. It is stored with the run and obeyed on resume."""

from dataclasses import dataclass
from typing import Any

from rollsafe.model.cluster import Idle, MinReady, Policy, WindowRules
from rollsafe.model.reading import Found, Member
from rollsafe.model.verdict import Verdict

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class PlannedService:
    """One service: what its drain owes the requests in flight, and how many others must serve."""

    name: str
    idle: Idle
    timeout_s: float
    linger_s: float
    min_ready: MinReady


@dataclass(frozen=True, slots=True)
class PlannedNode:
    """One node that the run restarts."""

    name: str
    start_timeout_s: float
    restart_timeout_s: float


@dataclass(frozen=True, slots=True)
class NodeEstimate:
    """The expected time of one node's turn: the median of its last `runs` turns; of none, the product's preset."""

    node: str
    expected_s: float
    runs: int = 0


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One step of the playbook, with its arguments."""

    name: str  # drain, restart, healthy, ready, soak
    arguments: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """One write to one balancer endpoint. `condition` is empty where the write surely comes."""

    member: Member
    found: Found
    to: Found
    condition: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do. `services` are most critical first; `members` are those of every live node."""

    cluster: str
    nodes: tuple[PlannedNode, ...]  # selected, in order
    all_nodes: tuple[str, ...]  # live nodes, selected or not
    services: tuple[PlannedService, ...]
    members: tuple[Member, ...]
    each_node: tuple[PlannedStep, ...]
    policy: Policy
    window: WindowRules | None = None
    until: str | None = None  # RFC 3339, from --until
    accept_outage: bool = False
    node_estimate_s: float = 0.0  # expected time of one node, where nothing is known of it
    estimates: tuple[NodeEstimate, ...] = ()
    playbook: str = ""  # as it was named on the command line
    inventory: tuple[tuple[str, str], ...] = ()  # (part, digest) of what a run obeys and the plan does not spell out
    version: int = PLAN_VERSION

    def members_of(self, node: str, service: str | None = None) -> tuple[Member, ...]:
        """The members of one node, of one service where it is named."""
        return tuple(m for m in self.members if m.node == node and service in (None, m.service))

    def expected_s(self, *names: str) -> float:
        """The expected time of these nodes, one after another; of all that the run restarts where none is named."""
        known = {estimate.node: estimate.expected_s for estimate in self.estimates}
        wanted = names or tuple(node.name for node in self.nodes)
        return sum(known.get(name, self.node_estimate_s) for name in wanted)

    def node(self, name: str) -> PlannedNode:
        """The planned node of that name. Raises KeyError where the run does not restart it."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Forecast:
    """What `plan` shows: the plan, its exact writes, the gates' verdicts, and how long it will take."""

    plan: Plan
    writes: tuple[PlannedWrite, ...]
    verdicts: tuple[tuple[str, Verdict], ...]  # (node, verdict)
    warnings: tuple[str, ...]
    unchecked: tuple[str, ...]  # what could not be checked
    expected_s: float
    longest_s: float
