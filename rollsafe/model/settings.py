"""How to reach things: what `config` makes and `drivers`, `probes` and `assembly` use. Times are seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rollsafe.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Hop:
    """A jump host: `[user@]host[:port]`."""

    host: str
    port: int | None = None
    user: str | None = None


@dataclass(frozen=True, slots=True)
class SshSettings:
    """One SSH destination, ready to connect to. None means: what ~/.ssh/config or OpenSSH's default says."""

    host: str
    port: int | None = None
    user: str | None = None
    private_key: str | None = None  # absolute path
    private_key_data: Secret | None = None
    passphrase: Secret | None = None
    certificate: str | None = None  # absolute path
    known_hosts: str | None = None  # absolute path
    known_hosts_data: Secret | None = None
    jump: tuple[Hop, ...] | None = None  # () is: none, whatever ~/.ssh/config says
    connect_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class RestartSettings:
    """How a node is restarted: a systemd unit, or a command with the command that proves it."""

    unit: str | None = None
    command: str | None = None
    identity: str | None = None
    sudo: bool = True
    timeout_s: float = 600.0


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One admin API address of a balancer. `url` never holds credentials and is what events and journals show."""

    url: str
    via: SshSettings | None = None
    ssh: SshSettings | None = None  # for ssh:// addresses: the balancer's own host
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    timeout_s: float = 5.0


@dataclass(frozen=True, slots=True)
class BalancerSettings:
    """A balancer product in front of one or more services. `options` are the driver's own keys."""

    name: str
    driver: str
    endpoints: tuple[EndpointSettings, ...]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a good answer is. `scim`: a SCIM 401 error, or (with a token) a 200 ListResponse; see RFC 7644."""

    status: int | None = 200
    json: Mapping[str, Any] | None = None  # a subset that the body must hold
    scim: bool = False


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """One health check of one service on one node, asked of the node itself. `path` None: a TCP connect."""

    node: str
    service: str
    host: str
    port: int
    path: str | None
    scheme: str = "http"
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: Expectation = Expectation()
    token: Secret | None = None
    timeout_s: float = 5.0
    via: SshSettings | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """One request through the balancer, as a client sends it."""

    service: str
    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    expect: Expectation = Expectation()
    token: Secret | None = None
    interval_s: float = 5.0
    timeout_s: float = 10.0
    max_outage_s: float = 15.0  # hard: past it the run stops
    hold_outage_s: float | None = None  # soft: past it no other node is begun
    max_failures: int | None = None  # hard, in the whole window
    max_failures_in_a_row: int | None = None  # hard
    max_rejections: int | None = None  # hard, in the whole window: answers 401, 403 and 404 where none is expected
    connect_to: str | None = None  # host:port
    via: SshSettings | None = None
    ca_file: str | None = None
    proxy: str | None = None
    node_header: str | None = None  # a response header that names the node, where there is one
