"""docs/reference is what the code says, and the code says everything."""

import ast
import json
import re
from pathlib import Path

import pytest

from rollsafe.cli.app import COMMANDS
from rollsafe.cli.exits import ExitCode
from rollsafe.config.playbook import STEPS
from rollsafe.config.schema import json_schema
from rollsafe.config.units import seconds, written
from rollsafe.drivers.balancers import DRIVERS
from rollsafe.model.events import COMMON, EVENTS, WHERE
from rollsafe.reporting.events_schema import events_schema
from scripts.reference.pages import FOLDER, pages, stale
from tests.house.test_command_line import rollsafe
from tests.house.tree import ROOT, python_files

EVENT = re.compile(r"[a-z]+\.[a-z]+|signal|warning")
TYPES = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "list": list, "map": dict}


def test_the_reference_is_not_stale() -> None:
    assert stale() == [], "run: .venv/bin/python -m scripts.reference"


def test_every_command_step_driver_code_and_key_is_in_it() -> None:
    text = pages()
    assert [name for name in COMMANDS if f"\n## {name}\n" not in text["commands.md"]] == []
    assert [name for name in STEPS if f"| `{name}` |" not in text["playbooks.md"]] == []
    assert [name for name in DRIVERS if f"| `{name}` |" not in text["drivers.md"]] == []
    assert [code for code in ExitCode if f"| `{int(code)}` | `{code.outcome}` |" not in text["exit-codes.md"]] == []
    schema = json_schema("inventory")
    keys = {key for part in [schema, *schema["$defs"].values()] for key in part.get("properties", {})}
    assert [key for key in keys - {"name"} if f"| `{key}` |" not in text["inventory.md"]] == []


def test_every_row_of_the_inventory_page_says_what_it_means() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\|([^|]*)\|$", pages()["inventory.md"], re.MULTILINE)
    assert [name for name, meaning in rows if not meaning.strip()] == []


def test_the_readme_leads_to_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    assert "docs/README.md" in (ROOT / "README.md").read_text()
    assert [file.name for file in FOLDER.glob("*.md") if f"reference/{file.name}" not in index] == []


def test_the_readme_says_of_each_exit_code_what_the_program_says() -> None:
    text = (ROOT / "README.md").read_text()
    assert [code for code in ExitCode if f"| {int(code)} | `{code.outcome}` | {code.meaning} |" not in text] == []


# --- events ---------------------------------------------------------------------------------------------------------


TELLERS = ("write", "about", "note")


def told_in(path: Path) -> set[str]:
    """The event types that a file writes: the first text handed to `write`, `about`, `note` or as `"type":`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TELLERS:
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and EVENT.fullmatch(first.value):
                found.add(first.value)
        elif isinstance(node, ast.Dict):
            pairs = {key.value: value for key, value in zip(node.keys, node.values, strict=True) if is_text(key)}
            if is_text(pairs.get("type")) and "." in pairs["type"].value:
                found.add(pairs["type"].value)
    return found


def is_text(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_every_event_that_the_code_tells_is_described_and_no_other() -> None:
    rooms = [ROOT / "rollsafe" / room for room in ("engine", "cli")]
    told = {
        name for path in python_files() if any(path.is_relative_to(room) for room in rooms) for name in told_in(path)
    }
    assert told | {"probe.failed", "probe.recovered"} == set(EVENTS), 'probe.* are written as f"probe.{kind}"'


def wrong_with(event: dict) -> list[str]:
    """What the catalogue did not foresee in one line of -o json."""
    described = EVENTS.get(event["type"])
    if described is None:
        return [f"{event['type']}: no such event"]
    fields = {**COMMON, **WHERE, **described.fields}
    strange = [f"{event['type']}.{key}: not described" for key in event if key not in fields]
    absent = [f"{event['type']}.{key}: missing" for key, one in fields.items() if one.always and key not in event]
    kinds = [
        f"{event['type']}.{key}: {value!r} is no {fields[key].kind}"
        for key, value in event.items()
        if key in fields and not isinstance(value, TYPES[fields[key].kind]) and not (value is None and fields[key].null)
    ]
    return strange + absent + kinds


@pytest.mark.parametrize("words", [["run", "-i", "no-such.yml"], ["rnu"]])
def test_a_command_that_fails_ends_in_described_events(words: list[str]) -> None:
    shown = rollsafe(*words, "-o", "json")
    assert [text for line in shown.stdout.splitlines() for text in wrong_with(json.loads(line))] == []


def test_the_schema_of_events_names_each_with_its_fields() -> None:
    schema = json.loads(rollsafe("schema", "events").stdout)
    assert schema == events_schema()
    arms = {arm["if"]["properties"]["type"]["const"]: arm["then"] for arm in schema["allOf"]}
    assert set(arms) == set(EVENTS)
    assert set(arms["run.finished"]["required"]) >= {"outcome", "exit_code", "left_out", "others", "duration_s"}
    assert schema["required"] == list(COMMON)


@pytest.mark.parametrize(
    ("total", "text"),
    [(0.0, "0s"), (0.5, "500ms"), (15.0, "15s"), (90.0, "90s"), (300.0, "5m"), (1800.0, "30m"), (5400.0, "1h30m")],
)
def test_a_default_is_shown_as_a_person_writes_it(total: float, text: str) -> None:
    assert written(total) == text
    assert seconds(text) == total
