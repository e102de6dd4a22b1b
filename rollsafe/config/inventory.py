"""The inventory's models, from the top. What they can't say is in `resolve` (presets) and `fitting`."""

from typing import Annotated

from pydantic import Field

from rollsafe.config.fields import (
    Duration,
    Line,
    Minimum,
    Name,
    OneOrMany,
    Part,
    Port,
    PositiveDuration,
    SecretText,
    Text,
)
from rollsafe.config.parts import Balancer, Drain, Health, Node, Probe, Restart, Ssh, TenantForm
from rollsafe.config.presets import PRODUCTS


class Service(Part):
    """What must stay reachable on a port of every node."""

    port: Port | None = Field(None, description="default: 5501 for scim, the product's for web")
    balancer: Line = Field(description="the balancer in front of it, by its name below balancers")
    pool: OneOrMany[Line] = Field(
        description="HAProxy backend, nginx upstream, F5 pool, Apache balancer, AWS target group; or several"
    )
    member: Line | None = Field(
        None, description="how members are named: {node}, {host}:{port} …; default: whichever is found"
    )
    min_ready: Minimum | None = Field(
        None, description="members that must serve while one is out: all-others (default), a number, or a percentage"
    )
    tenants: OneOrMany[TenantForm] | None = Field(None, description="SCIM directories: they give health and probes")
    health: OneOrMany[Health] | None = Field(None, description="one check or several: all must hold; default: preset")
    drain: Drain = Field(Drain(), description="how long requests in flight are waited for")
    probe: OneOrMany[Probe] | None = Field(None, description="one request or several through the balancer")


class Policy(Part):
    """How patient and how watchful a run is."""

    healthy_for: Duration = Field(15.0, description="unbroken health of every service before a node is put back")
    soak: Duration = Field(30.0, description="watched time after a node is back, before the next")
    start_timeout: PositiveDuration = Field(1800.0, description="how long a node may take to become healthy")
    gate_timeout: Duration = Field(120.0, description="how long a later node waits for a gate before the run stops")
    put_back_timeout: Duration = Field(
        300.0, description="how long an unreachable balancer is tried before the run stops with the node out"
    )
    poll: PositiveDuration = Field(1.0, description="time between two readings")


class Window(Part):
    """When nodes may be begun."""

    timezone: Text = Field(description="IANA name, such as Europe/Oslo")
    open: OneOrMany[Line] | None = Field(None, description='such as "Sat 02:00-05:00" or "Mon-Fri 22:00-02:00"')
    blackouts: OneOrMany[Line] | None = Field(None, description='such as "2026-12-20/2027-01-04", both days included')


class Inventory(Part):
    """A cluster: its nodes, its services, the balancers in front of them, and how a run behaves."""

    cluster: Name = Field(description="the name in claims, journals and reports")
    product: Text = Field(
        description="jira, confluence, bitbucket or other: presets for health, ports and start time",
        json_schema_extra={"enum": list(PRODUCTS)},
    )
    context_path: str = Field("", description="/jira, where it is not at the root", pattern=r"^(/[^?#\s]*)?$")
    nodes: Annotated[dict[Name, Node], Field(min_length=1)] = Field(
        description="in the order in which they are restarted; a text alone is the host"
    )
    ssh: Ssh = Field(Ssh(), description="how to reach the nodes, and the hosts of ssh:// addresses")
    restart: Restart = Field(Restart(), description="how a node is restarted")
    balancers: Annotated[dict[Name, Balancer], Field(min_length=1)] = Field(
        description="what stands in front of the services, by name"
    )
    services: Annotated[dict[Name, Service], Field(min_length=1)] = Field(
        description="most critical first: drained last, put back first"
    )
    policy: Policy = Field(Policy(), description="how patient and how watchful a run is")
    window: Window | None = Field(None, description="when nodes may be begun; default: always")
    notify: OneOrMany[SecretText] | None = Field(None, description="Apprise addresses, as secrets (rollsafe[notify])")
    claim_dir: Text = Field(
        "/var/tmp/rollsafe",  # noqa: S108 - the documented default on the node's own disk
        description="folder on each node, on its own disk, for the lock and undo record",
        pattern="^/",
    )
    state: Text | None = Field(None, description="sqlite:////FILE; default: in your state folder")
