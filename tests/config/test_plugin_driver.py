"""A driver of another package: found by its entry point, named in an inventory, made, and asked."""

import sys
from pathlib import Path

import pytest

from rollsafe.config.load import load_inventory
from rollsafe.drivers.balancers import driver_names, make_balancer
from rollsafe.errors import InvalidInput
from rollsafe.model.reading import AdminState, Found
from tests.config.test_inventory import SMALL, write

# The example of CONTRIBUTING.md: what another package holds.
PACKAGE = """
from rollsafe.errors import BalancerError, Effect
from rollsafe.model.reading import AdminState, Check, PoolReading, SeatReading

class AcmeBalancer:
    def __init__(self, balancer, endpoint, ssh_for):
        self._url, self._states = endpoint.url, {"jira1": AdminState.READY}
        self._key = balancer.options["key"]

    def read(self, pool):
        if pool != "scim":
            raise BalancerError(f"{self._url} has no pool {pool}; there are: scim", effect=Effect.NONE)
        seats = [SeatReading(name, state, Check.UP, 0) for name, state in self._states.items()]
        return PoolReading(pool, tuple(seats))

    def write(self, pool, seat, to, *, within_s):
        self._states[seat] = to.admin
"""
BALANCERS = "balancers: {lb: {driver: acme, endpoints: ['acme://lb1'], options: {key: env:ACME_KEY}}}\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package, as pip leaves it."""
    site = tmp_path / "site"
    info = site / "acme_balancer-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_balancer.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-balancer\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rollsafe.balancers]\nacme = acme_balancer:AcmeBalancer\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "acme_balancer", raising=False)


def inventory(tmp_path: Path) -> Path:
    lines = SMALL.splitlines(keepends=True)
    start = next(n for n, line in enumerate(lines) if line.startswith("balancers:"))
    end = next(n for n, line in enumerate(lines) if n > start and not line.startswith(" "))
    return write(tmp_path, "".join([*lines[:start], BALANCERS, *lines[end:]]))


@pytest.mark.usefixtures("installed")
def test_a_driver_of_another_package_is_found_made_and_asked(tmp_path: Path) -> None:
    assert driver_names()[-1] == "acme"
    settings = load_inventory([inventory(tmp_path)]).cluster.balancers[0]
    driver = make_balancer(settings, settings.endpoints[0], lambda _ssh: pytest.fail("nobody asked for SSH"))
    driver.write("scim", "jira1", Found(AdminState.DRAIN), within_s=5.0)
    assert [(seat.seat, seat.admin) for seat in driver.read("scim").seats] == [("jira1", AdminState.DRAIN)]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("code", "why"),
    [("import no_such_module_at_all", "ModuleNotFoundError"), ("1 / 0", "ZeroDivisionError"), ("", "AttributeError")],
)
def test_a_package_that_is_broken_is_named(tmp_path: Path, code: str, why: str) -> None:
    (tmp_path / "site" / "acme_balancer.py").write_text(code)
    settings = load_inventory([inventory(tmp_path)]).cluster.balancers[0]
    with pytest.raises(InvalidInput, match=rf"the driver 'acme' of the package acme-balancer can't be loaded.*{why}"):
        make_balancer(settings, settings.endpoints[0], lambda _ssh: pytest.fail("nobody asked for SSH"))


def test_without_the_package_its_name_is_an_error_that_lists_the_drivers(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"acme.*haproxy"):
        load_inventory([inventory(tmp_path)])
