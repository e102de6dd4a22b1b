"""`rollsafe init`: a first inventory, from questions or from a live balancer."""

import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rollsafe.cli.common import as_typed, inventory_words
from rollsafe.errors import InvalidInput

if TYPE_CHECKING:
    from rollsafe.config.first import First, FirstService
    from rollsafe.drivers.balancers import Ssh
    from rollsafe.model.settings import SshSettings

LIMIT_S = 5.0
_defaults_answer = ContextVar("defaults_answer", default=False)  # in a script, once its input has ended
_TYPE_SERVER = "2"  # of a line in `show stat`

# Of each pool: server and "address:port".
Pools = dict[str, dict[str, str]]


def init(
    output_file: Annotated[
        Path, typer.Option("-f", "--output-file", metavar="FILE", help="Where to write; an existing file is kept.")
    ] = Path("inventory.yml"),
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="haproxy://HOST:PORT",
            show_default=False,
            help="Read pools and members from this HAProxy's runtime API (haproxy:///PATH for its socket).",
        ),
    ] = None,
) -> None:
    """Write a first inventory, from questions or from a live balancer.

    Example: rollsafe init --from haproxy://10.0.0.5:9999 -f inventory.yml
    """
    from rollsafe.config.first import compose

    if output_file.exists():
        raise InvalidInput([f"{output_file} exists and is kept: name another with -f FILE, or move it away"])
    _defaults_answer.set(source is not None)  # the balancer has told what matters
    answers = _from_haproxy(source) if source is not None else _from_questions()
    text = compose(answers)
    try:
        with output_file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise InvalidInput([f"{output_file} can't be written: {error.strerror or error}"]) from None
    named = inventory_words([output_file])
    typer.echo(f"\nWrote {output_file}. Look it over, and then:")
    rollsafe = as_typed()
    typer.echo(f"  {rollsafe} validate{named}    is it right, and are its secrets and keys there?")
    typer.echo(f"  {rollsafe} doctor{named}      every right and name that a run needs; changes nothing")
    typer.echo(f"  {rollsafe} plan{named}        ask the live cluster, and show the exact writes; changes nothing")
    typer.echo(f"  {rollsafe} run{named}         the rolling restart")


def _from_questions() -> "First":
    from rollsafe.config.first import First, FirstService

    cluster, product = _cluster_and_product()
    nodes = _ask_nodes()
    user, unit = _ssh_and_unit(product)
    typer.echo("\nA balancer's address: ssh://HOST/run/haproxy/admin.sock, tcp://HOST:PORT, unix:///PATH (HAProxy)")
    typer.echo("or https://HOST/balancer-manager (Apache). Of an HA pair name both, with a comma between them.")
    scim_at = _addresses("Balancer of SCIM (port 5501)", "ssh://lb1.example.com/run/haproxy/admin.sock")
    username, pool = _username(scim_at), _ask("Its pool for SCIM", "scim")
    tenants, outside = _outside_of_scim()
    scim = FirstService(endpoints=scim_at, pool=pool, username=username, tenants=tenants, outside=outside)
    web_at = _addresses("Balancer of the web", ", ".join(scim_at))
    web = _web(product, web_at, username="" if web_at == scim_at else _username(web_at))
    return First(cluster, product, nodes, user, unit, {"scim": scim, "web": web})


def _web(product: str, endpoints: tuple[str, ...], *, username: str) -> "FirstService":
    from rollsafe.config.first import FirstService

    return FirstService(
        endpoints=endpoints,
        username=username,
        pool=_ask("Its pool for the web", product if product != "other" else "web"),
        outside=_outside("Address of the web from outside, such as https://jira.example.com (empty: none)"),
        port=_port(product),
    )


