"""What a command says of another run whose claim it met: whose it is, whether it lives, what a dead one left out.

And what `recover` says where it meets none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rollsafe.engine import preflight, takeover
from rollsafe.engine.claim import Blocked
from rollsafe.engine.pools import READ_TRIES, READ_WITHIN_S, read_pools
from rollsafe.errors import Refused
from rollsafe.model.claim import ClaimRecord, FoundMember
from rollsafe.model.reading import SeatReading, Unread
from rollsafe.model.wording import ended
from rollsafe.planner import by_node
from rollsafe.planner.expand import find_members
from rollsafe.planner.left_behind import begun, in_service, left_behind
from rollsafe.planner.outcome import Ending, in_place_of_recover, others_of
from rollsafe.planner.readings import Order, PoolKey, Readings

if TYPE_CHECKING:
    from rollsafe.engine.session import Session

LOOK_WITHIN_S = 3.0
LAST_COPIES_WITHIN_S, LAST_LOOK_WITHIN_S = 1.2, 2.2  # after SIGTERM the process ends within 5 s


def tell_waiting(session: "Session", record: ClaimRecord, left_s: float) -> None:
    """What a wait for another's claim waits for, what that run does, and the time left."""
    who = record.who
    goal = f"the end of run {record.token.run} of {who.who} from {who.host}"
    seen = {"state": record.doing or "about to begin"}
    words = {"step": "claim", "for": goal, "reading": seen, "left_s": round(max(left_s, 0.0), 1)}
    session.log.write("step.waiting", f"waiting for {goal}, {max(left_s, 0.0):.0f} s left", data=words)


def asked(session: "Session", command: str) -> takeover.Asked:
    """Was the command asked to end? After a first SIGINT `resume` goes on, and finishes the node in hand."""
    least = Order.NOW if command == "resume" else Order.FINISH
    return lambda: session.orders.order >= least


def refuse_if_alive(session: "Session", copies: takeover.Copies, run_id: str, command: str) -> None:
    """Raises Refused for a run whose beat goes on, and AskedToStop."""
    if takeover.lives(session.world, session.clock, run_id, asked(session, command)):
        now = takeover.read_copies(session.world, tries=1)  # it may have been taken over while it was watched
        told = takeover.describe((now if now.of(run_id) else copies).highest(run_id), alive=True)
        raise Refused(
            f"{ended(told)} To take it over all the same: {in_place_of_recover(session.mend, command)} --take-over"
        )


def met(session: "Session", blocked: Blocked, now: Readings, *, alive: bool | None = None) -> Ending:
    """Another's claim stands in the way: 10, or 30 where a dead run left a node out. Its beat is watched, unless it was
    (`alive`). Raises AskedToStop."""
    record = blocked.record
    if alive is None:
        alive = takeover.lives(session.world, session.clock, record.token.run, asked(session, "run"))
    session.traces.alive = alive
    if alive:
        text = takeover.describe(newest(session)[0], alive=True)  # it may have been taken over while it was watched
        wait = f"Wait for it (--wait-for-lock 30m), or look: {in_place_of_recover(session.mend, 'status')}"
        return Ending("refused", 10, f"nothing was touched: {ended(text)} {wait}")
    copies = takeover.read_copies(session.world)
    if not copies.of(record.token.run) and not copies.unread:
        who = f"{record.who.who} from {record.who.host} (run {record.token.run})"
        return Ending(
            "refused", 10, f"nothing was touched: the cluster was claimed by {who}, which has ended since. Start again"
        )
    highest = copies.highest(record.token.run) if copies.of(record.token.run) else record
    why = takeover.describe(record, alive=False)
    return dead(session, highest, why, now, doubts=_unheard(copies, record.token.run))


