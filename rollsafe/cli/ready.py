"""`rollsafe ready NODE`: one node by hand."""

from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def ready(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The node's name in the inventory.")],
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    reason: common.ReasonOption = "",
    events: common.EventsOption = None,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Put one node back into service by hand, once it is healthy, through the balancers' own checks.

    Example: rollsafe ready jira1 -i inventory.yml
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.by_hand import by_hand
    from rollsafe.cli.conduct import Options

    options = Options(inventory, output, verbose, no_color, reason, None, events)
    return by_hand(options, "ready", node)
