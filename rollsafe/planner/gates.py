"""The safety rules, each a pure function to a Verdict: a name, yes or no, the reason in numbers, the remedy.

A partial, stale, empty or unreadable answer is a no.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum

from rollsafe.model.plan import Plan, PlannedService
from rollsafe.model.reading import Check, IdentityReading, Member, SeatReading, Unread
from rollsafe.model.verdict import Verdict
from rollsafe.model.wording import in_a_row
from rollsafe.planner import window
from rollsafe.planner.by_node import bare
from rollsafe.planner.readings import ClaimView, Level, Ours, Readings
from rollsafe.planner.state import RunState
from rollsafe.planner.watch import sent_nobody, serves, trouble_of

VALUE_CHARS = 60  # of an identity, in an error
FRESH_S = 2.0  # a node is stopped only on readings younger than this


class Begun(Enum):
    """Is the question about a node that was begun already?"""

    NO = "no"
    YES = "yes"


_NEVER = ClaimView(Ours.UNREAD, "not read yet")
CLAIM_FRESH_S = 10.0  # a balancer is written to only so soon after the claims were read


def before_begin(plan: Plan, state: RunState, now: Readings, node: str) -> tuple[Verdict, ...]:
    """Every gate of taking a node in hand."""
    return (
        claims(plan, now),
        windows(plan, now, node),
        budget(plan, now),
        peers(plan, state, now),
        readable(plan, now, node),
        *min_ready(plan, now, node),
    )


def before_claim(plan: Plan, now: Readings, node: str) -> tuple[Verdict, ...]:
    """The gates that are asked of every selected node before the run claims anything."""
    return (whole_run(plan, now, node), readable(plan, now, node), *min_ready(plan, now, node))


def before_stop(plan: Plan, state: RunState, now: Readings, node: str, at_s: float) -> tuple[Verdict, ...]:
    """The gates again, in front of the one irreversible act."""
    return (
        fresh(now, at_s),
        claims(plan, now, at_s),
        budget(plan, now, begun=Begun.YES),
        peers(plan, state, now),
        out_everywhere(plan, state, now, node),
        *min_ready(plan, now, node),
    )


def refusals(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Those that say no."""
    return tuple(v for v in verdicts if not v.allowed)


def claims(plan: Plan, now: Readings, at_s: float | None = None) -> Verdict:
    """The claim is ours on every node, read not long ago."""
    views = [(node, now.claims.get(node, _NEVER)) for node in plan.all_nodes]
    not_ours = [
        f"{node}: {view.ours.value}{', ' + bare(node, view.detail) if view.detail else ''}"
        for node, view in views
        if view.ours is not Ours.OURS
    ]
    if not_ours:
        return Verdict("claim", False, "the claim is not ours on every node: " + "; ".join(not_ours))
    age_s = (at_s if at_s is not None else now.at_s) - now.claims_at_s
    if age_s > CLAIM_FRESH_S:
        return Verdict("claim", False, f"the claims were read {age_s:.1f} s ago, {CLAIM_FRESH_S:.0f} s at most")
    return Verdict("claim", True, f"the claim is ours on all {len(plan.all_nodes)} nodes")


def windows(plan: Plan, now: Readings, node: str) -> Verdict:
    """A node begun now ends inside the window and before the next blackout."""
    return window.verdict(plan.window, plan.until, now.wall, timedelta(seconds=plan.expected_s(node)))


def whole_run(plan: Plan, now: Readings, node: str) -> Verdict:
    """Before the run: this node, begun after those before it, ends inside the window. `--until` is asked of each node
    when its turn comes: whoever gives it wants as many as fit."""
    alone = windows(plan, now, node)
    if not alone.allowed or plan.window is None:
        return alone
    names = [planned.name for planned in plan.nodes]
    through = names[: names.index(node) + 1]
    verdict = window.verdict(plan.window, None, now.wall, timedelta(seconds=plan.expected_s(*through)), through)
    return alone if verdict.allowed else verdict


def budget(plan: Plan, now: Readings, *, begun: Begun = Begun.NO) -> Verdict:
    """The probes' budget is unspent, or an outage was asked for: then it is measured and told, and stops nothing. An
    outage that is over holds no node that was begun already."""
    fine = now.budget.level is Level.FINE or (now.budget.over and begun is Begun.YES)
    told = "" if fine or not plan.accept_outage else "; --accept-outage: an outage was accepted"
    return Verdict("budget", fine or plan.accept_outage, now.budget.reason + told, now.budget.remedy)


