"""Before anything is touched: is the cluster claimed by another, and then, the claim of this run on every node."""

from dataclasses import replace
from typing import TYPE_CHECKING

from rollsafe.engine import met, takeover
from rollsafe.engine.claim import Blocked, ClaimKeeper, first_record
from rollsafe.errors import ClaimError, Refused
from rollsafe.planner.outcome import Ending
from rollsafe.planner.readings import Readings

if TYPE_CHECKING:
    from rollsafe.engine.session import Session

LOCK_LOOK_EVERY_S = 2.0


def claim(session: "Session", now: Readings) -> ClaimKeeper | Ending:
    """Claim every node, or say who stands in the way: 10, or 30 where a dead run left a node out."""
    record = first_record(session.cluster.name, session.log.run, session.holder, session.who)
    deadline_s = session.clock.at_s() + session.wait_for_lock_s
    pulse = takeover.Pulse(session.clock)
    while True:
        keeper = session.traces.keeper = ClaimKeeper(session.world, session.clock, record)
        try:
            blocked = keeper.make()
        except ClaimError as error:
            text = f"nothing was touched: the cluster could not be claimed: {error}{_not_removed(session, keeper)}"
            raise Refused(text) from error
        if blocked is None:
            session.traces.met = None
            return keeper
        session.traces.met, session.traces.alive = blocked.record, pulse.feel(blocked.record)
        left_s = deadline_s - session.clock.at_s()
        if left_s <= 0 or session.orders.order:
            ending = _met(session, blocked, now)
            return replace(ending, message=ending.message + _not_removed(session, keeper))
        met.tell_waiting(session, blocked.record, left_s)
        session.clock.sleep(LOCK_LOOK_EVERY_S)


def _met(session: "Session", blocked: Blocked, now: Readings) -> Ending:
    """The ending at another's claim. A signal ends the wait for it, and the watch of its beat."""
    try:
        return met.met(session, blocked, now)
    except takeover.AskedToStop:
        return met.stopped(session)


def _not_removed(session: "Session", keeper: ClaimKeeper) -> str:
    if not keeper.not_removed:
        return ""
    return f". A claim of this run could not be removed again ({'; '.join(keeper.not_removed)}): {session.mend}"


def look_for_claims(session: "Session", now: Readings) -> Ending | None:
    """Is the cluster claimed already? Asked before the gates: what a dead run left out would close them, and the
    operator must hear of the run, not of its traces."""
    deadline_s = session.clock.at_s() + session.wait_for_lock_s
    pulse = takeover.Pulse(session.clock)
    while True:
        copies = takeover.read_copies(session.world)
        node, record = next(iter(copies.records.items()), ("", None))
        if record is None:
            session.traces.met = None
            return None
        session.traces.met, session.traces.alive = copies.highest(record.token.run), pulse.feel(record)
        left_s = deadline_s - session.clock.at_s()
        if left_s <= 0 or session.orders.order:
            return _met(session, Blocked(node, record), now)
        met.tell_waiting(session, record, left_s)
        session.clock.sleep(LOCK_LOOK_EVERY_S)
