"""Streaks: three readings with 0 active, health unbroken for so long. Pure; a gap in time voids them."""

from collections.abc import Mapping

from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Check, Member, PoolReading, SeatReading, Unread
from rollsafe.planner.readings import PoolKey, Readings, Watch
from rollsafe.planner.state import RunState

IDLE_READINGS = 3  # 0 active must be read so many times running


def observe(plan: Plan, state: RunState, before: Watch, now: Readings, *, gap: str, blind_s: float = 0.0) -> Watch:
    """The streaks after one more look. `gap` is the reason why the looks do not follow one another, or empty; `blind_s`
    is for how long nobody looked."""
    if gap:
        before = Watch(
            unread_since=before.unread_since,
            process=before.process,
            reloaded_at=before.reloaded_at,
            born_at=before.born_at,
            totals=before.totals,
            counted=before.counted,
            misses=before.misses,
            read=before.read,
            seen_out=before.seen_out,
            blind=before.blind,
            arrived=before.arrived,
        )
    fine = trouble_of(plan, state, now) == ""
    resumed = state.epoch > 1
    reloaded = _reloads(before, now, resumed=resumed)
    totals = _totals(plan, state, now)
    read = _read(plan, now)
    return Watch(
        idle=_idle(plan, state, before, now, reloaded),
        healthy_since=_healthy_since(plan, before, now),
        ill_looks=_ill_looks(before, now),
        calm_since=(now.at_s if before.calm_since is None else before.calm_since) if fine else None,
        trouble_since=None if fine else (now.at_s if before.trouble_since is None else before.trouble_since),
        unread_since=_unread_since(before, now),
        process=_processes(before, now),
        reloaded_at=reloaded,
        born_at=before.born_at if resumed else _births(before, now),
        totals=totals,
        counted={**before.counted, **_counted(now)},
        misses=_misses(before, now),
        read={**before.read, **read},
        seen_out=before.seen_out | {member for member, (admin, _) in read.items() if admin.out},
        blind=(*before.blind, (now.at_s, blind_s)) if blind_s else before.blind,
        arrived=_arrived(state, before, totals),
    )


def trouble_of(plan: Plan, state: RunState, now: Readings) -> str:
    """Which node that was fine when the run began is not fine now, for a cause that is not the node in hand's turn.

    The node in hand is looked at too once it is back.
    """
    hand = state.hand
    away = state.in_hand if hand is not None and hand.ready_s is None else None
    for node in sorted(state.fine_at_start):
        if node == away:
            continue
        if why := unfit(plan, now, node):
            return f"{node}: {why}"
    return ""


def unfit(plan: Plan, now: Readings, node: str) -> str:
    """Why a node is not in, up and healthy; empty where it is."""
    for service in plan.services:
        health = now.health.get((node, service.name))
        if health is None:
            return f"{service.name} did not answer our own check"
        if not health.healthy:
            return f"{service.name} is {health.state} by our own check"
    for member in plan.members_of(node):
        seat = now.member(member)
        if isinstance(seat, Unread):
            return f"{member} can't be read: {seat.reason}"
        if idle := sent_nobody(seat):
            return f"{member} {idle}"
    return ""


def sent_nobody(seat: SeatReading) -> str:
    """Why its balancer sends no new client to a member; empty where it does."""
    if seat.admin.out:
        return f"is in {seat.admin.value}"
    if not serves(seat):
        return f"is {seat.check.value} by the balancer's check"
    return f"has {seat.unused}, so that no new client is sent there" if seat.unused else ""


def serves(seat: SeatReading) -> bool:
    """Is a member up, as far as its balancer can tell? Without a check of its own our own health stands in."""
    return seat.check in (Check.UP, Check.NOT_CHECKED)


def _idle(
    plan: Plan, state: RunState, before: Watch, now: Readings, reloaded: Mapping[PoolKey, float]
) -> dict[tuple[str, str], int]:
    counts = {}
    if state.in_hand is not None:
        for service in plan.services:
            key = (state.in_hand, service.name)
            seats = [now.member(m) for m in plan.members_of(*key)]
            changed = any(reloaded.get(m.pool_key) == now.at_s for m in plan.members_of(*key))
            idle = bool(seats) and all(isinstance(s, SeatReading) and s.admin.out and s.active == 0 for s in seats)
            counts[key] = before.idle.get(key, 0) + 1 if idle and not changed else 0
    return counts


