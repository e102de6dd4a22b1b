"""Every event, with its fields."""

from collections.abc import Mapping

from rollsafe.model.events import COMMON, EVENTS, WHERE, Field
from scripts.reference.table import table

_HEAD = """# Events

`-o json` prints one JSON object a line on stdout, and nothing else there; `--events FILE` appends them to FILE, beside
the text. Each line is valid JSON whatever happens, SIGTERM included, and the last is `run.finished`, for every outcome.
Fields and types may be added; they never change their meaning, so a reader must pass over what it does not know.
`rollsafe schema events` prints this page as JSON Schema.

Commands that look (`plan`, `status`, `doctor`, `validate`, `rehearse`) print an object of their own type first. `runs`,
`show` and `report` print what was, and `schema` a document: where they succeed, they add no ending of their own.

## On each line
"""


def page() -> str:
    """The page of all events."""
    sections = [
        f"## {name}\n\n{event.meaning}\n" + (f"\n{_fields(event.fields)}" if event.fields else "")
        for name, event in EVENTS.items()
    ]
    where = "Where they apply:\n\n" + _fields(WHERE)
    return "\n".join([_HEAD, _fields(COMMON), where, *sections])


def _fields(fields: Mapping[str, Field]) -> str:
    rows = [
        [f"`{name}`", one.kind + " or null" * one.null, one.meaning + ("" if one.always else " (where it applies)")]
        for name, one in fields.items()
    ]
    return table(["field", "type", "meaning"], rows)
