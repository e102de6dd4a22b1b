"""What `status` shows: per node and service the admin state on every endpoint, the balancer's check, our own health.

The JSON object (`-o json`) has `type` "status", `exit_code`, `message`, the sentences `out` and `unread`, and:
`others`: what is out and was not left by a dead run: each with `node`, `service`, `balancer`, `endpoint`, `state`.
`nodes`: each with `node`, `host`, `excluded` (a reason, or null) and `services`: each with `service`, `health`
(`healthy`, `state`, `progress`, `status`, `detail`, `latency_s`; null: no answer) and `members`: each with `balancer`,
`endpoint`, `pool`, `member`, `admin`, `check`, `active`, `counts`, `total`, `raw`, `problem` (why it was not read).
`claim`: null, or `run`, `epoch`, `who`, `host`, `pid`, `since`, `doing`, `reason`, `url`, `node_in_hand`,
`state` (alive, dead, ended, unknown), `nodes`, `left_out`, `mend`; further ones are in `more_claims`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rollsafe.model.claim import ClaimRecord
from rollsafe.model.cluster import Cluster, Node
from rollsafe.model.reading import AdminState, Check, HealthReading, Member, SeatReading, Unread
from rollsafe.model.wording import in_a_row
from rollsafe.reporting.plan_view import Paint
from rollsafe.reporting.words import clean

_LIVES = {
    "alive": "it lives: its beat goes on",
    "dead": "it is dead: its beat stands still",
    "ended": "it has ended",
    "unknown": "whether it lives is not known yet",
}


@dataclass(frozen=True, slots=True)
class MemberShown:
    """A member and what its endpoint says of it; `seat` Unread where it said nothing, or knows no such member."""

    member: Member
    seat: SeatReading | Unread

    @property
    def trouble(self) -> str:
        """Why it is not in service, as its balancer sees it; empty where it is."""
        if isinstance(self.seat, Unread):
            return ""
        if self.seat.admin.out:
            return self.seat.admin.value
        return self.seat.unused if self.seat.check in (Check.UP, Check.NOT_CHECKED) else self.seat.check.value


@dataclass(frozen=True, slots=True)
class ServiceShown:
    """One service of one node."""

    name: str
    health: HealthReading | None
    members: tuple[MemberShown, ...]


@dataclass(frozen=True, slots=True)
class ClaimShown:
    """A claim that was met. `life`: alive, dead, ended or unknown. `left_out`: what it left, each with `mend`."""

    record: ClaimRecord
    life: str
    nodes: tuple[str, ...]  # that carry it
    left_out: tuple[Mapping[str, str], ...]
    mend: str


@dataclass(frozen=True, slots=True)
class StatusShown:
    """One look. `unread` holds a sentence for each question that got no answer."""

    cluster: Cluster
    services: Mapping[str, tuple[ServiceShown, ...]]  # node
    claims: tuple[ClaimShown, ...]
    unread: tuple[str, ...]
    time: str
    mend: str = ""  # the command to recover with
    others: tuple[Mapping[str, str], ...] = ()  # what is out, and that no dead run left

    @property
    def out(self) -> tuple[str, ...]:
        """A sentence for each service that is not in service on some node."""
        return tuple(
            text for node in self.cluster.live_nodes for s in self.services[node.name] for text in _out(node, s)
        )

    @property
    def exit_code(self) -> int:
        """0 all in service, 30 some out, 40 something could not be read."""
        return 30 if self.out else 40 if self.unread else 0

    @property
    def message(self) -> str:
        """The look in a sentence."""
        nodes = len(self.cluster.live_nodes)
        told = []
        if self.out:
            told.append(f"not in service: {'; '.join(self.out)}")
        if self.unread:
            told.append(f"not everything could be read: {'; '.join(self.unread)}")
        if back := self._back():
            told.append(f"where it is healthy, this puts it back: {'; '.join(back)}")
        if not told:
            services = " and ".join(service.name for service in self.cluster.services)
            return f"all {nodes} nodes of {self.cluster.name} are in service with {services}"
        return in_a_row(*told)

    def _back(self) -> list[str]:
        """The commands for what people took out; with a claim there it is not known whose it is, and none is obeyed."""
        drained = [
            node.name
            for node in self.cluster.live_nodes
            for service in self.services[node.name]
            for shown in service.members
            if isinstance(shown.seat, SeatReading) and shown.seat.admin.out
        ]
        if self.claims:
            return []
        return [self.mend.replace(" recover", f" ready {name}", 1) for name in dict.fromkeys(drained)]


def _out(node: Node, service: ServiceShown) -> list[str]:
    texts = [
        f"{service.name} of {node.name} is {shown.trouble} on {shown.member.endpoint}"
        for shown in service.members
        if shown.trouble
    ]
    if service.health is not None and not service.health.healthy:
        texts.append(f"{service.name} of {node.name} is {clean(service.health.state)} by our own check")
    return texts


def claim_words(record: ClaimRecord, life: str) -> str:
    """Who, where, since when, doing what, alive or dead."""
    who = record.who
    reason = f", reason: {clean(who.reason)}" if who.reason else ""
    url = f", {clean(who.url)}" if who.url else ""
    return (
        f"{clean(who.who)} from {clean(who.host)} (pid {who.pid}, run {record.token.run}) since {clean(who.since)}, "
        f"{clean(record.doing) or 'about to begin'}{reason}{url}; {_LIVES[life]}"
    )


# --- for machines ----------------------------------------------------------------------------------------------


def status_json(shown: StatusShown) -> dict[str, Any]:
    """The object of `-o json`, as the module's text says."""
    claims = [_claim_json(claim) for claim in shown.claims]
    return {
        "time": shown.time,
        "run": "",
        "seq": 1,
        "type": "status",
        "cluster": shown.cluster.name,
        "nodes": [_node_json(shown, node) for node in shown.cluster.nodes],
        "claim": claims[0] if claims else None,
        "more_claims": claims[1:],
        "out": list(shown.out),
        "others": [dict(entry) for entry in shown.others],
        "unread": list(shown.unread),
        "exit_code": shown.exit_code,
        "message": shown.message,
    }


