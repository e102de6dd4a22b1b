"""Which journal `runs`, `show` and `report` read: the inventory's, where there is one, else the user's own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from rollsafe.cli.common import tell
from rollsafe.errors import InvalidInput

if TYPE_CHECKING:
    from rollsafe.journal.store import Store


def history(inventory: list[Path] | None) -> "Store":
    """The store, not opened yet. Raises InvalidInput for an inventory that was named and does not hold, JournalError
    for a file that was cut to nothing: that is not the same as no run yet."""
    from rollsafe.journal.store import open_store

    store = open_store(_state(inventory))
    if store.file.exists() and store.file.stat().st_size == 0:
        from rollsafe.journal.trouble import emptied

        raise emptied(store.file)
    return store


def _state(inventory: list[Path] | None) -> str | None:
    named = bool(inventory or os.environ.get("ROLLSAFE_INVENTORY"))
    if not named and not Path("inventory.yml").exists():
        return None
    from rollsafe.config.load import find_inventory, load_inventory

    try:
        return load_inventory(find_inventory(inventory)).cluster.state
    except InvalidInput as error:
        if named:
            raise
        # History is read when things went wrong: a broken inventory that happens to lie here must not hide it.
        tell(f"./inventory.yml does not hold, so this is the user's own journal (see `rollsafe validate`): {error}")
        return None


def no_journal(file: Path) -> str:
    """The sentence where there is no history at all."""
    return f"there is no journal yet: {file} does not exist. Where an inventory has a `state`, name it: -i FILE"
