"""The JSON Schema: every spelling that is read is allowed by it, and what is refused is not."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollsafe.config.schema import json_schema

TOP = Path(__file__).parents[2]


def holds(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """A small validator: the keywords that our schema uses."""
    if "$ref" in schema:
        return holds(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema and not any(holds(arm, value, root) for arm in schema["anyOf"]):
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds = {"string": str, "integer": int, "number": (int, float), "object": dict, "array": list, "boolean": bool}
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, kinds[kind]) or (kind != "boolean" and isinstance(value, bool))):
        return False
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        return False
    if isinstance(value, list):
        return all(holds(schema.get("items", {}), item, root) for item in value)
    if isinstance(value, dict):
        return all(key in value for key in schema.get("required", [])) and all(
            _holds_key(schema, key, item, root) for key, item in value.items()
        )
    return True


def _holds_key(schema: dict[str, Any], key: str, item: Any, root: dict[str, Any]) -> bool:
    if key in schema.get("properties", {}):
        return holds(schema["properties"][key], item, root)
    for pattern, below in schema.get("patternProperties", {}).items():
        if re.search(pattern, key):
            return holds(below, item, root)
    more = schema.get("additionalProperties", True)
    return holds(more, item, root) if isinstance(more, dict) else bool(more)


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load((TOP / "inventory.example.yml").read_text())
    return data


def test_the_example_is_valid_by_the_schema(example: dict[str, Any]) -> None:
    schema = json_schema("inventory")
    assert holds(schema, example, schema)


def test_lists_of_named_maps_are_valid(example: dict[str, Any]) -> None:
    schema = json_schema("inventory")
    named = [{"name": name, **body} for name, body in example["services"].items()]
    assert holds(schema, {**example, "services": named}, schema)
    assert not holds(schema, {**example, "services": list(example["services"].values())}, schema)


@pytest.mark.parametrize(
    "wrong",
    [{"polcy": {}}, {"policy": {"soak": 30}}, {"nodes": {"a": {"prot": 1}}}, {"window": None}, {"cluster": "a b"}],
)
def test_mistakes_are_not_valid(example: dict[str, Any], wrong: dict[str, Any]) -> None:
    schema = json_schema("inventory")
    assert not holds(schema, {**example, **wrong}, schema)


@pytest.mark.parametrize("jump", [[], "bastion", ["bastion", "me@inner:22"]])
def test_a_jump_host_may_be_none_one_or_several(example: dict[str, Any], jump: object) -> None:
    schema = json_schema("inventory")
    assert holds(
        schema, {**example, "ssh": {"jump": jump}, "nodes": {"a": {"host": "a", "ssh": {"jump": jump}}}}, schema
    )
    assert schema["$defs"]["Ssh"]["properties"]["jump"]["anyOf"][1].get("minItems", 0) == 0


def test_an_editor_completes_the_products() -> None:
    assert json_schema("inventory")["properties"]["product"]["enum"] == ["jira", "confluence", "bitbucket", "other"]
