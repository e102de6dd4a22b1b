"""Which seat of a pool is which node's."""

from dataclasses import replace

import pytest

from rollsafe.model.cluster import Cluster, DrainRule, Idle, MinReady, Node, Policy, Service
from rollsafe.model.reading import AdminState, Check, PoolReading, SeatReading
from rollsafe.model.settings import RestartSettings, SshSettings
from rollsafe.planner.matching import match, match_all


def node(**members: str) -> Node:
    return Node("n1", "10.0.0.1", {"web": 8080}, SshSettings("10.0.0.1"), RestartSettings("x"), 60, members)


def service(template: str | None = None) -> Service:
    return Service("web", "lb", ("pool",), MinReady(), DrainRule(Idle.PREFERRED, 1), template)


def pool(*seats: str | tuple[str, str]) -> PoolReading:
    """Seats by name, or by name and address."""
    pairs = [(seat, None) if isinstance(seat, str) else seat for seat in seats]
    rows = [SeatReading(name, AdminState.READY, Check.UP, 0, address=address) for name, address in pairs]
    return PoolReading("pool", tuple(rows))


ROWS = {
    # what the inventory tells, its template, the pool: the seat that is found
    "the node's own name": (None, None, pool("n2", "n1"), "n1"),
    "host and port as the name": (None, None, pool("10.0.0.2:8080", "10.0.0.1:8080"), "10.0.0.1:8080"),
    "a URL as the name": (None, None, pool("http://10.0.0.1:8080", "http://10.0.0.2:8080"), "http://10.0.0.1:8080"),
    "https": (None, None, pool("https://10.0.0.1:8080"), "https://10.0.0.1:8080"),
    "any name, by its address": (None, None, pool(("srv7", "10.0.0.1:8080"), ("srv8", "10.0.0.2:8080")), "srv7"),
    "a name beats an address": (None, None, pool(("srv7", "10.0.0.1:8080"), "n1"), "n1"),
    "the same host on another port is another": (None, None, pool(("srv7", "10.0.0.1:8081")), None),
    "a name that only begins alike is another": (None, None, pool("n11", "n1.example.com"), None),
    "two with one address": (None, None, pool(("a", "10.0.0.1:8080"), ("b", "10.0.0.1:8080")), None),
    "the template": (None, "{node}-{port}", pool("n1-8080", "n1"), "n1-8080"),
    "the template with the host": (None, "{host}:{port}", pool("10.0.0.1:8080"), "10.0.0.1:8080"),
    "the template with the host, where names are others": (
        None,
        "{host}:{port}",
        pool(("srv7", "10.0.0.1:8080"), ("srv8", "10.0.0.2:8080")),
        "srv7",
    ),
    "the template with the host fits two": (
        None,
        "{host}:{port}",
        pool(("a", "10.0.0.1:8080"), ("b", "10.0.0.1:8080")),
        None,
    ),
    "the template fits none, though the name would": (None, "jira-{node}", pool("n1"), None),
    "what the node says beats the template": ("special", "{node}", pool("n1", "special"), "special"),
    "what the node says fits none": ("special", None, pool("n1"), None),
    "an empty pool": (None, None, pool(), None),
}


@pytest.mark.parametrize("row", ROWS)
def test_members_are_found_by_name_or_address(row):
    told, template, seats, expected = ROWS[row]
    member, problem = match(node(**({"web": told} if told else {})), service(template), "lb", "tcp://lb:1", seats)
    if expected is None:
        assert member is None
        assert "Name it under nodes.n1.members.web" in problem
        assert all(seat.seat in problem for seat in seats.seats), "the pool's members are listed"
    else:
        assert member is not None
        assert (member.seat, member.node, member.endpoint, problem) == (expected, "n1", "tcp://lb:1", "")


def test_none_and_several_are_told_apart():
    none = match(node(), service(), "lb", "e", pool("x"))[1]
    several = match(node(), service(), "lb", "e", pool(("a", "10.0.0.1:8080"), ("b", "10.0.0.1:8080")))[1]
    assert none.startswith("no member fits web of n1 (looked for n1 or 10.0.0.1:8080)")
    assert several.startswith("several members fit web of n1")
    assert "its members: a (10.0.0.1:8080), b (10.0.0.1:8080)" in several


def problems(members: dict[str, str], *seats: str | tuple[str, str], excluded: str = "") -> list[str]:
    """What is wrong with the members of n1, n2 and n3 at 10.0.0.1 to 10.0.0.3, where the nodes tell these."""
    nodes = [
        Node(
            name,
            f"10.0.0.{number}",
            {"web": 8080},
            SshSettings(name),
            RestartSettings("x"),
            60,
            {"web": members[name]} if name in members else {},
            excluded="disk swap" if name == excluded else None,
        )
        for number, name in enumerate(("n1", "n2", "n3"), 1)
    ]
    cluster = Cluster("c", "jira", tuple(nodes), (service(),), (), (), (), Policy())
    return [problem for _, _, problem in match_all(cluster, service(), "lb", "tcp://lb:1", pool(*seats))]


ALL = [(f"n{number}", f"10.0.0.{number}:8080") for number in (1, 2, 3)]


def test_a_member_with_another_nodes_address_is_never_a_nodes_own():
    swapped = problems({"n1": "n2", "n2": "n1"}, *ALL)
    assert swapped[0].startswith(
        "member n2 of pool pool on tcp://lb:1 is 10.0.0.2:8080, which is n2's address, not n1's. "
        "Look at nodes.n1.members.web"
    )
    assert swapped[1].startswith("member n1 of pool pool on tcp://lb:1 is 10.0.0.1:8080, which is n1's address, not n2")
    assert swapped[2] == ""
    excluded = problems({"n1": "n2"}, *ALL, excluded="n2")
    assert "which is n2's address, not n1's" in excluded[0]


@pytest.mark.parametrize(
    "seats",
    [
        ("n1", "n2", "n3"),
        [("n1", "one.example.com:8080"), ("n2", "two.example.com:8080"), ("n3", "10.0.0.3:8080")],
        [("n1", "192.168.0.2:8080"), ("n2", "192.168.0.1:8080"), ("n3", "192.168.0.3:8080")],
        [("n1", "10.0.0.2:9090"), ("n2", "10.0.0.1:9090"), ("n3", "10.0.0.3:9090")],
    ],
)
def test_what_can_not_be_compared_is_believed(seats):
    assert problems({"n1": "n2", "n2": "n1"}, *seats) == ["", "", ""]


def test_two_nodes_never_have_one_member():
    told = problems({"n1": "n2"}, "n1", "n2", "n3")
    assert told[0] == told[1] != ""
    assert told[0].startswith("n1 and n2 come to the same member n2 of pool pool on tcp://lb:1: each node has its own")
    assert told[2] == ""


def test_an_ipv6_address_is_compared_without_its_brackets():
    lone = replace(node(), host="fd00::1", ports={"web": 8080})
    cluster = Cluster("c", "jira", (lone, replace(lone, name="n2", host="fd00::2")), (service(),), (), (), (), Policy())
    seats = pool(("n1", "[fd00::2]:8080"), ("n2", "[fd00::2]:8080"))
    told = [problem for _, _, problem in match_all(cluster, service(), "lb", "tcp://lb:1", seats)]
    assert "which is n2's address, not n1's" in told[0]
    assert told[1] == ""
