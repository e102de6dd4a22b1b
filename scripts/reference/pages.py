"""Which pages there are, and which of them are stale."""

from pathlib import Path

from scripts.reference import commands, drivers, events, exits, inventory, playbooks

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "reference"
_MADE = "<!-- Made by `python -m scripts.reference` from the code: change the code, then run it again. -->\n\n"
_MAKERS = {
    "commands.md": commands.page,
    "exit-codes.md": exits.page,
    "events.md": events.page,
    "inventory.md": inventory.page,
    "playbooks.md": playbooks.page,
    "drivers.md": drivers.page,
}


def pages() -> dict[str, str]:
    """Each page's file name and text."""
    return {name: _MADE + make().strip() + "\n" for name, make in _MAKERS.items()}


def stale() -> list[str]:
    """The pages on disk that are missing, or not what the code says now."""
    return [name for name, text in pages().items() if _on_disk(name) != text]


def _on_disk(name: str) -> str:
    file = FOLDER / name
    return file.read_text(encoding="utf-8") if file.is_file() else ""
