"""`rollsafe doctor`: everything that a run needs, tried one by one, as a checklist with the fix beside each no."""

from rollsafe.cli import common
from rollsafe.cli.common import Output


def doctor(
    inventory: common.InventoryOption = None,
    playbook: common.PlaybookOption = common.DEFAULT_PLAYBOOK,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Try every connection, right and name that a run needs. Asks only; nothing is changed anywhere.

    Example: rollsafe doctor -i inventory.yml
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.checkup import Checkup

    return Checkup(inventory, playbook, common.node_names(nodes)).show(as_json=output is Output.JSON, no_color=no_color)
