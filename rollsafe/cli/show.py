"""`rollsafe show RUN`: one run, step by step, from the journal."""

from typing import Annotated

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's name, its beginning, or `last`.")] = "last",
    inventory: common.InventoryOption = None,
    output: common.OutputOption = Output.TEXT,
    verbose: common.VerboseOption = 0,
    log_file: common.LogFileOption = None,
) -> None:
    """Show one run, step by step: who, why, gates, writes, waits, probes, and how it ended. -v: every record.

    Example: rollsafe show last
    """
    common.begin(verbose, log_file)
    from rollsafe.cli.history import history, no_journal
    from rollsafe.errors import InvalidInput

    with history(inventory) as store:
        if not store.file.exists():
            raise InvalidInput([no_journal(store.file)])
        name = store.find(run)
        records = list(store.records(name))  # to its end: only then is it the whole story
        if output is Output.JSON:
            from rollsafe.reporting.jsonl import as_json

            for record in records:
                typer.echo(as_json(record))
            return
        from rollsafe.cli.story import story
        from rollsafe.cli.words import inventory_named

        named = inventory_named(inventory)
        for line in story(store.row(name), _nodes(store.plan_json(name)), records, named, whole=verbose > 0):
            typer.echo(line)


def _nodes(plan: "dict[str, object] | None") -> list[str]:
    """The nodes of the stored plan, whatever its version; none where it has no such list."""
    nodes = plan.get("nodes") if plan else None
    return [str(node.get("name", "?")) for node in nodes if isinstance(node, dict)] if isinstance(nodes, list) else []
