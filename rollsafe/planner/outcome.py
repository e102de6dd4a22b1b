"""How a run ended: the state of the cluster, not of the program, as an outside observer would see it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rollsafe.model.plan import Plan
from rollsafe.model.reading import AdminState, Check, Found, Member, SeatReading, Unread
from rollsafe.model.wording import capital, ended
from rollsafe.planner import given_back, put_back
from rollsafe.planner.commands import completed
from rollsafe.planner.last_known import as_left, last_known, out_by_us
from rollsafe.planner.left_behind import Entries, left_behind, silent
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import NodeState, Restart, RunState
from rollsafe.planner.watch import serves

NO_MEMBER = "no member of its pool any more"
_OUT = {AdminState.DRAIN.value, AdminState.MAINT.value}
_NOTHING = "nothing was written, all as they were found"
AS_TOLD = ("drained", "forgotten")  # a node that stays out because somebody said so
DONE, STOPPED, NODE_OUT, UNKNOWN = ("done", 0), ("stopped", 20), ("node-out", 30), ("unknown", 40)


@dataclass(frozen=True, slots=True)
class Ending:
    """What the last line says. `left_out` and `others` are as in the contract."""

    outcome: str
    exit_code: int
    message: str
    nodes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: tuple[Mapping[str, str], ...] = ()
    others: tuple[Mapping[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    changed: tuple[Mapping[str, str], ...] = ()  # was found out before the run, and is in service


def judge(
    plan: Plan,
    state: RunState,
    now: Readings,
    *,
    mend: str,
    at_s: float,
    entries: Entries | None = None,
    late: Mapping[Member, AdminState] | None = None,
) -> Ending:
    """The ending, from fresh readings. `mend` is the command that puts back what is out, `entries` what the claim tells
    of the nodes that were begun: a recover may be asked to stop before it came to all of them. `late`: others have
    answered for what this run had out, and these are the only writes of it that may have come after that."""
    left_out: list[dict[str, str]] = []
    unread: list[str] = []
    for node in state.nodes.values():
        if node.outcome in AS_TOLD:
            continue  # it is out because somebody said so
        for member in plan.members_of(node.name):
            if late is None:
                _judge_member(state, node, member, now, mend, left_out, unread)
            elif _came_late(now.member(member), late.get(member)):
                left_out.append(_entry(member, late[member].value, mend))
    not_begun = _not_begun(state, entries)
    left_out += [{**entry, "mend": mend} for entry in left_behind(not_begun, now)]
    unread += silent(not_begun, now)
    others = others_of(plan, now, {(d["node"], d["service"], d["endpoint"]) for d in left_out})
    if state.halt is not None and state.halt.lost:
        unread.append(state.halt.reason)
    unread += _not_looked_at(plan, state, {entry["node"] for entry in left_out})
    nodes = {n: _node(plan, state, n, now, left_out, at_s) for n in _named(plan, state)}
    changed = given_back.given_back(plan, _found(state, not_begun), now, mend) if not _lost(state) else []
    (outcome, code), message = _verdict(plan, state, left_out, unread, mend, whole=not changed)
    message += _by_others(state, others) if code in (0, 20) else ""
    message += given_back.told(changed)
    return Ending(outcome, code, message, nodes, tuple(left_out), tuple(others), tuple(unread), tuple(changed))


def _came_late(seat: SeatReading | Unread, to: AdminState | None) -> bool:
    """Is a member out as a late write of ours would have it?"""
    return to is not None and to.out and isinstance(seat, SeatReading) and seat.admin is to


def _found(state: RunState, not_begun: Entries) -> dict[Member, Found]:
    """How each member was found that this run, or the dead one, had in hand; but those that are out as they were told
    to be."""
    nodes = [node for node in state.nodes.values() if node.outcome not in AS_TOLD]
    of_claim = {it.member: it.found for entry in not_begun.values() for it in entry}
    return {**of_claim, **{member: found for node in nodes for member, found in node.found.items()}}


def _lost(state: RunState) -> bool:
    """Does another run hold the claim, and answer for what was found?"""
    return state.halt is not None and state.halt.lost


def _not_looked_at(plan: Plan, state: RunState, out: set[str]) -> list[str]:
    """Nodes that a recover was to put back, and did not come to: nobody knows, so their claims must stay."""
    if state.mode != "recover":
        return []
    return [f"{n.name} was not looked at" for n in plan.nodes if n.name not in state.nodes and n.name not in out]


def _not_begun(state: RunState, entries: Entries | None) -> Entries:
    """What the dead run tells of the nodes that a recover did not come to. Where the claim is lost, another answers."""
    if state.mode != "recover" or _lost(state):
        return {}
    return {node: entry for node, entry in (entries or {}).items() if node not in state.nodes}


def _judge_member(
    state: RunState,
    node: NodeState,
    member: Member,
    now: Readings,
    mend: str,
    left_out: list[dict[str, str]],
    unread: list[str],
) -> None:
    seat = now.member(member)
    if isinstance(seat, Unread):
        if seat.no_member:
            return  # somebody took it out of its pool: others_of names it
        if node.name not in state.nodes or member not in node.found:
            return
        last = last_known(node, member, now.watch)
        if last is not None and out_by_us(node, member, last) and node.in_doubt.get(member, last).out:
            left_out.append(_entry(member, f"{last.value} when it was last read; {seat.reason}", mend))
        elif node.stopped and _known_ill(state, node, member, now):  # whatever its member reads, nobody is served
            left_out.append(_entry(member, f"{_own(node, member, now)}; {seat.reason}", mend))
        else:
            unread.append(f"{member}: {seat.reason}")
        return
    if as_left(node, member, seat.admin):
        return
    if put_back.is_another(node, member, seat.admin):
        if node.stopped and not _healthy(state, node, member, now):  # its hand is another's, its death is ours
            left_out.append(_entry(member, f"{seat.admin.value} by other hands, and {_own(node, member, now)}", mend))
        return
    if seat.admin is not node.found[member].admin:
        left_out.append(_entry(member, seat.admin.value, mend))
    elif node.stopped and seat.admin is AdminState.READY and not _well(state, node, member, seat, now):
        left_out.append(_entry(member, f"ready, but {seat.check.value} ({_own(node, member, now)})", mend))
    elif node.stopped and seat.admin.out and not _healthy(state, node, member, now):
        left_out.append(_entry(member, f"{seat.admin.value} as it was found, but {_own(node, member, now)}", mend))


def _well(state: RunState, node: NodeState, member: Member, seat: SeatReading, now: Readings) -> bool:
    """Is a node that we restarted in service? One that died long after it was back died by itself."""
    return _over(state, node) or (serves(seat) and _healthy(state, node, member, now))


def _healthy(state: RunState, node: NodeState, member: Member, now: Readings) -> bool:
    """Is a node that we restarted well by our own check, whatever its balancer does? One whose stop may still come is
    not, however well it answers."""
    health = now.health.get((node.name, member.service))
    return _over(state, node) or (not _may_stop(node) and health is not None and health.healthy)


def _may_stop(node: NodeState) -> bool:
    return node.restart in (Restart.INTENT, Restart.BEGUN, Restart.UNFENCED)


def _known_ill(state: RunState, node: NodeState, member: Member, now: Readings) -> bool:
    """Did a node that we restarted answer our own check, and is it ill?"""
    health = now.health.get((node.name, member.service))
    return health is not None and not health.healthy and not _over(state, node)


def _over(state: RunState, node: NodeState) -> bool:
    return node.soaked and node.name != state.in_hand


def _own(node: NodeState, member: Member, now: Readings) -> str:
    health = now.health.get((node.name, member.service))
    if _may_stop(node) and health is not None and health.healthy:
        return "the restart that was sent may still stop it"
    return f"{health.state if health is not None else 'no answer'} by our own check"


def _entry(member: Member, state: str, mend: str) -> dict[str, str]:
    entry = {**member.place, "state": state}
    return {**entry, "mend": mend} if mend else entry


def others_of(plan: Plan, now: Readings, ours: set[tuple[str, str, str]]) -> list[dict[str, str]]:
    """What is out by other hands: drained by somebody, or dead by itself. A member whose check is rising (its balancer
    was reloaded a moment ago) comes up by itself, unless our own check sees the node ill."""
    return out_among(plan.members, now, ours)


def out_among(members: Iterable[Member], now: Readings, ours: set[tuple[str, str, str]]) -> list[dict[str, str]]:
    """Of these members those that are out, with their states, but for `ours` (node, service, endpoint)."""
    others = []
    for member in members:
        seat = now.member(member)
        if (member.node, member.service, member.endpoint) in ours:
            continue
        if isinstance(seat, Unread):
            if seat.no_member:
                others.append(_entry(member, NO_MEMBER, ""))
            continue
        health = now.health.get((member.node, member.service))
        if seat.admin.out:
            others.append(_entry(member, seat.admin.value, ""))
        elif seat.check is Check.DOWN or (health is not None and not health.healthy):
            own = f", {health.state} by our own check" if health is not None else ""
            others.append(_entry(member, f"{seat.check.value} by the balancer's check{own}", ""))
        elif seat.unused:
            others.append(_entry(member, f"ready, with {seat.unused}", ""))
    return others


def _named(plan: Plan, state: RunState) -> list[str]:
    return list(dict.fromkeys([*(n.name for n in plan.nodes), *state.nodes]))


def _node(
    plan: Plan, state: RunState, name: str, now: Readings, left_out: list[dict[str, str]], at_s: float
) -> dict[str, Any]:
    node = state.nodes.get(name)
    out = any(entry["node"] == name for entry in left_out)
    if node is None:
        return {"outcome": "left out" if out else "not begun", "out_of_service_s": 0.0}
    back_s = node.ready_s if node.ready_s is not None and not out else at_s
    out_of_service_s = round(back_s - node.out_s, 1) if node.out_s is not None else 0.0
    if node.outcome in AS_TOLD or (_lost(state) and node.outcome == "unknown"):
        outcome = node.outcome  # what it was said to be; who took the claim over may have changed it since
    elif out:
        outcome = "left out"
    elif any(_is_unread(now.member(m)) for m in plan.members_of(name)):
        outcome = "unknown"
    elif node.read and state.halt is not None and not node.last_seen:
        outcome = "not begun"  # `ready` by hand came to no write
    elif node.restart is Restart.DONE:
        outcome = "restarted"
    else:
        outcome = "put back"
    return {"outcome": outcome, "out_of_service_s": out_of_service_s}


def _is_unread(seat: SeatReading | Unread) -> bool:
    return isinstance(seat, Unread) and not seat.no_member


def _verdict(
    plan: Plan, state: RunState, left_out: list[dict[str, str]], unread: list[str], mend: str, *, whole: bool
) -> tuple[tuple[str, int], str]:
    """`whole`: is also what a person had taken out before the run as it was found?"""
    why = f": {ended(state.halt.reason)}" if state.halt is not None else "."
    remedy = completed(state.halt.remedy, mend) if state.halt is not None else ""
    remedy = f" {capital(ended(remedy))}" if remedy else ""
    unread = [one for one in unread if state.halt is None or one != state.halt.reason]  # `why` says it
    if left_out:
        names = ", ".join(dict.fromkeys(entry["node"] for entry in left_out))
        where = "; ".join(f"{e['service']} on {e['endpoint']}: {e['state']}" for e in left_out)
        also = f" What could not be read: {ended('; '.join(unread))}" if unread else ""
        return NODE_OUT, f"{names} is out of service ({where}){why}{also}{remedy} To put it back: {mend}"
    if unread:
        text = f"not everything could be read: {'; '.join(unread)}"
        text = ended(text) if state.halt is None else f"{text.rstrip('.')}{why}"
        return UNKNOWN, f"{text}{remedy} To look again: {mend}"
    if state.halt is not None and state.halt.lost:
        return UNKNOWN, f"whether everything is as it was found is not known{why}{remedy} To look: {mend}"
    if state.mode == "recover":
        what = "everything" if whole else "all that the run took out"
        return DONE, f"{what} is as it was found{_forgotten(state)}."
    if state.halt is not None:
        return STOPPED, f"{_so_far(plan, state)}{why}{remedy}{_cut(state)}"
    return DONE, _done(plan, state.mode, mend) + _cut(state)


def _so_far(plan: Plan, state: RunState) -> str:
    """What a command that stopped early has done, with nothing left out by it."""
    if state.mode != "ready":
        return f"stopped with {_restarted(plan, state)}, all as they were found"
    back = [f"{m.service} of {m.node} on {m.endpoint}" for node in state.nodes.values() for m in node.last_seen]
    return f"put back: {', '.join(back)}; nothing else was written" if back else _NOTHING


def _restarted(plan: Plan, state: RunState) -> str:
    done = sum(node.restart is Restart.DONE for node in state.nodes.values())
    return f"{done} of {len(plan.nodes)} node{'s' * (len(plan.nodes) > 1)} restarted"


def _cut(state: RunState) -> str:
    """What was in flight when a drain's time was up, of nodes that were stopped then."""
    counts: dict[str, int] = {}
    for node in state.nodes.values():
        for service, drain in node.drains.items() if node.stopped else ():
            counts[service] = counts.get(service, 0) + drain.cut
    told = ", ".join(f"{count} on {service}" for service, count in counts.items() if count)
    return f" Requests in flight that were cut: {told}." if told else ""