def _from_haproxy(source: str) -> "First":
    from rollsafe.config.first import First, FirstService

    endpoint = _endpoint_of(source)
    pools = _read_pools(endpoint)
    if not pools:
        raise InvalidInput([f"{endpoint} has no backend with servers: is it the right HAProxy?"])
    for pool, servers in pools.items():
        typer.echo(f"  {pool}: {', '.join(f'{name} ({at})' if at else name for name, at in servers.items())}")
    cluster, product = _cluster_and_product()
    names = tuple(pools)
    likely_scim = _likely(pools, (":5501",), "")
    likely_web = _likely(pools, (":8080", ":8090", ":7990"), "" if len(pools) == 1 and likely_scim else None)
    web_pool = _ask("Pool of the web (behind another balancer: empty)", likely_web, _one_of((*names, "")))
    scim_pool = _ask(
        "Pool of SCIM (none: empty)", likely_scim, _one_of((*(name for name in names if name != web_pool), ""))
    )
    if not web_pool and not scim_pool:
        raise InvalidInput([f"neither the web nor SCIM is behind {endpoint}: is it the right HAProxy?"])
    nodes = {
        name: at.rpartition(":")[0].strip("[]") or _ask(f"Host of {name}", None)
        for name, at in pools[web_pool or scim_pool].items()
    }
    user, unit = _ssh_and_unit(product)
    services: dict[str, FirstService] = {}
    if scim_pool:
        tenants, outside = _outside_of_scim()
        services["scim"] = FirstService(
            endpoints=(endpoint,),
            pool=scim_pool,
            port=_port_in(pools[scim_pool]),
            members=_same_hosts(nodes, pools[scim_pool]),
            tenants=tenants,
            outside=outside,
        )
    if web_pool:
        services["web"] = FirstService(
            endpoints=(endpoint,),
            pool=web_pool,
            port=_port_in(pools[web_pool]) or _port(product),
            outside=_outside("Address of the web from outside, such as https://jira.example.com (empty: none)"),
        )
    elif web_at := _addresses(
        "Balancer of the web, such as ssh://HOST/run/haproxy/admin.sock (empty: added later)", ""
    ):
        services["web"] = _web(product, web_at, username=_username(web_at))
    return First(cluster, product, nodes, user, unit, services)


# --- questions ------------------------------------------------------------------------------------------------------


def _ask(text: str, default: str | None, check: Callable[[str], str] | None = None) -> str:
    """Ask until the answer holds. Where the input has ended, the default is the answer, or the command ends."""

    def checked(answer: str) -> str:
        try:
            return check(answer.strip()) if check is not None else answer.strip()
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None

    try:
        answer: str = typer.prompt(text, default=default, value_proc=checked, show_default=bool(default))
    except typer.Abort:
        if sys.stdin.isatty():
            typer.echo(err=True)  # Ctrl-C or Ctrl-D: what follows begins a line of its own
            raise
        if default is not None and _defaults_answer.get():
            typer.echo(default)
            return checked(default)
        raise InvalidInput(
            [f'the input ended at the question "{text}": answer it in a terminal, or copy inventory.example.yml']
        ) from None
    return answer


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def check(answer: str) -> str:
        if answer not in words:
            raise ValueError(f"write one of: {', '.join(word for word in words if word)}")
        return answer

    return check


def _cluster_and_product() -> tuple[str, str]:
    from rollsafe.config.presets import PRODUCTS
    from rollsafe.config.units import name

    product = _ask(f"Product ({', '.join(PRODUCTS)})", "jira", _one_of(tuple(PRODUCTS)))
    return _ask("Name of the cluster", f"{product}-prod", name), product


def _ask_nodes() -> dict[str, str]:
    nodes: dict[str, str] = {}

    def check(answer: str) -> str:
        nodes.clear()
        nodes.update(_nodes(answer))
        return answer

    _ask("Nodes in the order of restarts, such as jira1=10.0.0.11, jira2=10.0.0.12", None, check)
    return nodes


def _nodes(answer: str) -> dict[str, str]:
    """`jira1=10.0.0.11, jira2=10.0.0.12`; a host alone names the node too. Raises ValueError."""
    from rollsafe.config import units

    nodes: dict[str, str] = {}
    for part in answer.split(","):
        name, _, host = (word.strip() for word in part.partition("="))
        if units.name(name) in nodes:
            raise ValueError(f"{name} is here twice")
        nodes[name] = units.host(host or name)
    return nodes


