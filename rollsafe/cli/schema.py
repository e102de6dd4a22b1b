"""`rollsafe schema`: the JSON Schema that editors complete from."""

from enum import Enum
from typing import Annotated

import typer


class Kind(Enum):
    """Which file the schema is of."""

    INVENTORY = "inventory"
    PLAYBOOK = "playbook"


def schema(
    kind: Annotated[Kind, typer.Argument(help="The inventory's, or the playbook's.", show_default=False)],
) -> None:
    """Print the JSON Schema of inventory or playbook, for editors.

    Example: rollsafe schema inventory > inventory.schema.json
    Then, as the first line of the inventory: # yaml-language-server: $schema=inventory.schema.json
    """
    import json

    from rollsafe.config.schema import json_schema

    typer.echo(json.dumps(json_schema(kind.value), indent=2, ensure_ascii=False))
