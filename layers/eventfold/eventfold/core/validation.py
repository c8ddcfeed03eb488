"""What is wrong with data that does not fit its model, told without quoting the data."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.errors import PydanticUserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel, ValidationError

MAX_FIELDS = 20
"""Faults that are told of: a small item can hold thousands."""


def fields_at_fault(error: ValidationError, model: type[BaseModel]) -> str:
    """Return where data does not fit `model` and how, as `address.city: missing, scores.*: int_parsing`.

    A path holds declared fields and places in lists. A dict's key or an undeclared field is somebody's words and may be
    personal: it is shown as `*`.
    """
    declared = _declared(model)
    faults = {
        f"{_joined(fault['loc'], declared) or 'the whole'}: {fault['type']}"
        for fault in error.errors(include_input=False, include_context=False, include_url=False)
    }
    return ", ".join(sorted(faults)[:MAX_FIELDS])


def place_in(path: Iterable[str | int], model: type[BaseModel]) -> str:
    """Return where in a model's data a path leads, as `fields_at_fault` shows it; nothing for an empty one."""
    return _joined(path, _declared(model))


def _joined(path: Iterable[str | int], declared: frozenset[str]) -> str:
    return ".".join(str(part) if isinstance(part, int) or part in declared else "*" for part in path)


@cache
def _declared(model: type[BaseModel]) -> frozenset[str]:
    """Return the names of a model's fields, and of all fields in them."""
    try:
        return frozenset(_properties(model.model_json_schema()))
    except PydanticUserError:  # Some type in it has no JSON schema.
        return frozenset(model.model_fields)


def _properties(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
            schema = {**schema, "properties": list(properties.values())}
        for inner in schema.values():
            yield from _properties(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from _properties(inner)
