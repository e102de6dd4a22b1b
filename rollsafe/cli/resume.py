"""`rollsafe resume`: go on with an interrupted run, where its journal says that it stopped."""

from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def resume(
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    take_over: Annotated[bool, typer.Option("--take-over", help="Although the run's beat goes on.")] = False,
    yes: common.YesOption = False,
    reason: common.ReasonOption = "",
    run_id: common.RunIdOption = None,
    events: common.EventsOption = None,
    html: common.HtmlOption = None,
    junit: common.JunitOption = None,
    markdown: common.MarkdownOption = None,
    json: common.JsonOption = None,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
    no_color: common.NoColorOption = False,
) -> int:
    """Go on with an interrupted run, on the machine that holds its journal; elsewhere: rollsafe recover.

    Example: rollsafe resume -i inventory.yml --yes
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.conduct import Options
    from rollsafe.cli.resuming import resume_run

    options = Options(inventory, output, verbose, no_color, reason, None, events, html, junit, markdown, json)
    return resume_run(options, run_id, take_over=take_over, yes=yes)