def unknown_here(session: "Session", record: ClaimRecord) -> str:
    """What the claim's run may have written, though its journal here tells of no such write; empty where all is known.
    With a journal that lost its end (an older copy), our own drain would count as a person's, and stay. Nor
    can a run be gone on with where a member of a node that it began has left its pool."""
    nodes, (now, _) = session.log.state.nodes, _read_now(session, None)
    for told in (told for entry in record.entries.values() for told in entry):
        seat = now.member(told.member)
        if told.wrote and isinstance(seat, Unread) and seat.no_member:
            return f"{seat.reason}, so that {told.member.node} can't be gone on with: somebody took it out since"
        known = nodes.get(told.member.node)
        wrote = known.wrote.get(told.member, frozenset()) if known is not None else frozenset()
        why = _unknown(told, seat, {state.value for state in wrote})
        if why:
            return f"{told.member} {why}: the journal here of run {record.token.run} does not tell of such a write"
    return ""


def _unknown(told: FoundMember, seat: SeatReading | Unread, wrote: set[str]) -> str:
    """What is odd about the member; empty where it is as found, or as the journal says that it was written."""
    if isinstance(seat, Unread):
        return "" if wrote >= set(told.wrote) else f"can't be read ({seat.reason}) and may be out"
    state = seat.admin.value
    if seat.admin is told.found.admin or state not in told.wrote or state in wrote:
        return ""
    return f"reads {state}, by a person or because the journal lost its end"


def dead(
    session: "Session", record: ClaimRecord, why: str, before: Readings | None = None, *, doubts: Sequence[str] = ()
) -> Ending:
    """The ending at a dead run's claim. `before`: what was read earlier, for what does not answer any more. `doubts`:
    what is not known of the claim itself."""
    now, silent = _read_now(session, before)
    left = [{**entry, "mend": session.mend} for entry in left_behind(record.entries, now)]
    unread = [*_unread(record, now, silent), *doubts]
    told = f"; it may have left out what can't be read: {'; '.join(unread)}" if unread else ""
    if left:
        names = ", ".join(dict.fromkeys(entry["node"] for entry in left))
        message = f"{names} is out of service by a dead run: {ended(why + told)} To put it back: {session.mend}"
        return Ending("node-out", 30, message, left_out=tuple(left), unread=tuple(unread))
    message = f"nothing was touched: {ended(why + told)} To clear it: {session.mend}"
    return Ending("unknown", 40, message, unread=tuple(unread)) if unread else Ending("refused", 10, message)


def stopped(session: "Session", what: str = "put back") -> Ending:
    """A signal ended the wait at another's claim, before anything was put back, or begun. What that run left out is
    named, though it may live: nobody mends a node that nobody was told of, and `recover` looks for itself."""
    (record, doubts), alive = newest(session), session.traces.alive
    why = f"asked to stop before anything was {what}; {takeover.describe(record, alive=alive)}"
    if alive:
        look = in_place_of_recover(session.mend, "status")
        return Ending("stopped", 20, f"nothing was touched: {ended(why)} To look: {look}")
    now, silent = _read_now(session, session.traces.before, tries=1, within_s=LAST_LOOK_WITHIN_S)
    return out_of_a_dead_run(record, now, why, session.mend, [*_unread(record, now, silent), *doubts])


def newest(session: "Session") -> tuple[ClaimRecord, list[str]]:
    """The met claim as it is now: while it was watched, the run may have begun another node, and died of it. And what
    is not known of that."""
    known = session.traces.met
    assert known is not None
    copies = takeover.read_copies(session.world, tries=1, within_s=LAST_COPIES_WITHIN_S)
    there = copies.of(known.token.run).values()  # none, where its run has ended meanwhile
    latest = max((known, *there), key=lambda record: (record.token.revision, record.token.epoch))
    return latest, _unheard(copies, known.token.run)


def _unheard(copies: takeover.Copies, run: str) -> list[str]:
    """Where no copy of a claim that was met could be read again: what its run did meanwhile is not known."""
    if copies.of(run) or not copies.unread:
        return []
    return [f"what run {run} began since, for its claim could not be read again ({by_node.told(copies.unread)})"]


