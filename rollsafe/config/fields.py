"""The building blocks of the inventory's models: types that take short spellings, and say so in the schema."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    InstanceOf,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue

from rollsafe.config import units
from rollsafe.model.cluster import MinReady

T = TypeVar("T")


class Part(BaseModel):
    """A map of the inventory. Unknown keys are errors, and nothing is converted behind a person's back."""

    # built when an inventory is read, as one whole: each part by itself would be built for nothing
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True)


class _OneOrMany:
    """A list whose only item may stand alone."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        many = handler(core_schema)
        return {"anyOf": [many["items"], many]}


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


NoneOrMany = Annotated[list[T], BeforeValidator(_as_list), _OneOrMany()]
OneOrMany = Annotated[list[T], Field(min_length=1), BeforeValidator(_as_list), _OneOrMany()]

_DURATION_SCHEMA = {"type": "string", "pattern": units.DURATION, "examples": ["500ms", "90s", "5m", "1h30m"]}
Duration = Annotated[float, BeforeValidator(units.seconds), WithJsonSchema(_DURATION_SCHEMA)]
PositiveDuration = Annotated[float, BeforeValidator(units.positive_seconds), WithJsonSchema(_DURATION_SCHEMA)]

Port = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, AfterValidator(units.name), Field(json_schema_extra={"pattern": units.NAME.pattern})]
Host = Annotated[str, AfterValidator(units.host)]
HostPort = Annotated[str, AfterValidator(units.host_port)]
SecretText = Annotated[
    str,
    Field(
        min_length=1,
        json_schema_extra={"examples": ["env:NAME", "file:PATH", "command:PROGRAM ARGS", "keyring:SERVICE/USER"]},
    ),
]
Minimum = Annotated[
    InstanceOf[MinReady],
    BeforeValidator(units.min_ready),
    WithJsonSchema(
        {"anyOf": [{"const": "all-others"}, {"type": "integer", "minimum": 0}, {"type": "string", "pattern": "%$"}]}
    ),
]


def _one_line(text: str) -> str:
    if any(ord(character) < 32 for character in text):
        raise ValueError("holds a line break or another control character: it must be one line")
    return text


Line = Annotated[str, Field(min_length=1), AfterValidator(_one_line)]


def _hop(text: str) -> str:
    units.hop(text)
    return text


HopText = Annotated[str, AfterValidator(_hop)]


def short_form(key: str) -> Callable[[Any], Any]:
    """A text alone stands for a map with only `key`."""

    def lengthen(value: Any) -> Any:
        return {key: value} if isinstance(value, str) else value

    return lengthen


def text_too(schema: dict[str, Any]) -> None:
    """In the JSON Schema: a text alone is allowed."""
    whole = dict(schema)
    schema.clear()
    schema["anyOf"] = [{"type": "string"}, whole]
