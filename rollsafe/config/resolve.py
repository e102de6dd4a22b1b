"""From what is written to what is meant: presets, inheritance and overrides give the model's Cluster."""

from rollsafe.config import asking, reaching
from rollsafe.config.context import Context
from rollsafe.config.inventory import Inventory, Policy, Service
from rollsafe.config.parts import Node as WrittenNode
from rollsafe.config.parts import Restart
from rollsafe.config.presets import PRODUCTS, REQUIRED_DRAIN, SCIM_PORT, WEB_DRAIN, Product
from rollsafe.config.problems import KeyPath, did_you_mean, listed
from rollsafe.config.window import window_rules
from rollsafe.model import cluster as model
from rollsafe.model.secret import Secret
from rollsafe.model.settings import CheckSettings, ProbeSettings, RestartSettings, SshSettings


def resolve(context: Context, written: Inventory) -> model.Cluster:
    """The cluster. Problems go into the context: where there are errors, the result is not to be used."""
    product = _product(context, written.product)
    words = reaching.ssh_words(context, written.ssh, ("ssh",))
    balancers = tuple(reaching.balancer(context, name, item, words) for name, item in written.balancers.items())
    services = tuple(_service(context, name, item) for name, item in written.services.items())
    nodes = tuple(_node(context, name, node, written, product, words) for name, node in written.nodes.items())
    checks, probes = _asked(context, written, product, nodes, words)
    return model.Cluster(
        name=written.cluster,
        product=written.product,
        nodes=nodes,
        services=services,
        balancers=balancers,
        checks=checks,
        probes=probes,
        policy=_policy(written.policy),
        window=window_rules(context, written.window),
        claim_dir=written.claim_dir.rstrip("/") or "/",
        state=_state(context, written.state),
        notify=_notify(context, written),
        typical_start_s=product.typical_start_s,
    )


def _product(context: Context, name: str) -> Product:
    if name not in PRODUCTS:
        sentence = f'"{name}" is not known; allowed: {listed(PRODUCTS)}{did_you_mean(name, PRODUCTS)}'
        context.problems.error(("product",), sentence)
    # A web port and a unit, so that a misspelt product is told once and not again for all that it would have preset.
    return PRODUCTS.get(name, PRODUCTS["jira"])


def _service(context: Context, name: str, written: Service) -> model.Service:
    path: KeyPath = ("services", name)
    member = written.member
    if member is not None:
        member = context.attempt((*path, "member"), lambda: asking.valid_member(written.member or ""))
    preset = WEB_DRAIN if name == "web" else REQUIRED_DRAIN
    drain = written.drain
    if len(set(written.pool)) != len(written.pool):
        context.problems.error((*path, "pool"), "names a pool twice: keep one")
    return model.Service(
        name=name,
        balancer=written.balancer,
        pools=tuple(written.pool),
        min_ready=written.min_ready or model.MinReady(),
        drain=model.DrainRule(
            idle=model.Idle(drain.idle) if drain.idle else preset.idle,
            timeout_s=drain.timeout or preset.timeout_s,
            linger_s=preset.linger_s if drain.linger is None else drain.linger,
        ),
        member=member,
    )


def _node(
    context: Context, name: str, node: WrittenNode, written: Inventory, product: Product, words: reaching.SshWords
) -> model.Node:
    path: KeyPath = ("nodes", name)
    ssh = reaching.ssh_words(context, node.ssh, (*path, "ssh"), words)
    return model.Node(
        name=name,
        host=node.host.strip("[]"),
        ports=_ports(context, path, node, written, product),
        ssh=SshSettings(host=node.host.strip("[]"), **ssh),
        restart=_restart(context, path, node, written, product),
        start_timeout_s=node.start_timeout or written.policy.start_timeout,
        members=_of_services(context, (*path, "members"), node.members, written),
        excluded=node.excluded,
    )