def peers(plan: Plan, state: RunState, now: Readings) -> Verdict:
    """Every node that was in, up and healthy when the run began still is (the one that is away excepted)."""
    trouble = trouble_of(plan, state, now)
    if trouble:
        return Verdict("peers", False, f"a node that was fine when the run began is not: {trouble}")
    return Verdict("peers", True, f"{len(state.fine_at_start)} nodes are as fine as they were at the start")


def readable(plan: Plan, now: Readings, node: str) -> Verdict:
    """Every endpoint shows every member of the node, and none that must be driven elsewhere."""
    for member in plan.members_of(node):
        seat = now.member(member)
        if isinstance(seat, Unread):
            return Verdict("readable", False, f"{member} can't be read: {seat.reason}")
        if seat.inherited:
            return Verdict(
                "readable", False, f"{member} follows {seat.inherited}", remedy=f"name {seat.inherited} as the pool"
            )
    return Verdict("readable", True, f"all {len(plan.members_of(node))} members of {node} were read")


def provable(identity: IdentityReading, *, healthy: bool) -> Verdict:
    """A restart of the node could be proved: where it is healthy it has an identity, and that stays the same."""
    if identity.identity is not None and identity.was is not None:
        before, after = _where_they_differ(identity.was, identity.identity)
        return Verdict(
            "identity",
            False,
            f'restart.identity printed "{before}", and then "{after}", though nothing was restarted: it would prove a '
            f"restart that never happened",
            remedy=f"{_REMEDY}, without a time, an age or a counter in it",
            about="an identity that differs",
        )
    if identity.identity is None and healthy:
        why = identity.lacks or identity.state or "none was read"
        return Verdict(
            "identity",
            False,
            f"it is healthy by our own check, and yet has no identity: {why}. So no restart could be proved",
            remedy=f"{_REMEDY}. Where somebody started the node in another way, restart it by hand once",
        )
    return Verdict("identity", True, "a restart could be proved")


_REMEDY = (
    "correct restart.unit or restart.identity in the inventory: it must tell which process runs there now, such as "
    "`cat /opt/jira/work/catalina.pid`"
)


