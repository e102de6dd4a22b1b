"""One stage for each driver: the real product in front of two nodes, and the driver that drives it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rollsafe.drivers.balancers import make_balancer
from rollsafe.model.reading import AdminState, Found, PoolReading, SeatReading
from rollsafe.model.secret import Secret
from rollsafe.model.settings import BalancerSettings, EndpointSettings
from rollsafe.ports import Balancer
from tests.contract.products import Apache, Haproxy, Node, Product, eventually, start_apache, start_haproxy

HAPROXY_POOLS = """
backend web
    cookie SRV insert indirect nocache
    option httpchk GET /status
    default-server check inter 150ms fall 2 rise 2
    server n1 {n1} cookie n1
    server n2 {n2} cookie n2
backend unchecked
    server n1 {n1}
    server n2 {n2}
"""

APACHE_POOLS = """
<Proxy balancer://web>
    BalancerMember http://{n1} route=n1 hcmethod=GET hcuri=/status hcinterval=100ms hcpasses=1 hcfails=1
    BalancerMember http://{n2} route=n2 hcmethod=GET hcuri=/status hcinterval=100ms hcpasses=1 hcfails=1
    ProxySet stickysession=ROUTE
</Proxy>
<Proxy balancer://unchecked>
    BalancerMember http://{n1}
    BalancerMember http://{n2}
</Proxy>
ProxyPass / balancer://web/
"""


def no_ssh(_settings: object) -> object:
    """For endpoints that are reached without SSH."""
    raise AssertionError("nobody asked for SSH")


_made: list[Balancer] = []


def driver_of(kind: str, url: str, **endpoint: object) -> Balancer:
    """A driver as assembly makes it; closed at the end of the test."""
    settings = EndpointSettings(url, **{"timeout_s": 3.0, **endpoint})
    _made.append(make_balancer(BalancerSettings("lb", kind, (settings,)), settings, no_ssh))
    return _made[-1]


@pytest.fixture(autouse=True)
def _drivers_are_closed() -> Iterator[None]:
    yield
    while _made:
        close = getattr(_made.pop(), "close", None)
        if close is not None:
            close()


def secret(text: str) -> Secret:
    return Secret("literal", lambda: text)


@dataclass
class Stage:
    """A product, two nodes behind it, and the driver. `seats` are the names of the nodes' members."""

    kind: str
    product: Product
    driver: Balancer
    nodes: tuple[Node, Node]
    seats: tuple[str, str]
    sticky_to_first: str
    url: str

    def read(self, pool: str = "web") -> PoolReading:
        return self.driver.read(pool)

    def seat(self, which: int = 0, pool: str = "web") -> SeatReading:
        return next(seat for seat in self.read(pool).seats if seat.seat == self.seats[which])

    def write(self, admin: AdminState, which: int = 0, pool: str = "web") -> None:
        self.driver.write(pool, self.seats[which], Found(admin))

    def await_checks(self, check: object, which: int = 0) -> SeatReading:
        def seen() -> SeatReading | None:
            seat = self.seat(which)
            return seat if seat.check is check else None

        return eventually(seen, f"{self.seats[which]} is {check}")


@pytest.fixture
def nodes() -> Iterator[tuple[Node, Node]]:
    pair = (Node("n1"), Node("n2"))
    yield pair
    for node in pair:
        node.stop()


@pytest.fixture
def haproxy_stage(tmp_path: Path, nodes: tuple[Node, Node]) -> Iterator[Stage]:
    first, second = nodes
    product: Haproxy = start_haproxy(tmp_path / "lb", HAPROXY_POOLS.format(n1=first.address, n2=second.address))
    url = f"unix://{product.socket}"
    yield Stage("haproxy", product, driver_of("haproxy", url), nodes, ("n1", "n2"), "SRV=n1", url)
    product.stop()


@pytest.fixture
def apache_stage(tmp_path: Path, nodes: tuple[Node, Node]) -> Iterator[Stage]:
    first, second = nodes
    product: Apache = start_apache(tmp_path / "lb", APACHE_POOLS.format(n1=first.address, n2=second.address))
    seats = (f"http://{first.address}", f"http://{second.address}")
    driver = driver_of("apache", product.manager)
    yield Stage("apache", product, driver, nodes, seats, "ROUTE=x.n1", product.manager)
    product.stop()


@pytest.fixture(params=["haproxy", "apache"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """Each test that asks for it runs on each product."""
    found: Stage = request.getfixturevalue(f"{request.param}_stage")
    return found
