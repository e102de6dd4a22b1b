"""What was seen from outside: by the clients, and by the nodes themselves. Nothing here comes from rollsafe."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ServiceSeen:
    """One service, as its clients saw it, in seconds. `cut` is what the nodes held of it when they stopped."""

    requests: int
    failed: int
    cut: int
    longest_outage_s: float
    slowest_s: float
    reasons: dict[str, int]


@dataclass(frozen=True)
class NodeSeen:
    """One node. `down_s` is from its stop until its SCIM port was open again; None while it is not."""

    restarts: int
    down_s: float | None


@dataclass(frozen=True)
class Summary:
    """Everything."""

    services: dict[str, ServiceSeen]
    nodes: dict[str, NodeSeen]


def read_summary(traffic: Path, nodes: dict[str, Path]) -> Summary:
    """From the clients' `seen.json` and the nodes' `life.jsonl`."""
    lives = {name: _life(folder) for name, folder in nodes.items()}
    try:
        seen = json.loads((traffic / "seen.json").read_text())
    except FileNotFoundError:
        seen = {}
    services = {}
    for service, facts in seen.items():
        cut = sum(event["cut"][service] for life in lives.values() for event in life if "cut" in event)
        kept = ("requests", "failed", "longest_outage_s", "slowest_s", "reasons")
        services[service] = ServiceSeen(cut=cut, **{key: facts[key] for key in kept})
    return Summary(services, {name: _node(life) for name, life in lives.items()})


def _life(folder: Path) -> list[dict[str, Any]]:
    try:
        text = (folder / "life.jsonl").read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines()]


def _node(life: list[dict[str, Any]]) -> NodeSeen:
    starts = sum(event["event"] == "started" for event in life)
    down = None
    stopped: float | None = None
    for event in life:
        at = float(event["at"])
        if event["event"] == "stopped":
            stopped, down = at, None
        elif event["event"] == "scim" and stopped is not None:
            down = at - stopped
    return NodeSeen(max(0, starts - 1), down)
