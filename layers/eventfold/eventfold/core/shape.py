"""What a fingerprint is made of: the shape that a JSON schema describes, and values in one order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

# JSON Schema's annotations apart from `default`, and OpenAPI's `discriminator`, which repeats what a union's parts say:
# https://json-schema.org/draft/2020-12/json-schema-validation#section-9
_EXPLAINS = frozenset(
    {"title", "description", "examples", "deprecated", "readOnly", "writeOnly", "$comment", "discriminator"}
)
_BY_NAME = frozenset({"properties", "patternProperties"})
_VALUES = frozenset({"const", "default", "enum", "required"})


def shape_of(schema: Mapping[str, Any]) -> Any:
    """Return what a JSON schema says of values, whatever its models are called and in whichever order their fields are.

    Defaults stay: where one changes, a replay may come to another value than one that was stored.
    """
    definitions = schema.get("$defs", {})
    met: dict[str, int] = {}

    def shape(value: Any) -> Any:
        if isinstance(value, list):
            return [shape(one) for one in value]
        if not isinstance(value, dict):
            return value
        kept = sorted(key for key in value if key not in _EXPLAINS and key != "$defs")
        return {key: part(key, value[key]) for key in kept}

    def part(key: str, value: Any) -> Any:
        if key == "$ref":
            return definition(value.rpartition("/")[2])
        if key in _BY_NAME:
            return {name: shape(value[name]) for name in sorted(value)}
        return _sorted(value) if key in _VALUES else shape(value)

    def definition(name: str) -> Any:
        """Return a definition where it is met first, and its number from then on: one may hold itself."""
        if name in met:
            return met[name]
        met[name] = len(met)
        return [met[name], shape(definitions[name])]

    return shape(schema)


def in_order(data: object, value: object) -> object:
    """Return a value's JSON with its sets in order: in each process Python goes through a set in another one."""
    match data, value:
        case list(), set() | frozenset():
            return sorted(data, key=to_json)
        case list(), list() | tuple() if len(data) == len(value):
            return [in_order(one, other) for one, other in zip(data, value, strict=True)]
        case dict(), dict() if len(data) == len(value):
            return {key: in_order(data[key], other) for key, other in zip(data, value.values(), strict=True)}
        case _:
            return data


def _sorted(data: object) -> object:
    """Return JSON with all its lists in order, as nothing tells here which of them are sets."""
    match data:
        case list():
            return sorted(map(_sorted, data), key=to_json)
        case dict():
            return {key: _sorted(one) for key, one in data.items()}
        case _:
            return data
