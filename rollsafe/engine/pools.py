"""Reading the balancers' pools: side by side, a few times where one is silent, and each with the time that it took."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from rollsafe.errors import BalancerError
from rollsafe.model.cluster import Cluster
from rollsafe.model.reading import PoolReading, Unread
from rollsafe.planner.expand import pools_of
from rollsafe.planner.latency import in_time
from rollsafe.planner.readings import PoolKey
from rollsafe.ports import World

READ_TRIES = 3
READ_WITHIN_S = 6.0
QUICK_TRIES = 3  # one slow answer says little: a connection was made, a host was busy

Pools = dict[PoolKey, PoolReading | Unread]


def read_pool(world: World, key: PoolKey) -> PoolReading:
    """One pool on one endpoint, read now. Raises BalancerError."""
    begun_s = world.clock.monotonic()
    reading = world.balancers[key[0], key[1]].read(key[2])
    return replace(reading, took_s=world.clock.monotonic() - begun_s)


def read_pools(
    world: World, cluster: Cluster, *, tries: int = READ_TRIES, within_s: float = READ_WITHIN_S
) -> dict[PoolKey, PoolReading | Unread]:
    """Every pool on every endpoint, side by side; what did not answer is asked again, a few times."""
    keys = list(pools_of(cluster))
    pools: Pools = {}
    for _ in range(tries):
        silent = [k for k in keys if not isinstance(pools.get(k), PoolReading)]
        if not silent:
            break
        pools |= _read(world, silent, within_s)
    return pools


def at_their_quickest(world: World, pools: Mapping[PoolKey, PoolReading | Unread]) -> Pools:
    """The readings, `took_s` at its best: whoever was too slow for a look, or silent all its time, is asked a few times
    more, with more patience. What stays silent then stays as it was."""
    best = dict(pools)
    slow = [key for key, pool in pools.items() if not in_time(pool)]
    for _ in range(QUICK_TRIES):
        if not slow:
            break
        for key, pool in _read(world, slow, READ_WITHIN_S).items():
            if isinstance(pool, PoolReading):
                best[key] = replace(pool, took_s=min(pool.took_s, _took_s(best[key])))
        slow = [key for key in slow if isinstance(best[key], PoolReading) and not in_time(best[key])]
    return best


def _took_s(pool: PoolReading | Unread) -> float:
    return pool.took_s if isinstance(pool, PoolReading) else math.inf


def _read(world: World, keys: Iterable[PoolKey], within_s: float) -> Pools:
    """Each of these pools, asked once. An answer to an earlier call tells of an earlier moment, and is not taken."""
    call = object()
    asked = {("read", call, key): _reader(world, key) for key in keys}
    answers = world.gather(asked, within_s)
    return {name[2]: answers.get(name, Unread(f"no answer within {within_s:g} s")) for name in asked}


def _reader(world: World, key: PoolKey) -> Callable[[], PoolReading | Unread]:
    def read() -> PoolReading | Unread:
        try:
            return read_pool(world, key)
        except BalancerError as error:
            return Unread(str(error))

    return read