def out_of_a_dead_run(record: ClaimRecord, now: Readings, why: str, mend: str, unread: Sequence[str] = ()) -> Ending:
    """The ending of a command that put nothing back of what its claim tells: 30, 40 where it can't be said, else 20."""
    left = tuple({**entry, "mend": mend} for entry in left_behind(record.entries, now))
    out = dict.fromkeys(entry["node"] for entry in left)
    unsure = [n for n in begun(record.entries, record.node_in_hand) if not in_service(record.entries[n], now)]
    doubt = [*unread, *(f"{n} was not looked at" for n in unsure if n not in out)]
    told = f"; not known: {'; '.join(doubt)}" if doubt else ""
    if left:
        where = "; ".join(f"{e['service']} on {e['endpoint']}: {e['state']}" for e in left)
        names = f"{', '.join(out)} is out of service by run {record.token.run}"
        text = f"{names} ({where}): {ended(why + told)} To put it back: {mend}"
        return Ending("node-out", 30, text, left_out=left, unread=tuple(doubt))
    if doubt:
        text = f"{why}{told}, so that a node may be out of service. To look and mend: {mend}"
        return Ending("unknown", 40, text, unread=tuple(doubt))
    return Ending(
        "stopped",
        20,
        f"nothing was touched, and nothing is left out: {ended(why)} Its claim stays. To clear it: {mend}",
    )


def _unread(record: ClaimRecord, now: Readings, silent: set[PoolKey]) -> list[str]:
    """Members that the run wrote to, and whose balancers do not answer, or that this inventory does not know."""
    written = [told.member for entry in record.entries.values() for told in entry if told.wrote]
    keys = {member: member.pool_key for member in written}
    return [str(member) for member, key in keys.items() if key in silent or key not in now.pools]


def _read_now(
    session: "Session",
    before: Readings | None,
    *,
    tries: int = READ_TRIES,
    within_s: float = READ_WITHIN_S,
) -> tuple[Readings, set[PoolKey]]:
    """What the balancers show now, and which pools do not answer: those count as they were, as far as they were out."""
    pools = read_pools(session.world, session.cluster, tries=tries, within_s=within_s)
    silent = {key for key, pool in pools.items() if isinstance(pool, Unread)}
    if before is None:
        return Readings(at_s=session.clock.at_s(), wall=session.clock.wall(), pools=pools, health={}), silent
    return replace(before, pools={**pools, **{k: p for k, p in before.pools.items() if k in silent}}), silent


def nothing_to_recover(session: "Session", copies: takeover.Copies, run_id: str | None) -> Ending:
    """No claim: nothing was left out. What is out by other hands is named."""
    takeover.clear_done(session.world, copies)
    unread = {n: why for n, why in copies.unread.items() if n not in session.forget}
    if unread:
        return not_asked(unread, session.mend)
    what = f"no claim of run {run_id}" if run_id else "no claim"
    others = out_by_others(session) if run_id is None else []
    told = "; ".join(f"{one['service']} of {one['node']} on {one['endpoint']}: {one['state']}" for one in others)
    more = f". By other hands, or by itself, is out: {told}" if others else ""
    message = f"nothing to do: there is {what} on any node, so nothing was left out{more}"
    return Ending("done", 0, message, others=tuple(others))


def not_asked(unread: Mapping[str, str], again: str) -> Ending:
    """No claim was met, and not every node could be asked. `again` is the command to type once they can."""
    text = f"there is no claim where it could be looked for; what could not be asked: {by_node.told(unread)}"
    return Ending("unknown", 40, f"{ended(text)} Again: {again}", unread=tuple(unread))


def out_by_others(session: "Session") -> list[dict[str, str]]:
    """What one quick look at the balancers shows; it decides nothing, so that what does not answer is passed over."""
    pools = read_pools(session.world, session.cluster, tries=1, within_s=LOOK_WITHIN_S)
    members, _problems = find_members(session.cluster, pools)
    plan = preflight.plan_of(session.cluster, members, preflight.Selection((), ()))
    now = Readings(at_s=session.clock.at_s(), wall=session.clock.wall(), pools=pools, health={})
    return others_of(plan, now, set())
