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
    record = first_record(session.cluster.name, session.log.run, session.holder, session.who, session.world.claims)
    patience = Patience(session)
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
        copies = takeover.Copies({blocked.node: blocked.record})
        if session.wait_for_lock_s and (read := takeover.read_copies(session.world)).of(blocked.record.token.run):
            copies = read
        ending = patience.wait(copies, blocked, now)
        if ending is not None:
            return replace(ending, message=ending.message + _not_removed(session, keeper))


def look_for_claims(session: "Session", now: Readings) -> Ending | None:
    """Is the cluster claimed already? Asked before the gates: what a dead run left out would close them, and the
    operator must hear of the run, not of its traces."""
    patience = Patience(session)
    while True:
        copies = takeover.read_copies(session.world)
        node, record = next(iter(copies.records.items()), ("", None))
        if record is None:
            session.traces.met = None
            return None
        ending = patience.wait(copies, Blocked(node, record), now)
        if ending is not None:
            return ending


class Patience:
    """The wait for the end of another's claim, as long as `--wait-for-lock` says; what it sees of the beat meanwhile is
    what it tells at its end. The time is one for all that a command waits for."""

    def __init__(self, session: "Session") -> None:
        self._session = session
        self._pulse = takeover.Pulse(session.clock)
        if session.traces.lock_until_s is None:
            session.traces.lock_until_s = session.clock.at_s() + session.wait_for_lock_s
        self._until_s = session.traces.lock_until_s

    def wait(self, copies: takeover.Copies, blocked: Blocked, now: Readings) -> Ending | None:
        """Wait a little; the ending where the time is up, or a signal came. Where less was allowed, a beat is watched
        for 15 s all the same."""
        session, run = self._session, blocked.record.token.run
        alive = self._pulse.feel(copies, run)
        session.traces.met, session.traces.alive = copies.highest(run), alive
        if session.orders.order:
            return met.stopped(session, "begun")
        left_s = self._until_s - session.clock.at_s()
        known = alive is not None or not session.wait_for_lock_s or left_s <= -takeover.BEAT_WATCH_S
        if left_s <= 0 and known:
            return _met(session, blocked, now, alive)
        met.tell_waiting(session, blocked.record, left_s)
        session.clock.sleep(min(LOCK_LOOK_EVERY_S, left_s) if left_s > 0 else LOCK_LOOK_EVERY_S)
        return None


def _met(session: "Session", blocked: Blocked, now: Readings, alive: bool | None) -> Ending:
    """The ending at another's claim. A signal ends the watch of its beat."""
    try:
        return met.met(session, blocked, now, alive=alive)
    except takeover.AskedToStop:
        return met.stopped(session, "begun")


def _not_removed(session: "Session", keeper: ClaimKeeper) -> str:
    if not keeper.not_removed:
        return ""
    return f". A claim of this run could not be removed again ({'; '.join(keeper.not_removed)}): {session.mend}"
