"""What reached a node after it was put back, as its balancers count it: evidence for the report, never a gate.

At 2 a.m. there may be nothing, and some products do not count at all; both are told as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollsafe.engine.log import RunLog
from rollsafe.model.reading import AdminState, Member, PoolReading, SeatReading
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import NodeState


@dataclass(slots=True)
class _Count:
    """One member: the total that was read last, by which process, and what came on top since it was put back."""

    total: int
    process: str | None
    requests: int = 0
    after_s: float | None = None  # the first of them, counted from the put-back


@dataclass(slots=True)
class Landing:
    """Hears every look; tells of a node when it is done with."""

    _counts: dict[Member, _Count] = field(default_factory=dict)
    _first_s: float | None = None
    _last_s: float = 0.0
    _node: str = ""

    def look(self, hand: NodeState | None, now: Readings) -> None:
        """One look more at the node in hand. Nothing is counted before it is back."""
        if hand is None or hand.ready_s is None:
            return
        if hand.name != self._node:
            self._node, self._counts, self._first_s = hand.name, {}, now.at_s
        self._last_s = now.at_s
        for member, found in hand.found.items():
            seat = now.member(member)
            if found.admin is AdminState.READY and isinstance(seat, SeatReading) and seat.total is not None:
                self._count(member, seat.total, _process(member, now), now.at_s - hand.ready_s)

    def tell(self, log: RunLog, hand: NodeState) -> None:
        """Write what was seen of the node, where there was time to see anything."""
        if hand.name != self._node or self._first_s is None or self._last_s <= self._first_s:
            return
        members = [m for m, found in hand.found.items() if found.admin is AdminState.READY]
        if not members:
            return  # a person had taken it out before: nothing is to reach it
        watched_s = round(self._last_s - self._first_s, 1)
        words = {"watched_s": watched_s, "members": [self._told(member) for member in members]}
        text = ", ".join(f"{service}: {requests}" for service, requests in self._by_service(members).items())
        log.write(
            "node.landed", f"requests in the {watched_s:g} s after it was back: {text}", node=hand.name, data=words
        )

    def _count(self, member: Member, total: int, process: str | None, after_s: float) -> None:
        count = self._counts.get(member)
        if count is None:
            self._counts[member] = _Count(total, process)
            return
        reloaded = process != count.process or total < count.total  # a new process counts from 0
        count.requests += total if reloaded else total - count.total
        count.total, count.process = total, process
        if count.requests and count.after_s is None:
            count.after_s = round(after_s, 1)

    def _told(self, member: Member) -> Mapping[str, Any]:
        count = self._counts.get(member)
        return {
            "service": member.service,
            "balancer": member.balancer,
            "endpoint": member.endpoint,
            "pool": member.pool,
            "seat": member.seat,
            "requests": None if count is None else count.requests,
            "after_s": None if count is None else count.after_s,
        }

    def _by_service(self, members: list[Member]) -> dict[str, str]:
        told: dict[str, str] = {}
        for service in dict.fromkeys(member.service for member in members):
            counts = [self._counts.get(member) for member in members if member.service == service]
            known = [count.requests for count in counts if count is not None]
            told[service] = str(sum(known)) if len(known) == len(counts) else "not counted by the balancer"
        return told


def _process(member: Member, now: Readings) -> str | None:
    pool = now.pools.get(member.pool_key)
    return pool.process if isinstance(pool, PoolReading) else None
