"""The JSON Schema of one line of `-o json`, for pipelines that check or generate their readers."""

from collections.abc import Mapping
from typing import Any

from rollsafe.model.events import COMMON, EVENTS, WHERE, Field

_TYPES = {"text": "string", "list": "array", "map": "object"}  # the other kinds are named as JSON Schema names them


def events_schema() -> dict[str, Any]:
    """The schema. Unknown types and fields are allowed, for they may be added."""
    common = {**COMMON, **WHERE}
    arms = [
        {
            "if": {"properties": {"type": {"const": name}}},
            "then": {"properties": _properties(event.fields), "required": _required(event.fields)},
        }
        for name, event in EVENTS.items()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rollsafe event",
        "description": "One line of `rollsafe … -o json`, or of `--events FILE`.",
        "type": "object",
        "properties": _properties(common),
        "required": _required(common),
        "allOf": arms,
    }


def _properties(fields: Mapping[str, Field]) -> dict[str, Any]:
    return {name: {"type": _type(one), "description": one.meaning} for name, one in fields.items()}


def _type(one: Field) -> str | list[str]:
    name = _TYPES.get(one.kind, one.kind)
    return [name, "null"] if one.null else name


def _required(fields: Mapping[str, Field]) -> list[str]:
    return [name for name, one in fields.items() if one.always]