def _ssh_and_unit(product: str) -> tuple[str, str]:
    from rollsafe.config.presets import PRODUCTS

    user = _ask("Account on the nodes, for SSH", "rollsafe")
    return user, _ask("systemd unit of the application", PRODUCTS[product].unit or "app.service")


def _addresses(text: str, default: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in _ask(text, default).split(",") if part.strip())


def _username(endpoints: tuple[str, ...]) -> str:
    if not endpoints or not endpoints[0].startswith("http"):
        return ""
    return _ask("Account of its admin pages (empty: none; the password is read from $BALANCER_PASSWORD)", "")


def _outside_of_scim() -> tuple[tuple[str, ...], str]:
    """The tenants, and SCIM's address from outside."""
    text = _ask("SCIM directories, the ID in /scim/ID/v2, with commas between them (empty: not known yet)", "")
    tenants = tuple(part.strip() for part in text.split(",") if part.strip())
    if not tenants:
        return (), ""
    return tenants, _outside("Address of SCIM from outside, such as https://scim.example.com (empty: none)")


def _outside(text: str) -> str:
    from rollsafe.config.reaching import http_url

    return _ask(text, "", lambda answer: http_url(answer) if answer else "")


def _port(product: str) -> int | None:
    if product != "other":
        return None
    return int(_ask("Port of the web on the nodes", "8080", _port_number))


def _port_number(text: str) -> str:
    if not text.isdigit() or not 1 <= int(text) <= 65535:
        raise ValueError("write a port from 1 to 65535")
    return text


# --- a live HAProxy -------------------------------------------------------------------------------------------------


def _endpoint_of(source: str) -> str:
    scheme, separator, rest = source.partition("://")
    if scheme == "haproxy" and separator:
        if rest.startswith("/"):
            return f"unix://{rest}"
        host, _, port = rest.rstrip("/").rpartition(":")
        if host and port.isdigit():
            return f"tcp://{host}:{port}"
    raise InvalidInput([f'--from "{source}" is not known: write haproxy://HOST:PORT or haproxy:///PATH/TO/SOCKET'])


def _read_pools(endpoint: str) -> Pools:
    """Backends and their servers, by `show stat`. Raises InvalidInput: nothing was touched."""
    import csv

    pools: Pools = {}
    for row in csv.DictReader(_show_stat(endpoint).removeprefix("# ").splitlines()):
        if row["type"] == _TYPE_SERVER:
            pools.setdefault(row["pxname"], {})[row["svname"]] = row.get("addr") or ""
    return pools


def _show_stat(endpoint: str) -> str:
    """The whole answer, by the driver's own wire: what is cut off is an error there, and everything has a limit."""
    from rollsafe.drivers.balancers.haproxy_wire import Wire
    from rollsafe.errors import BalancerError
    from rollsafe.model.settings import EndpointSettings

    wire = Wire(EndpointSettings(endpoint, timeout_s=LIMIT_S), _no_ssh)
    try:
        text = wire.ask("show stat", wire.deadline())
    except BalancerError as error:
        raise InvalidInput([f"--from: {error}"]) from None
    if not text.startswith("# pxname,"):
        raise InvalidInput([f"{endpoint} does not answer as HAProxy's runtime API does: is it its `stats socket`?"])
    return text


def _no_ssh(_settings: "SshSettings") -> "Ssh":
    raise AssertionError("no such endpoint is made of --from")


def _likely(pools: Pools, ports: tuple[str, ...], otherwise: str | None = None) -> str:
    for pool, servers in pools.items():
        if any(at.endswith(ports) for at in servers.values()):
            return pool
    return next(iter(pools)) if otherwise is None else otherwise


def _port_in(servers: dict[str, str]) -> int | None:
    ports = {at.rpartition(":")[2] for at in servers.values()}
    port = ports.pop() if len(ports) == 1 else ""
    return int(port) if port.isdigit() else None


def _same_hosts(nodes: dict[str, str], servers: dict[str, str]) -> dict[str, str]:
    """node: server, for the servers whose name is another but whose address is the node's."""
    hosts = {at.rpartition(":")[0].strip("[]"): name for name, at in servers.items() if at}
    return {node: hosts[host] for node, host in nodes.items() if node not in servers and host in hosts}
