"""`rollsafe run`: the rolling restart."""

from pathlib import Path
from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def run(
    inventory: common.InventoryOption = None,
    playbook: common.PlaybookOption = common.DEFAULT_PLAYBOOK,
    nodes: common.NodesOption = None,
    output: common.OutputOption = Output.TEXT,
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="FILE", show_default=False, help="Run this plan, or refuse.")
    ] = None,
    yes: common.YesOption = False,
    reason: common.ReasonOption = "",
    run_id: common.RunIdOption = None,
    wait_for_lock: Annotated[
        str | None,
        typer.Option("--wait-for-lock", metavar="DURATION", show_default=False, help="Wait for another run's claim."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="TIME", show_default=False, help="Begin no node that does not end before."),
    ] = None,
    accept_outage: Annotated[
        bool, typer.Option("--accept-outage", help="Restart although a service is unreachable meanwhile.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True)] = False,
    events: common.EventsOption = None,
    html: common.HtmlOption = None,
    junit: common.JunitOption = None,
    markdown: common.MarkdownOption = None,
    json: common.JsonOption = None,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Restart the nodes one at a time: drain, restart, wait until healthy, put back, go on.

    Example: rollsafe run -i inventory.yml --nodes jira1,jira2 --reason CHG0042 --html report.html
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.conduct import Options
    from rollsafe.cli.rolling import Rolling, duration_s
    from rollsafe.errors import InvalidInput

    if dry_run:
        raise InvalidInput(["run has no --dry-run: `rollsafe plan` asks the live cluster, and shows the exact writes"])
    options = Options(
        inventory,
        output,
        verbose,
        no_color,
        reason,
        run_id,
        events,
        html,
        junit,
        markdown,
        json,
        wait_for_lock_s=duration_s("--wait-for-lock", wait_for_lock),
    )
    rolling = Rolling(options, playbook, common.node_names(nodes), until=until, accept_outage=accept_outage)
    return rolling.run(plan_file=plan, yes=yes)