def _node_json(shown: StatusShown, node: Node) -> dict[str, Any]:
    return {
        "node": node.name,
        "host": node.host,
        "excluded": node.excluded,
        "services": [
            {
                "service": service.name,
                "health": _health_json(service.health),
                "members": [_member_json(member) for member in service.members],
            }
            for service in shown.services.get(node.name, ())
        ],
    }


def _health_json(health: HealthReading | None) -> dict[str, Any] | None:
    if health is None:
        return None
    detail = health.evidence.detail or health.evidence.excerpt
    return {
        "healthy": health.healthy,
        "state": clean(health.state),
        "progress": health.progress,
        "status": health.evidence.status,
        "detail": clean(detail),
        "latency_s": health.evidence.latency_s,
    }


def _member_json(shown: MemberShown) -> dict[str, Any]:
    member, seat = shown.member, shown.seat
    words: dict[str, Any] = {
        "balancer": member.balancer,
        "endpoint": member.endpoint,
        "pool": member.pool,
        "member": member.seat or None,
    }
    if isinstance(seat, Unread):
        empty = dict.fromkeys(("admin", "check", "active", "counts", "total", "raw"))
        return {**words, **empty, "problem": clean(seat.reason)}
    return {
        **words,
        "admin": seat.admin.value,
        "check": seat.check.value,
        "active": seat.active,
        "counts": seat.counts,
        "total": seat.total,
        "raw": clean(seat.raw),
        "problem": None,
    }


