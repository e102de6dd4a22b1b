"""`ready`: one node by hand, back into service: healthy by our own checks first, then through the balancers' own."""

from rollsafe.engine import preflight
from rollsafe.engine.claim import ClaimKeeper
from rollsafe.engine.claiming import claim, look_for_claims
from rollsafe.engine.session import Session, closing, roll, started
from rollsafe.errors import ClaimError
from rollsafe.model.claim import FoundMember
from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Found, Member, SeatReading
from rollsafe.model.wording import ended
from rollsafe.planner.fold import found_data
from rollsafe.planner.outcome import Ending
from rollsafe.planner.readings import Readings
from rollsafe.planner.watch import unfit


def ready(session: Session, plan: Plan, now: Readings) -> Ending:
    """Put one node back. What ends it early leaves the rest to `recover`."""
    node = plan.nodes[0].name
    started(session, "ready", [node], plan)
    return closing(session, lambda: _ready(session, plan, now, node))


def _ready(session: Session, plan: Plan, now: Readings, node: str) -> Ending:
    session.traces.before = now
    standing = look_for_claims(session, now)
    if standing is not None:
        return standing
    if not unfit(plan, now, node):
        return Ending("done", 0, f"{node} was in service already, healthy and up everywhere: nothing was written")
    preflight.reach(session.world, plan, session.log)
    keeper = claim(session, now)
    if isinstance(keeper, Ending):
        return keeper
    session.log.write("claim.made", "the claim is ours on every node", data={"fine": []})
    # the claim tells what the node is brought to: where this process dies of it, `recover` brings it there
    wrote = (AdminState.DRAIN.value, AdminState.MAINT.value)
    entry = tuple(FoundMember(member, Found(AdminState.READY), wrote) for member in plan.members_of(node))
    try:
        keeper.change(entries={node: entry}, node_in_hand=node, doing=f"putting {node} back into service")
    except ClaimError as error:
        return _nothing_begun(session, keeper, str(error))
    found = [
        {**found_data(it.member, it.found), "admin": _read(now, it.member), "goal": "ready", "wrote": list(wrote)}
        for it in entry
    ]
    words = {"position": 1, "of": 1, "found": found, "counts_as_stopped": True}
    session.log.write("node.started", f"{node} goes back into service", node=node, data=words)
    return roll(session, plan, keeper)


def _read(now: Readings, member: Member) -> str:
    seat = now.member(member)
    return seat.admin.value if isinstance(seat, SeatReading) else AdminState.READY.value


def _nothing_begun(session: Session, keeper: ClaimKeeper, why: str) -> Ending:
    """The claims could not be written: they are ended again."""
    problems = keeper.end()
    if not problems:
        return Ending("refused", 10, f"nothing was touched: {why}")
    told = ended("; ".join(problems))
    text = f"nothing was touched: {why}; and the claims could not be ended: {told} Then: {session.mend}"
    return Ending("unknown", 40, text, unread=tuple(problems))
