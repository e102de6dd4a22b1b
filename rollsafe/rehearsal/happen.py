"""Things that happen to the simulated cluster while a run goes on: what breaks stays broken until somebody mends it."""

from dataclasses import dataclass

from rollsafe.rehearsal.nodes import EVER, NodeTimes
from rollsafe.rehearsal.world import SimWorld

# What can happen, and to what: a balancer's endpoint, the node in hand, another node, or the first service's address.
EVENTS = {
    "the admin API refuses": "endpoint",
    "the admin API hangs": "endpoint",
    "the balancer reloads": "endpoint",
    "SSH refuses": "hand",
    "SSH hangs": "hand",
    "SSH of another node refuses": "other",
    "the node never comes up": "hand",
    "SCIM stays dead while web runs": "hand",
    "the restart command fails": "hand",
    "the restart command stops the node and fails": "hand",
    "the restart command hangs": "hand",
    "the restart command does nothing": "hand",
    "another node dies": "other",
    "another node's claim is lost": "other",
    "the service's address answers 404": "address",
}
MODES = {
    "the restart command fails": "fails",
    "the restart command stops the node and fails": "stops",
    "the restart command hangs": "hangs",
    "the restart command does nothing": "nothing",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens just before the run's call number `at_call`."""

    kind: str
    target: str
    at_call: int = 0

    def __str__(self) -> str:
        return f"{self.kind} ({self.target})"


def happen(sim: SimWorld, event: Event) -> None:
    """Let it happen now. Raises KeyError for an event that nobody knows."""
    node = sim.nodes.get(event.target)
    endpoint = next((e for k, e in sim.endpoints.items() if " ".join(k) == event.target), None)
    match event.kind:
        case "the admin API refuses" | "the admin API hangs" if endpoint is not None:
            endpoint.api = "refused" if "refuses" in event.kind else "hangs"
        case "the balancer reloads" if endpoint is not None:
            endpoint.reload()
        case "SSH refuses" | "SSH of another node refuses" if node is not None:
            node.ssh = "refused"
        case "SSH hangs" if node is not None:
            node.ssh = "hangs"
        case kind if node is not None and kind in MODES:
            node.restart_mode = MODES[kind]
        case "the node never comes up" if node is not None:
            node.next_times = NodeTimes(web_runs=EVER, scim_opens=EVER)
        case "SCIM stays dead while web runs" if node is not None:
            node.next_times = NodeTimes(scim_opens=EVER)
        case "another node dies" if node is not None:
            node.fall_ill(EVER)
        case "another node's claim is lost" if node is not None:
            sim.lose_claim(event.target)
        case "the service's address answers 404" if event.target in sim.streams:
            sim.streams[event.target].rejects = True
        case _:
            raise KeyError(f"{event} can't happen in this cluster")


def mend(sim: SimWorld) -> None:
    """Somebody repairs everything but what rollsafe itself left out: machines, networks and JVMs."""
    now = sim.timeline.now
    for endpoint in sim.endpoints.values():
        endpoint.api, endpoint.serves = "ok", True
    for stream in sim.streams.values():
        stream.rejects = False
    for node in sim.nodes.values():
        node.ssh, node.restart_mode = "ok", "works"
        node.times, node.next_times = NodeTimes(), None
        node.sick = [(start, min(end, now), which) for start, end, which in node.sick]
        node.locked_until = min(node.locked_until, now)
        node.job_until = min(node.job_until, now)
        if node.jvm_since is None and node.restart_pending <= now:
            node.start()
