"""Which requests reached a node after it was put back: counted per endpoint, over reloads, and told once."""

from datetime import UTC, datetime

from rollsafe.clock import SystemClock
from rollsafe.engine.landing import Landing
from rollsafe.engine.log import RunLog
from rollsafe.engine.runclock import RunClock
from rollsafe.model.reading import AdminState, Check, Found, Member, PoolReading, SeatReading
from rollsafe.model.record import Record
from rollsafe.planner.readings import Readings
from rollsafe.planner.state import NodeState

LB1, LB2 = (Member("jira1", "scim", "lb", url, "scim", "jira1") for url in ("tcp://lb1", "tcp://lb2"))
WEB = Member("jira1", "web", "web-lb", "http://lb3", "web", "jira1")


class Kept:
    """A journal and a listener in one."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> None:
        self.records.append(record)


def node(ready_s: float | None = 100.0, state: AdminState = AdminState.READY) -> NodeState:
    return NodeState("jira1", 0.0, {member: Found(state) for member in (LB1, LB2, WEB)}, ready_s=ready_s)


def look(at_s: float, lb1: int, lb2: int, process: str = "1") -> Readings:
    def pool(member: Member, total: int | None, pid: str | None) -> tuple[tuple[str, str, str], PoolReading]:
        seat = SeatReading(member.seat, AdminState.READY, Check.UP, 0, total=total)
        return (member.balancer, member.endpoint, member.pool), PoolReading(member.pool, (seat,), process=pid)

    pools = dict([pool(LB1, lb1, process), pool(LB2, lb2, "7"), pool(WEB, None, None)])
    return Readings(at_s, datetime(2026, 3, 7, tzinfo=UTC), pools, {})


def told(landing: Landing, state: NodeState) -> list[Record]:
    kept = Kept()
    landing.tell(RunLog("r", RunClock(SystemClock()), kept, []), state)
    return kept.records


def test_requests_since_the_put_back_are_counted_also_over_a_reload() -> None:
    landing = Landing()
    landing.look(node(None), look(90.0, 500, 500))  # before it was back: not counted
    landing.look(node(), look(100.5, 1000, 40))
    landing.look(node(), look(103.0, 1004, 40))
    landing.look(node(), look(130.5, 3, 40, process="2"))  # a new process, which counts from 0
    (record,) = told(landing, node())
    assert (record.type, record.node, record.data["watched_s"]) == ("node.landed", "jira1", 30.0)
    counts = {(m["endpoint"]): (m["requests"], m["after_s"]) for m in record.data["members"]}
    assert counts == {"tcp://lb1": (7, 3.0), "tcp://lb2": (0, None), "http://lb3": (None, None)}
    assert record.message == "requests in the 30 s after it was back: scim: 7, web: not counted by the balancer"


def test_where_nobody_could_look_or_nothing_is_to_reach_it_nothing_is_told() -> None:
    landing = Landing()
    assert told(landing, node()) == []
    landing.look(node(), look(100.5, 1, 1))
    assert told(landing, node()) == []
    drained = node(state=AdminState.DRAIN)
    landing.look(drained, look(105.0, 1, 1))
    assert told(landing, drained) == []
