"""Does each balancer answer quickly enough for a run? One that never does is found out before a node is taken out.

A look at the world waits no longer than `LOOK_WITHIN_S` for anybody, whatever time-out an endpoint has: a slower answer
is old when it comes, and a node is stopped, and put back, only on fresh ones.
"""

from collections.abc import Mapping

from rollsafe.model.reading import PoolReading, Unread
from rollsafe.model.verdict import Verdict
from rollsafe.planner.readings import PoolKey

LOOK_WITHIN_S = 1.5
REMEDY = (
    "see why it is slow (the load of its host, or the way there: `via`, a jump host, a VPN); "
    "a longer `timeout` does not help"
)


def in_time(pool: PoolReading | Unread) -> bool:
    """Did the answer come within the time of a look? No answer did not."""
    return isinstance(pool, PoolReading) and pool.took_s <= LOOK_WITHIN_S


def too_slow(pools: Mapping[PoolKey, PoolReading | Unread]) -> dict[tuple[str, str], Verdict]:
    """A no for each endpoint, (balancer, its address), that was read, and never in time."""
    slowest_s: dict[tuple[str, str], float] = {}
    for key, pool in pools.items():
        if isinstance(pool, PoolReading) and not in_time(pool):
            slowest_s[key[0], key[1]] = max(pool.took_s, slowest_s.get((key[0], key[1]), 0.0))
    return {endpoint: _no(endpoint[1], took_s) for endpoint, took_s in slowest_s.items()}


def _no(url: str, took_s: float) -> Verdict:
    reason = f"{url} answers in {took_s:.2f} s at best, and a run needs it within {LOOK_WITHIN_S:g} s"
    return Verdict("latency", False, reason, remedy=REMEDY)
