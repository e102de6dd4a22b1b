"""pydantic's errors as sentences: what is wrong at the key, what is allowed, and what was probably meant."""

from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from rollsafe.config.problems import KeyPath, Problems, did_you_mean, listed

_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "dict_type": "a map of `key: value`",
    "model_type": "a map of `key: value`",
    "model_attributes_type": "a map of `key: value`",
    "list_type": "a list",
    "float_type": "a number",
}


def explain(error: ValidationError, model: type[BaseModel], problems: Problems) -> list[KeyPath]:
    """Add one problem for each error; returns their paths."""
    paths = []
    for item in error.errors(include_url=False):
        path: KeyPath = tuple(part for part in item["loc"] if part != "[key]")
        paths.append(path)
        if item["input"] is None and item["type"] != "missing":
            continue  # told already: the key has no value
        if item["type"] == "missing":
            problems.missing(path, _missing(model, path))
        elif item["type"] == "extra_forbidden":
            problems.error(path, _unknown(model, path))
        else:
            problems.error(path, _sentence(model, path, item))
    return paths


def known_keys(model: type[BaseModel], path: KeyPath) -> dict[str, FieldInfo]:
    """The keys that the map at that path may have; empty where it is no map of ours."""
    current: Any = model
    for part in path:
        current = _step(current, part)
    current = _bare(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return {field.alias or name: field for name, field in current.model_fields.items()}
    return {}


def _step(kind: Any, part: str | int) -> Any:
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            if part == (field.alias or name):
                return field.annotation
    if get_origin(kind) in (dict, list):
        return get_args(kind)[-1]
    return None


def _bare(kind: Any) -> Any:
    """Without Annotated and `| None`."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, UnionType):
            kind = next(arm for arm in get_args(kind) if arm is not type(None))
        else:
            return kind


def _missing(model: type[BaseModel], path: KeyPath) -> str:
    key = str(path[-1])
    field = known_keys(model, path[:-1]).get(key)
    what = f": {field.description}" if field is not None and field.description else ""
    return f"is missing{what}"


def _unknown(model: type[BaseModel], path: KeyPath) -> str:
    keys = known_keys(model, path[:-1])
    guess = did_you_mean(str(path[-1]), keys)
    return f"is not known here{guess or f'; allowed: {listed(keys)}'}"


def _sentence(  # noqa: PLR0911 - one return for each kind of error
    model: type[BaseModel], path: KeyPath, item: Mapping[str, Any]
) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type":
        return _not_text(value)
    if kind == "literal_error":
        allowed = [word.strip("'") for word in context["expected"].replace(" or ", ", ").split(", ")]
        return f'"{value}" is not known; allowed: {listed(allowed)}{did_you_mean(str(value), allowed)}'
    if kind in _WANTED:
        leading_zero = kind == "int_type" and isinstance(value, str) and value.isdigit()
        hint = " (without quotes or a leading zero)" if leading_zero else ""
        return f"must be {_WANTED[kind]}, not {_named(value)}{hint}"
    if kind in ("string_too_short", "too_short"):
        return "is empty: at least one is wanted" if kind == "too_short" else "is empty"
    if kind == "string_pattern_mismatch" and context["pattern"].startswith(("^/", "^(/")):
        return "must be a path that begins with /" + ", without a blank, ? or #" * ("#" in context["pattern"])
    if kind == "string_pattern_mismatch":
        field = known_keys(model, path[:-1]).get(str(path[-1]))
        what = field.description if field is not None else None
        return f"does not look right: it is {what}" if what else "does not look right"
    return str(item["msg"]).replace("Input should be", "must be").replace("Input should", "must")


def _not_text(value: object) -> str:
    if isinstance(value, bool):
        return "must be text, but a bare yes, no, on, off, true or false means a boolean to YAML: write it in quotes"
    if isinstance(value, (int, float)):
        return "must be text, but it is a number: write it in quotes"
    return f"must be text, not {_named(value)}"


def _named(value: object) -> str:
    """The kind of a value in a person's words; never the value, which may be a secret."""
    if isinstance(value, bool):
        return "a boolean"
    kinds: dict[type, str] = {str: "text", int: "a number", float: "a fraction", dict: "a map", list: "a list"}
    return kinds.get(type(value), "this")
