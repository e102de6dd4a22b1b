"""The maps inside an inventory: how to reach things, how to restart, what healthy means, what to probe."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from rollsafe.config.fields import (
    Duration,
    HopText,
    Host,
    HostPort,
    Line,
    NoneOrMany,
    OneOrMany,
    Part,
    Port,
    PositiveDuration,
    SecretText,
    Text,
    short_form,
    text_too,
)


class Ssh(Part):
    """How to reach a machine over SSH. Any key may be repeated under one node or one balancer."""

    user: Line | None = Field(None, description="the account; default: what ~/.ssh/config says, else your own name")
    port: Port | None = Field(None, description="default: what ~/.ssh/config says, else 22")
    private_key: Text | None = Field(None, description="path of the key; default: the agent, else ~/.ssh/config")
    private_key_data: SecretText | None = Field(None, description="the key itself, as a secret, instead of its path")
    passphrase: SecretText | None = Field(None, description="of the private key, as a secret")
    certificate: Text | None = Field(None, description="path of an OpenSSH certificate for the key")
    known_hosts: Text | None = Field(None, description="path of the known host keys; an unknown host is refused")
    known_hosts_data: SecretText | None = Field(None, description="the known host keys themselves, as a secret")
    jump: NoneOrMany[HopText] | None = Field(
        None, description="jump hosts in order, each [user@]host[:port]; [] is none; default: what ~/.ssh/config says"
    )
    connect_timeout: PositiveDuration | None = Field(None, description="limit of connecting; default 10s")


class Restart(Part):
    """How a node is restarted: a systemd unit, or a command with the command that proves it."""

    unit: Line | None = Field(None, description="systemd unit; the proof of the restart is its InvocationID")
    command: Line | None = Field(None, description="the command on the node, where there is no systemd")
    identity: Line | None = Field(
        None, description="a command that prints another text after a real restart, and the same one until then"
    )
    sudo: bool | None = Field(None, description="run it with sudo -n; default true")
    timeout: PositiveDuration | None = Field(None, description="of the command; past it its state is read; default 10m")


class Node(Part):
    """One machine that is restarted over SSH."""

    host: Host = Field(description="name or IP address of the machine")
    ssh: Ssh = Field(Ssh(), description="what differs from the top-level ssh")
    restart: Restart = Field(Restart(), description="what differs from the top-level restart")
    ports: dict[str, Port] = Field({}, description="service: port, where this node's differs")
    members: dict[str, Line] = Field({}, description="service: the balancer's own name for this node")
    start_timeout: PositiveDuration | None = Field(None, description="where this node needs another than the policy's")
    excluded: Line | None = Field(None, description="the reason: not restarted, not counted, not claimed")


class Endpoint(Part):
    """One admin API address of a balancer. A text alone is its url."""

    model_config = ConfigDict(json_schema_extra=text_too)

    url: Text = Field(description="the address, in the form that the driver wants")
    via: Line | None = Field(None, description="ssh://[user@]host[:port]: reach it through this host")
    username: Line | None = Field(None, description="account of the admin API")
    password: SecretText | None = Field(None, description="of that account, as a secret")
    ca_file: Text | None = Field(None, description="path of the CA certificates to trust instead of the system's")
    timeout: PositiveDuration | None = Field(None, description="of one call; default 5s")


EndpointForm = Annotated[Endpoint, BeforeValidator(short_form("url"))]


class Balancer(Part):
    """A balancer product in front of one or more services."""

    driver: Text = Field(description="haproxy, apache, or a name that a plug-in brings")
    endpoints: OneOrMany[EndpointForm] = Field(description="every admin address: all are read and written, always")
    ssh: Ssh = Field(Ssh(), description="what differs from the top-level ssh, for ssh:// endpoints and via")
    via: Line | None = Field(None, description="ssh://[user@]host[:port]: reach all endpoints through this host")
    username: Line | None = Field(None, description="account of the admin API, for all endpoints")
    password: SecretText | None = Field(None, description="of that account, as a secret")
    ca_file: Text | None = Field(None, description="path of the CA certificates to trust instead of the system's")
    timeout: PositiveDuration | None = Field(None, description="of one call; default 5s")
    options: dict[str, Any] = Field({}, description="the driver's own settings; see its page in the docs")


class Tenant(Part):
    """One SCIM directory in Kantega SSO. A text alone is its id."""

    model_config = ConfigDict(json_schema_extra=text_too)

    id: Line = Field(description="the directory's id, as in /scim/ID/v2", pattern=r"^[A-Za-z0-9._~-]+$")
    token: SecretText | None = Field(None, description="its bearer token, as a secret; with it a 200 is demanded")


TenantForm = Annotated[Tenant, BeforeValidator(short_form("id"))]


class Answer(Part):
    """What is asked over HTTP, and which answer is good."""

    expect: Literal["http", "scim", "tcp"] | None = Field(
        None, description="http: status and json; scim: a SCIM 401 error or 200 ListResponse; tcp: a connection"
    )
    status: Annotated[int, Field(ge=100, le=599)] | None = Field(None, description="the status wanted; default 200")
    json_: dict[str, Any] | None = Field(None, alias="json", description="keys and values that the JSON body must hold")
    headers: dict[str, Line] = Field({}, description="request headers, such as Host")
    token: SecretText | None = Field(None, description="bearer token, as a secret")
    timeout: PositiveDuration | None = Field(None, description="of one request; default 5s for health, 10s for probes")
    ca_file: Text | None = Field(None, description="path of the CA certificates to trust instead of the system's")
    via: Line | None = Field(
        None, description="ssh://[user@]host[:port]: ask from there; for health also ssh: the node itself"
    )


class Health(Answer):
    """One check of a service, asked of the node itself, never through the balancer."""

    path: Text | None = Field(None, description="path and query, such as /status; not for expect: tcp", pattern="^/")
    scheme: Literal["http", "https"] = Field("http", description="http or https")
    host: Host | None = Field(None, description="the address to ask, where it is not the node's host")
    port: Port | None = Field(None, description="the port to ask, where it is not the service's")


class Probe(Answer):
    """One request through the balancer for the whole window, as a client sends it."""

    url: Text | None = Field(None, description="the whole address to ask")
    base_url: Text | None = Field(None, description="instead of url: this plus the path of each health check")
    name: Line | None = Field(None, description="its name in reports; default: the tenant, or the service")
    interval: PositiveDuration | None = Field(None, description="time between two requests; default 5s")
    budget: Literal["entra", "okta"] | None = Field(
        None, description="limits that suit this identity provider; keys given here win over it"
    )
    max_outage: PositiveDuration | None = Field(None, description="the run stops after one this long; default 15s")
    hold_outage: Duration | None = Field(None, description="no other node is begun after an outage this long")
    max_failures: Annotated[int, Field(ge=1)] | None = Field(
        None, description="the run stops when more requests than this failed in the whole window"
    )
    max_failures_in_a_row: Annotated[int, Field(ge=1)] | None = Field(
        None, description="the run stops when more requests than this failed in a row"
    )
    max_rejections: Annotated[int, Field(ge=0)] | None = Field(
        None, description="the run stops when more requests than this got a 401, 403 or 404 that is not expected"
    )
    connect_to: HostPort | None = Field(None, description="host:port to connect to, whatever the url's name says")
    proxy: Text | None = Field(None, description="http://host:port of a proxy; the environment's is ignored")
    node_header: Line | None = Field(None, description="response header that names the node which answered")


class Drain(Part):
    """What a drain owes the requests in flight."""

    idle: Literal["required", "preferred"] | None = Field(
        None, description="required: never stop a node with one in flight; preferred: wait, then cut and report"
    )
    timeout: PositiveDuration | None = Field(
        None, description="how long the last request is waited for; default 90s, web 5m"
    )
    linger: Duration | None = Field(None, description="after maint, for idle: preferred; default 30s")