def _totals(plan: Plan, state: RunState, now: Readings) -> dict[Member, int]:
    if state.in_hand is None:
        return {}
    seats = {m: now.member(m) for m in plan.members_of(state.in_hand)}
    return {
        m: seat.total
        for m, seat in seats.items()
        if isinstance(seat, SeatReading) and seat.admin is AdminState.DRAIN and seat.total is not None
    }


def _arrived(state: RunState, before: Watch, totals: Mapping[Member, int]) -> frozenset[tuple[str, str]]:
    """Where clients still get into a drained member: they are pinned to it, by a cookie or a table."""
    more = {(m.node, m.service) for m, total in totals.items() if total > before.totals.get(m, total)}
    return frozenset(pair for pair in before.arrived | more if pair[0] == state.in_hand)


def _healthy_since(plan: Plan, before: Watch, now: Readings) -> dict[str, float]:
    names = tuple(s.name for s in plan.services)
    since = {}
    for node in plan.all_nodes:
        asked = [now.health.get((node, name)) for name in names]
        if all(reading is not None and reading.healthy for reading in asked):
            since[node] = before.healthy_since.get(node, now.at_s)
    return since


def _ill_looks(before: Watch, now: Readings) -> dict[tuple[str, str], int]:
    """How many looks ago each service was last healthy by our own check; what never was is not in it."""
    looks = {pair: count + 1 for pair, count in before.ill_looks.items()}
    return looks | {pair: 0 for pair, health in now.health.items() if health.healthy}


def _unread_since(before: Watch, now: Readings) -> dict[PoolKey, float]:
    return {key: before.unread_since.get(key, now.at_s) for key, pool in now.pools.items() if isinstance(pool, Unread)}


def _read(plan: Plan, now: Readings) -> dict[Member, tuple[AdminState, float]]:
    seats = {member: now.member(member) for member in plan.members}
    return {member: (seat.admin, now.at_s) for member, seat in seats.items() if isinstance(seat, SeatReading)}


def _misses(before: Watch, now: Readings) -> dict[PoolKey, int]:
    return {key: before.misses.get(key, 0) + isinstance(pool, Unread) for key, pool in now.pools.items()}


def _processes(before: Watch, now: Readings) -> dict[PoolKey, str]:
    seen = dict(before.process)
    for key, pool in now.pools.items():
        if isinstance(pool, PoolReading) and pool.process is not None:
            seen[key] = pool.process
    return seen


def _reloads(before: Watch, now: Readings, *, resumed: bool) -> dict[PoolKey, float]:
    """When each endpoint's process was new: where its pid changed, or, at the first look of a resume, as its uptime
    tells: what happened since the process before us looked is not known."""
    reloaded = dict(before.reloaded_at)
    for key, pool in now.pools.items():
        if not isinstance(pool, PoolReading) or pool.process is None:
            continue
        known = before.process.get(key)
        if known is None and resumed and pool.uptime_s is not None:
            reloaded[key] = now.at_s - pool.uptime_s
        elif known is not None and (known != pool.process or _counts_anew(before, key, pool)):
            reloaded[key] = now.at_s
    return reloaded


def _counted(now: Readings) -> dict[PoolKey, Mapping[str, int]]:
    pools = {key: pool for key, pool in now.pools.items() if isinstance(pool, PoolReading)}
    return {key: {s.seat: s.total for s in pool.seats if s.total is not None} for key, pool in pools.items()}


def _counts_anew(before: Watch, key: PoolKey, pool: PoolReading) -> bool:
    """Has a count of requests gone back, where a name of the process may stay (Apache's nonce, if it is configured)? A
    product that tells its process for sure tells its uptime, too; there somebody cleared the counters."""
    known = before.counted.get(key, {})
    return pool.uptime_s is None and any(s.total is not None and s.total < known.get(s.seat, 0) for s in pool.seats)


def _births(before: Watch, now: Readings) -> dict[PoolKey, float]:
    """Since when each endpoint's process runs, where it was there at the first look already."""
    born = dict(before.born_at)
    for key, pool in now.pools.items():
        if isinstance(pool, PoolReading) and key not in before.process and pool.uptime_s is not None:
            born[key] = now.at_s - pool.uptime_s
    return born
