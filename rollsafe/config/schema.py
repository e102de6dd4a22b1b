"""The JSON Schema of inventory and playbook, for editors that complete and check while a person types."""

from copy import deepcopy
from typing import Any, Literal

from rollsafe.config import units
from rollsafe.config.inventory import Inventory
from rollsafe.config.playbook import PlaybookFile

Kind = Literal["inventory", "playbook"]


def json_schema(kind: Kind) -> dict[str, Any]:
    """The schema, with every spelling that is read: short forms, lists of named maps, and `x-…` keys."""
    schema = (Inventory if kind == "inventory" else PlaybookFile).model_json_schema(by_alias=True)
    plain: dict[str, Any] = _without_nulls(schema)
    plain["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    plain["title"] = f"rollsafe {kind}"
    plain["patternProperties"] = {"^x-": {}}
    if kind == "inventory":
        _also_lists(plain)
    return plain


def _without_nulls(value: Any) -> Any:
    """An optional key is left out, never null."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {key: _without_nulls(item) for key, item in value.items() if key != "default" or item is not None}
    if kept.get("type") == "string" and isinstance(kept.get("default"), float):
        kept["default"] = units.written(kept["default"])  # a duration's default, as a person writes it
    arms = kept.get("anyOf")
    if isinstance(arms, list) and {"type": "null"} in arms:
        arms = [arm for arm in arms if arm != {"type": "null"}]
        kept.pop("anyOf")
        kept |= {"anyOf": arms} if len(arms) > 1 else arms[0]
    return kept


def _also_lists(schema: dict[str, Any]) -> None:
    """`nodes` and `services` may be lists of maps with a name; a node may be its host alone."""
    definitions = schema["$defs"]
    for section, part in (("nodes", "Node"), ("services", "Service")):
        named = deepcopy(definitions[part])
        named["properties"]["name"] = {"type": "string", "description": f"the name of the {part.lower()}"}
        named["required"] = ["name", *named.get("required", [])]
        definitions[f"Named{part}"] = named
        whole = schema["properties"][section]
        words = {key: whole.pop(key) for key in ("description", "title") if key in whole}
        many = {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/Named{part}"}}
        schema["properties"][section] = {**words, "anyOf": [whole, many]}
    node = definitions["Node"]
    definitions["Node"] = {"anyOf": [{"type": "string"}, node]}
