"""`rollsafe schema`: the JSON Schema that editors complete from, and pipelines check with."""

from enum import Enum
from typing import Annotated, Any

import typer

from rollsafe.cli import common
from rollsafe.cli.common import Output


class Kind(Enum):
    """What the schema is of."""

    INVENTORY = "inventory"
    PLAYBOOK = "playbook"
    EVENTS = "events"


def schema(
    kind: Annotated[
        Kind, typer.Argument(help="Of the inventory, a playbook, or a line of -o json.", show_default=False)
    ],
    output: common.OutputOption = Output.TEXT,
) -> None:
    """Print the JSON Schema of inventory or playbook, for editors, or of the events, for pipelines.

    The first line of the inventory then names it: # yaml-language-server: $schema=inventory.schema.json

    Example: rollsafe schema inventory > inventory.schema.json
    """
    import json

    if output is Output.JSON:
        typer.echo(json.dumps(_schema(kind)))
    else:
        typer.echo(json.dumps(_schema(kind), indent=2, ensure_ascii=False))


def _schema(kind: Kind) -> dict[str, Any]:
    if kind is Kind.EVENTS:
        from rollsafe.reporting.events_schema import events_schema

        return events_schema()
    from rollsafe.config.schema import json_schema

    return json_schema("inventory" if kind is Kind.INVENTORY else "playbook")
