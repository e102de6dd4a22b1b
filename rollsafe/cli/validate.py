"""`rollsafe validate`: inventory and playbook, without touching the network."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output

if TYPE_CHECKING:
    from rollsafe.config.load import Loaded
    from rollsafe.config.playbook import Playbook


def validate(
    inventory: common.InventoryOption = None,
    playbook: common.PlaybookOption = common.DEFAULT_PLAYBOOK,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    resolve_secrets: Annotated[
        bool, typer.Option("--resolve-secrets", help="Read every secret too (never printed); commands are run.")
    ] = False,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
) -> None:
    """Check inventory and playbook, without touching the network: every problem at once, with its line.

    Example: rollsafe validate -i base.yml -i production.yml --resolve-secrets
    """
    common.begin(verbose, log_file)
    from rollsafe.config.load import find_inventory, load_inventory
    from rollsafe.config.playbook import load_playbook
    from rollsafe.config.references import check_references
    from rollsafe.config.secrets import resolve_all
    from rollsafe.errors import InvalidInput

    problems: list[str] = []
    loaded: Loaded | None = None
    steps: Playbook | None = None
    names = common.node_names(nodes)
    paths = find_inventory(inventory)
    try:
        loaded = load_inventory(paths, check_references)
        problems += check_references(loaded.cluster, loaded.named)
        common.chosen(loaded.cluster, names)
        if resolve_secrets:
            resolve_all(loaded.cluster, loaded.named)
    except InvalidInput as error:
        problems += [problem for problem in error.problems if problem not in problems]
    try:
        steps = load_playbook(playbook, beside=paths[-1].parent)
    except InvalidInput as error:
        problems += error.problems
    if problems or loaded is None or steps is None:
        if output is Output.JSON:
            _print_json(loaded, {"problems": problems})
        raise InvalidInput(problems)
    if output is Output.TEXT:
        _print_text(loaded, steps)
    else:
        _print_json(loaded, {"problems": problems, "message": _in_order(loaded, steps, secrets=resolve_secrets)})


def _in_order(loaded: "Loaded", steps: "Playbook", *, secrets: bool) -> str:
    cluster = loaded.cluster
    nodes = ", ".join(node.name for node in cluster.live_nodes)
    services = ", ".join(service.name for service in cluster.services)
    read = ", and every secret can be read" if secrets else ""
    return f"{_head(loaded)}: nodes {nodes}; services {services}; playbook {steps.name}{read}."


def _head(loaded: "Loaded") -> str:
    cluster = loaded.cluster
    return f"{cluster.name} ({cluster.product}) is valid: {', '.join(str(path) for path in loaded.paths)}"


def _print_json(loaded: "Loaded | None", said: dict[str, Any]) -> None:
    result: dict[str, Any] = {"valid": not said["problems"], **said}
    if loaded is not None:
        cluster = loaded.cluster
        result |= {
            "cluster": cluster.name,
            "nodes": [node.name for node in cluster.live_nodes],
            "services": [service.name for service in cluster.services],
            "warnings": list(loaded.warnings),
        }
    typer.echo(common.object_line("validated", result))


def _print_text(loaded: "Loaded", steps: "Playbook") -> None:
    cluster = loaded.cluster
    for warning in loaded.warnings:
        common.tell(f"warning: {warning}")
    order = ", ".join(node.name for node in cluster.live_nodes)
    services = ", ".join(f"{service.name} ({', '.join(service.pools)})" for service in cluster.services)
    typer.echo(_head(loaded))
    typer.echo(f"  nodes, in order: {order}")
    for node in cluster.nodes:
        if node.excluded is not None:
            typer.echo(f"  excluded: {node.name} ({node.excluded})")
    typer.echo(f"  services, most critical first: {services}")
    typer.echo(f"  playbook {steps.name}: {', '.join(step.name for step in steps.each_node)}")