def _of_services(context: Context, path: KeyPath, said: dict[str, str], written: Inventory) -> dict[str, str]:
    for service in said:
        if service not in written.services:
            guess = did_you_mean(service, written.services)
            context.problems.error((*path, service), f"is no service here ({listed(written.services)}){guess}")
    return dict(said)


def _ports(context: Context, path: KeyPath, node: WrittenNode, written: Inventory, product: Product) -> dict[str, int]:
    _of_services(context, (*path, "ports"), dict.fromkeys(node.ports, ""), written)
    ports = {}
    for name, service in written.services.items():
        port = node.ports.get(name) or asking.port_of(name, service, product, SCIM_PORT)
        if port is None:
            # Told at the service, once for all nodes: one error has one line.
            context.problems.missing(("services", name, "port"), "is missing: there is no preset for it")
        ports[name] = port or 0
    return ports


def _restart(
    context: Context, path: KeyPath, node: WrittenNode, written: Inventory, product: Product
) -> RestartSettings:
    own, upper = node.restart, written.restart
    _check_way(context, (*path, "restart"), own)
    _check_way(context, ("restart",), upper)
    way = own if own.unit or own.command else upper
    unit = way.unit or (None if way.command else product.unit)
    identity = own.identity or (upper.identity if way.command else None)
    if unit is None and way.command is None:
        context.problems.missing(("restart",), "is missing: say how, such as restart: {unit: app.service}")
    if way.command and not identity:
        where: KeyPath = (*path, "restart", "command") if way is own else ("restart", "command")
        context.problems.error(where, 'needs "identity": a command that prints another text after a real restart')
    sudo = own.sudo if own.sudo is not None else upper.sudo
    return RestartSettings(
        unit=unit,
        command=way.command,
        identity=identity,
        sudo=True if sudo is None else sudo,
        timeout_s=own.timeout or upper.timeout or 600.0,
    )


def _check_way(context: Context, path: KeyPath, restart: Restart) -> None:
    if restart.unit and restart.command:
        context.problems.error((*path, "command"), "unit says it too: keep one of them")
    elif restart.unit and restart.identity:
        context.problems.error((*path, "identity"), "belongs to command; the proof of a unit is its InvocationID")


def _asked(
    context: Context, written: Inventory, product: Product, nodes: tuple[model.Node, ...], words: reaching.SshWords
) -> tuple[tuple[CheckSettings, ...], tuple[ProbeSettings, ...]]:
    checks: list[CheckSettings] = []
    probes: list[ProbeSettings] = []
    for name, service in written.services.items():
        asked = asking.questions(context, name, service, product, written.context_path, words)
        probes += asking.probes(context, name, service, asked, words)
        for node in nodes:
            if node.excluded is None:
                checks += asking.checks(node, name, asked)
    return tuple(checks), tuple(probes)


def _policy(written: Policy) -> model.Policy:
    return model.Policy(
        healthy_for_s=written.healthy_for,
        soak_s=written.soak,
        start_timeout_s=written.start_timeout,
        gate_timeout_s=written.gate_timeout,
        put_back_timeout_s=written.put_back_timeout,
        poll_s=written.poll,
    )


def _state(context: Context, text: str | None) -> str | None:
    """The address of the journal. A relative SQLite path starts at the file that names it."""
    if text is None:
        return None
    kind, _, rest = text.partition(":///")
    if kind == "sqlite" and rest:
        return f"sqlite:///{context.file(('state',), rest)}"
    if text.startswith(("postgresql:", "postgres:", "postgresql+")):
        told = '"postgresql" is not part of this version yet'  # the rest of the address may hold a password
    else:
        told = f'"{reaching.without_credentials(text)}" is no store'
    context.problems.error(("state",), f"{told}: name a file, such as sqlite:////var/lib/rollsafe/rollsafe.db")
    return text


def _notify(context: Context, written: Inventory) -> tuple[Secret, ...]:
    made = [context.secret(("notify", index), text) for index, text in enumerate(written.notify or ())]
    return tuple(secret for secret in made if secret is not None)
