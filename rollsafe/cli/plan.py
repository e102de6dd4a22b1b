"""`rollsafe plan`: what a run would do, read from the live cluster. It writes nothing but the file of --out."""

from pathlib import Path
from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def plan(
    inventory: common.InventoryOption = None,
    playbook: common.PlaybookOption = common.DEFAULT_PLAYBOOK,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", show_default=False, help="Write the plan, for run --plan.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", show_default=False, help="Begin no node that does not end before."),
    ] = None,
    accept_outage: Annotated[
        bool, typer.Option("--accept-outage", help="As if the run were allowed to make a service unreachable.")
    ] = False,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Show the exact writes of a run, in order, and whether it could begin now. Asks everything, changes nothing.

    Example: rollsafe plan -i inventory.yml --nodes jira1,jira2 --out plan.json
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.asked import Asked, parse_until
    from rollsafe.clock import SystemClock
    from rollsafe.config.playbook import load_playbook

    if out is not None:
        _refuse_unwritable(out)
    asked = Asked(inventory)
    steps = load_playbook(playbook, asked.loaded.paths[-1].parent).each_node
    names = common.chosen(asked.cluster, common.node_names(nodes))
    moment = parse_until(until, SystemClock().now()) if until is not None else None
    asked.call(asked.cluster, survey=True)
    from rollsafe.cli.planning import Planning
    from rollsafe.engine.preflight import Selection

    planning = Planning(asked, Selection(names, steps, moment, accept_outage, playbook=playbook))
    try:
        return planning.show(out, as_json=output is Output.JSON, no_color=no_color)
    finally:
        planning.close()


def _refuse_unwritable(out: Path) -> None:
    from rollsafe.errors import InvalidInput
    from rollsafe.reporting.reports import unwritable

    if why := unwritable(out):
        raise InvalidInput([f"--out {out}: {why}"])
