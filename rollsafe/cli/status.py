"""`rollsafe status`: node by node, what people, balancers and our own checks say."""

from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def status(
    inventory: common.InventoryOption = None,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s, until Ctrl-C.")] = False,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Show, node by node, the admin state on every endpoint, the balancer's check, our own health, requests in flight.

    A run's claim is shown too: whose it is, whether it lives, what a dead one left, and the command for it.

    Example: rollsafe status -i inventory.yml --watch
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.asked import Asked

    asked = Asked(inventory)
    cluster = common.part_of(asked.cluster, common.node_names(nodes))
    asked.call(cluster, survey=False)
    from rollsafe.cli.watching import Watching

    watching = Watching(asked, cluster, as_json=output is Output.JSON, no_color=no_color)
    try:
        return watching.watch() if watch else watching.once()
    finally:
        watching.close()
