"""The balancer drivers, by name. Each is imported only when an inventory names it."""

from collections.abc import Callable
from importlib import import_module, metadata
from typing import Protocol, cast

from rollsafe.drivers.balancers.capabilities import CAPABILITIES, Capabilities
from rollsafe.drivers.balancers.deadline import SocketLike
from rollsafe.errors import InvalidInput
from rollsafe.model.settings import BalancerSettings, EndpointSettings, SshSettings
from rollsafe.ports import Balancer

GROUP = "rollsafe.balancers"  # entry points of other packages: a callable with the signature of `Maker`

_BUILT_IN = {
    "haproxy": "rollsafe.drivers.balancers.haproxy:HaproxyBalancer",
    "apache": "rollsafe.drivers.balancers.apache:ApacheBalancer",
}

DRIVERS: tuple[str, ...] = tuple(_BUILT_IN)


class Completed(Protocol):
    """What a remote command left."""

    @property
    def exit_status(self) -> int:
        """0 where it went well."""

    @property
    def stdout(self) -> bytes:
        """Bounded."""

    @property
    def stderr(self) -> bytes:
        """Bounded."""


class Ssh(Protocol):
    """What a driver asks of an SSH connection; raises ShellError."""

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float, output_limit: int = 65536) -> Completed:
        """Run a command."""

    def dial_tcp(self, host: str, port: int, *, timeout_s: float) -> SocketLike:
        """A TCP connection that begins on the far machine."""

    def dial_unix(self, path: str, *, timeout_s: float) -> SocketLike:
        """A connection to a Unix socket of the far machine."""


SshFor = Callable[[SshSettings], Ssh]
Maker = Callable[[BalancerSettings, EndpointSettings, SshFor], Balancer]


def make_balancer(balancer: BalancerSettings, endpoint: EndpointSettings, ssh_for: SshFor) -> Balancer:
    """The driver of one endpoint; connects to nothing yet. Raises InvalidInput for a driver or address that is none."""
    return _maker(balancer.driver)(balancer, endpoint, ssh_for)


def driver_names() -> tuple[str, ...]:
    """Every driver there is: those that ship with rollsafe, then those of other packages."""
    others = sorted(entry.name for entry in metadata.entry_points(group=GROUP))
    return (*DRIVERS, *(name for name in others if name not in DRIVERS))


def capabilities_of(driver: str) -> Capabilities | None:
    """What the driver's product can do; None where the driver does not say."""
    return CAPABILITIES.get(driver)


def _maker(driver: str) -> Maker:
    if driver in _BUILT_IN:
        module, _, name = _BUILT_IN[driver].partition(":")
        return cast("Maker", getattr(import_module(module), name))
    for entry in metadata.entry_points(group=GROUP, name=driver):
        return _loaded(driver, entry)
    known = ", ".join(driver_names())
    raise InvalidInput([f"balancers: there is no driver '{driver}'; there are: {known}"])


def _loaded(driver: str, entry: metadata.EntryPoint) -> Maker:
    try:
        return cast("Maker", entry.load())
    except Exception as error:  # whatever another package's code raises when it is imported
        package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
        why = f"({type(error).__name__}: {error}); install that package anew"
        problem = f"balancers: the driver '{driver}'{package} can't be loaded from {entry.value} {why}"
        raise InvalidInput([problem]) from error