def _where_they_differ(one: str, other: str) -> tuple[str, str]:
    """Both on one line, cut to where they differ."""
    first, second = (" ".join("".join(c if c.isprintable() else " " for c in text).split()) for text in (one, other))
    alike = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    start = max(0, alike - VALUE_CHARS // 2) if max(len(first), len(second)) > VALUE_CHARS else 0
    return _excerpt(first, start), _excerpt(second, start)


def _excerpt(text: str, start: int) -> str:
    end = start + VALUE_CHARS
    return f"{'…' if start else ''}{text[start:end]}{'…' if len(text) > end else ''}"


def fresh(now: Readings, at_s: float) -> Verdict:
    """The readings are young enough to stop a node on."""
    age_s = at_s - now.at_s
    return Verdict("fresh", age_s <= FRESH_S, f"the readings are {age_s:.1f} s old, {FRESH_S:.0f} s at most")


def in_words(noes: Sequence[tuple[str, Verdict]]) -> str:
    """What the gates refuse, of which nodes, and what would change it. What one gate says of the same pool for one node
    after the other is told in full once: with 20 nodes nobody would find the cause in it."""
    first: dict[tuple[str, str], str] = {}
    nodes: dict[tuple[str, str], dict[str, None]] = {}
    for node, no in noes:
        key = (no.gate, no.about or no.reason)
        first.setdefault(key, f"{node + ': ' if node else ''}{no.gate}: {no.reason}")
        nodes.setdefault(key, {})[node] = None
    more = {key: list(named)[1:] for key, named in nodes.items()}
    reasons = [f"{text} (as for {', '.join(more[key])})" if more[key] else text for key, text in first.items()]
    remedy = next((no.remedy for _, no in noes if no.remedy), "")
    return in_a_row("; ".join(reasons), f"to change it: {remedy}" if remedy else "")


def out_everywhere(plan: Plan, state: RunState, now: Readings, node: str) -> Verdict:
    """Every member of the node reads out on every endpoint, and no request that must not be cut is in flight."""
    doubts = state.nodes[node].in_doubt
    if doubts:
        return Verdict("out", False, f"a write to {next(iter(doubts))} is in doubt")
    for service in plan.services:
        drain = state.nodes[node].drains.get(service.name)
        cut_allowed = drain is not None and drain.outcome == "cut"
        for member in plan.members_of(node, service.name):
            seat = now.member(member)
            if isinstance(seat, Unread):
                return Verdict("out", False, f"{member} can't be read: {seat.reason}")
            if not seat.admin.out:
                return Verdict("out", False, f"{member} reads {seat.admin.value}")
            if seat.active != 0 and not cut_allowed:
                return Verdict("out", False, f"{member} has {seat.active} active")
    return Verdict("out", True, f"all {len(plan.members_of(node))} members of {node} read out, with 0 active")


def min_ready(plan: Plan, now: Readings, node: str, service: str | None = None) -> tuple[Verdict, ...]:
    """For every endpoint of every pool: without this node, are enough others in, up, and healthy by our own check?"""
    return tuple(
        _counterfactual(plan, planned, key, now, node)
        for planned in plan.services
        if service in (None, planned.name)
        for key in sorted({m.pool_key for m in plan.members_of(node, planned.name)})
    )


def alone(plan: Plan, now: Readings, member: Member) -> bool:
    """Does no other member of the same pool on the same endpoint serve?"""
    return all(_not_serving(other, now) for other in others_in_pool(plan, member))


def others_in_pool(plan: Plan, member: Member) -> list[Member]:
    """The other members of the same pool on the same endpoint."""
    place = (member.service, member.pool_key)
    return [m for m in plan.members if (m.service, m.pool_key) == place and m.node != member.node]


def _counterfactual(
    plan: Plan, service: PlannedService, key: tuple[str, str, str], now: Readings, node: str
) -> Verdict:
    others = [m for m in plan.members if m.service == service.name and m.pool_key == key and m.node != node]
    pool = now.pools.get(key)
    if others and isinstance(pool, Unread):  # said once, not for every member
        reason = f"{service.name} on {key[1]}, pool {key[2]}, can't be read: {pool.reason}"
        return Verdict("min_ready", False, reason, remedy="see to it that the balancer answers")
    lacking = {m.node: why for m in others if (why := _not_serving(m, now))}
    drained = [m.node for m in others if isinstance(seat := now.member(m), SeatReading) and seat.admin.out]
    serving = len(others) - len(lacking)
    wanted = service.min_ready.of(len(others), len(others) + 1)
    if not plan.accept_outage:
        wanted = max(1, wanted)
    reason = (
        f"{service.name} on {key[1]}, pool {key[2]}: without {node} {serving} of {len(others)} others serve, "
        f"{wanted} must (min_ready {service.min_ready})"
    )
    if lacking:
        reason += ": " + "; ".join(_lacking(nodes, why) for why, nodes in _by_reason(lacking).items())
    remedy = _remedy(drained, len(others), wanted, lowest=wanted == 1 and not plan.accept_outage)
    unchecked = sum(1 for m in others if _unchecked(m, now))
    warning = f"{key[1]} has no check of its own in pool {key[2]}: our own health stands in" if unchecked else ""
    about = f"{service.name} on {key}"
    return Verdict("min_ready", serving >= wanted, reason, remedy=remedy, warning=warning, about=about)


def _lacking(nodes: Sequence[str], why: str) -> str:
    verb, _, rest = why.partition(" ")
    plural = {"is": "are", "has": "have"}.get(verb, verb) if len(nodes) > 1 else verb
    return f"{', '.join(nodes)} {plural} {rest}"


def _by_reason(lacking: Mapping[str, str]) -> dict[str, list[str]]:
    nodes: dict[str, list[str]] = {}
    for node, why in lacking.items():
        nodes.setdefault(why, []).append(node)
    return nodes


def _remedy(drained: list[str], others: int, wanted: int, *, lowest: bool) -> str:
    """`lowest`: no fewer would be enough, whatever min_ready says."""
    if others == 0:
        return "a cluster of one node can't stay reachable: --accept-outage restarts it all the same"
    if wanted > others:
        return f"min_ready asks for {wanted} of {others} others: lower it in the inventory"
    back = "bring the others back" + "".join(f" (`rollsafe ready {node}` does it for {node})" for node in drained)
    if lowest:
        return f"{back}; one at least must serve, whatever min_ready says, unless run is given --accept-outage"
    return f"{back}, or lower min_ready of this service"


def _not_serving(member: Member, now: Readings) -> str:
    seat = now.member(member)
    if isinstance(seat, Unread):
        return f"can't be read ({seat.reason})"
    if idle := sent_nobody(seat):
        return idle + ("" if seat.admin.out or serves(seat) else f" ({seat.raw})")
    health = now.health.get((member.node, member.service))
    if health is None:
        return "did not answer our own check"
    if not health.healthy:
        return f"is {health.state} by our own check"
    return ""


def _unchecked(member: Member, now: Readings) -> bool:
    seat = now.member(member)
    return isinstance(seat, SeatReading) and seat.check is Check.NOT_CHECKED
