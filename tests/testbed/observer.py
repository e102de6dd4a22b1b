"""The outside observer: looks at balancers and nodes ten times a second, and believes nobody's exit code."""

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from tests.testbed.haproxy import Seat
from tests.testbed.nodes import TestNode


class Endpoint(Protocol):
    """What the observer needs of a balancer."""

    @property
    def endpoint(self) -> str: ...

    def seats(self) -> dict[str, Seat]: ...


@dataclass(frozen=True)
class Sample:
    """One look: each endpoint's seats (None: it could not be read), each node's incarnation (None: it does not run)."""

    time: float
    seats: Mapping[str, Mapping[str, Seat] | None]
    identities: Mapping[str, str | None]

    def admin(self) -> dict[tuple[str, str], str]:
        """(endpoint, node) -> ready, drain or maint, where it could be read."""
        return {(e, n): seat.admin for e, seats in self.seats.items() if seats for n, seat in seats.items()}


class Observer:
    """Takes samples in a thread of its own."""

    def __init__(self, endpoints: list[Endpoint], nodes: list[TestNode], interval_s: float = 0.1) -> None:
        self._endpoints, self._nodes, self._interval_s = endpoints, nodes, interval_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.samples: list[Sample] = []

    def look(self) -> Sample:
        """One sample, now."""
        seats: dict[str, Mapping[str, Seat] | None] = {}
        for endpoint in self._endpoints:
            try:
                seats[endpoint.endpoint] = endpoint.seats()
            except (OSError, ValueError, KeyError, IndexError):
                seats[endpoint.endpoint] = None
        return Sample(time.time(), seats, {node.name: node.identity for node in self._nodes})

    def start(self) -> None:
        self._stop.clear()
        self.samples = [self.look()]
        self._thread = threading.Thread(target=self._watch, name="observer", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join(10)
            self._thread = None
            self.samples.append(self.look())

    def _watch(self) -> None:
        while not self._stop.wait(self._interval_s):
            self.samples.append(self.look())

    # --- what was seen ----------------------------------------------------------------------------------------------

    def changes(self) -> Iterator[tuple[float, str, str, str]]:
        """(time, endpoint, node, admin state) for each change of an admin state."""
        last = self.samples[0].admin()
        for sample in self.samples[1:]:
            now = sample.admin()
            for seat in sorted(now):
                if now[seat] != last.get(seat, now[seat]):
                    yield sample.time, *seat, now[seat]
            last |= now

    def most_out_at_once(self) -> set[str]:
        """The largest set of nodes that were out by somebody's hand at once, without those out at the beginning."""
        before = {seat for seat, admin in self.samples[0].admin().items() if admin != "ready"}
        sets = [
            {
                node
                for (endpoint, node), admin in sample.admin().items()
                if admin != "ready" and (endpoint, node) not in before
            }
            for sample in self.samples
        ]
        return max(sets, key=len)

    def nodes_taken_out(self) -> set[str]:
        """Every node of which some member changed its admin state."""
        return {node for _, _, node, _ in self.changes()}

    def stopped_in_service(self) -> list[str]:
        """Nodes that went down, by a restart, while some readable endpoint still had them ready: there must be none."""
        wrong = []
        killed = {node.name for node in self._nodes if node.killed}
        for earlier, later in zip(self.samples, self.samples[1:], strict=False):
            for node, identity in earlier.identities.items():
                if identity is not None and later.identities[node] != identity and node not in killed:
                    ready = [e for (e, n), admin in earlier.admin().items() if n == node and admin == "ready"]
                    also = [e for (e, n), admin in later.admin().items() if n == node and admin == "ready"]
                    wrong += [f"{node} went down while ready on {e}" for e in ready if e in also]
        return wrong

    def not_as_found(self) -> list[str]:
        """Members that end otherwise than they began."""
        first, last = self.samples[0].admin(), self.samples[-1].admin()
        unread = [f"{e} cannot be read" for e, seats in self.samples[-1].seats.items() if seats is None]
        return unread + [
            f"{node} on {endpoint}: found {first[endpoint, node]}, now {state}"
            for (endpoint, node), state in sorted(last.items())
            if first.get((endpoint, node), state) != state
        ]

    def history(self) -> str:
        """All changes, for the text of a failed assertion."""
        zero = self.samples[0].time
        return "\n".join(f"{t - zero:7.2f}s {node:8} {state:6} on {e}" for t, e, node, state in self.changes())