def _forgotten(state: RunState) -> str:
    names = [name for name, node in state.nodes.items() if node.outcome == "forgotten"]
    if not names:
        return ""
    them = ", ".join(names)
    return (
        f", but for {them}, gone for ever as you said: its members stay as they are. Mark it excluded in the inventory"
    )


def _by_others(state: RunState, others: list[dict[str, str]]) -> str:
    """Members of nodes that this run had in hand, and that were found otherwise: somebody changed them since."""
    nodes = [node for node in state.nodes.values() if node.outcome not in AS_TOLD]
    found = {(m.node, m.service, m.endpoint): f.admin.value for n in nodes for m, f in n.found.items()}
    changed = []
    for entry in others:
        was = found.get((entry["node"], entry["service"], entry["endpoint"]))
        if was is not None and entry["state"] in (*_OUT, NO_MEMBER) and entry["state"] != was:
            state_now = entry["state"] if entry["state"] == NO_MEMBER else f"in {entry['state']}"
            changed.append(f"{entry['service']} of {entry['node']} on {entry['endpoint']} is {state_now}")
    return f" But, by other hands: {'; '.join(changed)}." if changed else ""


def in_place_of_recover(recover: str, words: str) -> str:
    """`rollsafe recover -i … --yes` becomes `rollsafe WORDS -i … --yes`; `status`, which never asks, has no --yes."""
    command = recover.replace(" recover", f" {words}", 1)
    return command.removesuffix(" --yes") if words == "status" else command


def _done(plan: Plan, mode: str, mend: str) -> str:
    names = ", ".join(n.name for n in plan.nodes)
    if mode == "drain":
        back = in_place_of_recover(mend, f"ready {names}")
        return f"{names} is drained and out of service, because you said so. To put it back: {back}"
    if mode == "ready":
        return f"{names} is healthy, and in service on every endpoint."
    if len(plan.nodes) == 1:
        return f"{names} was restarted, is healthy, and is as it was found."
    return f"{len(plan.nodes)} of {len(plan.nodes)} nodes were restarted, are healthy, and are as they were found."