def _claim_json(claim: ClaimShown) -> dict[str, Any]:
    record = claim.record
    return {
        "run": record.token.run,
        "epoch": record.token.epoch,
        "who": clean(record.who.who),
        "host": clean(record.who.host),
        "pid": record.who.pid,
        "since": clean(record.who.since),
        "doing": clean(record.doing),
        "reason": clean(record.who.reason),
        "url": clean(record.who.url),
        "node_in_hand": record.node_in_hand,
        "state": claim.life,
        "nodes": list(claim.nodes),
        "left_out": [dict(entry) for entry in claim.left_out],
        "mend": claim.mend,
    }


# --- for people ------------------------------------------------------------------------------------------------

_HEAD = ("NODE", "SERVICE", "HEALTH", "ENDPOINT", "MEMBER", "ADMIN", "CHECK", "ACTIVE")
_ADMIN = {AdminState.READY: "good", AdminState.DRAIN: "warn", AdminState.MAINT: "warn"}
_CHECK = {Check.UP: "good", Check.DOWN: "bad", Check.RISING: "warn", Check.NOT_CHECKED: "dim"}
Cell = tuple[str, str]


def status_lines(shown: StatusShown, paint: Paint) -> Iterator[str]:
    """The look for people."""
    yield paint(f"{shown.cluster.name} ({shown.cluster.product})", "head") + f"  {shown.time}"
    yield ""
    rows: list[list[Cell]] = [[(word, "dim") for word in _HEAD]]
    for node in shown.cluster.live_nodes:
        rows += _node_rows(node, shown.services[node.name])
    widths = [max(len(row[i][0]) for row in rows) for i in range(len(_HEAD))]
    for row in rows:
        cells = [paint(text.ljust(width), style) for (text, style), width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
    for node in shown.cluster.nodes:
        if node.excluded is not None:
            yield f"{node.name}  excluded: {clean(node.excluded)}"
    yield ""
    yield from _claim_lines(shown, paint)
    for text in shown.unread:
        yield f"{paint('not read:', 'bad')} {clean(text)}"


def _node_rows(node: Node, services: tuple[ServiceShown, ...]) -> Iterator[list[Cell]]:
    name = node.name
    for service in services:
        first = [(name, "head"), (service.name, ""), _health_cell(service.health)]
        members = service.members or (None,)
        for member in members:
            yield [*first, *_member_cells(member)]
            first = [("", ""), ("", ""), ("", "")]
        name = ""


def _health_cell(health: HealthReading | None) -> Cell:
    if health is None:
        return "no answer", "bad"
    state = clean(health.state, 40)
    if health.healthy:
        return ("healthy" if state.lower() in ("", "healthy", "ok") else f"healthy ({state})"), "good"
    return state, "warn" if health.progress else "bad"


def _member_cells(shown: MemberShown | None) -> list[Cell]:
    if shown is None:
        return [("no member was found", "bad"), ("", ""), ("", ""), ("", ""), ("", "")]
    member, seat = shown.member, shown.seat
    where = [(member.endpoint, ""), (f"{member.pool}/{member.seat}" if member.seat else member.pool, "")]
    if isinstance(seat, Unread):
        return [*where, ("not read", "bad"), ("?", "bad"), ("?", "bad")]
    active = "?" if seat.active is None else str(seat.active) + (" conn" if seat.counts == "connections" else "")
    return [*where, (seat.admin.value, _ADMIN[seat.admin]), (seat.check.value, _CHECK[seat.check]), (active, "")]


def _claim_lines(shown: StatusShown, paint: Paint) -> Iterator[str]:
    if not shown.claims:
        yield "No run holds the cluster." if not shown.unread else "No claim was seen."
    for claim in shown.claims:
        yield f"{paint('claimed by', 'warn')} {claim_words(claim.record, claim.life)}"
        if claim.life == "alive":
            yield "  Let it go on; nothing else can begin meanwhile."
            continue
        for entry in claim.left_out:
            yield f"  it left {entry['service']} of {entry['node']} in {entry['state']} on {entry['endpoint']}"
        if claim.life in ("dead", "ended"):
            what = "To put it back" if claim.left_out else "It left nothing out of service. To clear it"
            yield f"  {what}: {claim.mend}"
