"""`rollsafe recover`: put back what an interrupted run left out, from any machine."""

from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def recover(
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    wait: Annotated[
        str | None,
        typer.Option(
            "--wait", metavar="DURATION", show_default=False, help="How long a stopped node may take to be healthy."
        ),
    ] = None,
    forget: Annotated[
        str | None,
        typer.Option(
            "--forget",
            metavar="NODE|URL",
            show_default=False,
            help="Let go of what is gone for ever: a node, or a balancer's endpoint as the claim spells it.",
        ),
    ] = None,
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
    """Put back what an interrupted run left out, as it was found, from this or any other machine.

    Example: rollsafe recover -i inventory.yml --yes
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.conduct import Conductor, Options, ask_or_refuse
    from rollsafe.cli.rolling import duration_s
    from rollsafe.engine import session
    from rollsafe.errors import Refused

    forgotten = frozenset(common.node_names(forget, "--forget") or ())
    options = Options(
        inventory, output, verbose, no_color, reason, None, events, html, junit, markdown, json, forget=forgotten
    )
    conductor = Conductor(options)
    wait_s = duration_s("--wait", wait) or conductor.cluster.policy.start_timeout_s
    try:
        ask_or_refuse(f"Put back whatever a run left out of {conductor.cluster.name}?", yes=yes)
    except Refused as error:
        return conductor.refuse(error, "recover")
    log = conductor.log(conductor.begin_anyhow())
    return conductor.conduct(log, lambda s: session.recover(s, run_id=run_id, wait_s=wait_s, take_over=take_over))
