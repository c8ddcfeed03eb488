"""An event as the table has it."""

from __future__ import annotations

from contextlib import suppress
from math import isfinite
from typing import TYPE_CHECKING, TypedDict

from pydantic import JsonValue, TypeAdapter
from pydantic_core import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class StoredEvent(TypedDict):
    """One event as the table has it: its name, its schema version, its fields as JSON."""

    type: str
    v: int
    data: dict[str, JsonValue]


# A TypeAdapter's own `validate_json` costs half of what it calls.
read_stored: Callable[[str | bytes], tuple[StoredEvent, ...]]
read_stored = TypeAdapter(tuple[StoredEvent, ...]).validator.validate_json

type Path = tuple[str | int, ...]


MAX_DEPTH = 190
"""Lists and objects within each other: a little less than what the parser follows."""


class NotJsonError(ValueError):
    """What JSON, and so the table, can't carry. `path` leads to it where it is known; nothing of it is quoted."""

    def __init__(self, reason: str, path: Path = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path


class Written(tuple[StoredEvent, ...]):  # noqa: SLOT001 - a tuple's subclass has no slots that hold something
    """Events that are proven to read back, as they are, from `text`: a JSON array."""

    text: str


def written(events: Sequence[StoredEvent]) -> Written:
    """Return events with their JSON.

    Raises:
        NotJsonError: they would not read back as they are, or hold numbers that are no JSON.
    """
    if isinstance(events, Written):
        return events
    try:
        text = to_json(events).decode()
        if "Infinity" in text or "NaN" in text:  # As a number, it may be, or within a string.
            from_json(text, allow_inf_nan=False)
        read = read_stored(text)
        if read == tuple(events):
            proven = Written(read)
            proven.text = text
            return proven
    except ValueError:
        pass  # The parser's own words quote the data.
    path, reason = fault_in(events) or ((), "something that JSON has no form for")
    raise NotJsonError(reason, path)


def written_again(events: Sequence[StoredEvent]) -> bytes:
    """Return the JSON of events that were read from a store: no need to prove that they read back as they are.

    Raises:
        NotJsonError: they hold a number that is no JSON, which an older library may have stored.
    """
    with suppress(ValueError):
        text = to_json(events)
        if b"Infinity" not in text and b"NaN" not in text:
            return text
    return written(events).text.encode()


def joined(parts: Sequence[Written]) -> Written:
    """Return all the events of several, one after another."""
    if len(parts) == 1:
        return parts[0]
    whole = Written(one for part in parts for one in part)
    whole.text = f"[{','.join(part.text[1:-1] for part in parts)}]"
    return whole


def is_text(value: object) -> bool:
    """Return whether a value is a string that UTF-8 has a form for: one without lone surrogates."""
    return isinstance(value, str) and (value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value))


def fault_in(value: object, path: Path = ()) -> tuple[Path, str] | None:
    """Return where the first value lies that JSON can't carry, and what it is."""
    if len(path) > MAX_DEPTH:
        return path, "lists or objects that nest too deep"
    match value:
        case float() if not isfinite(value):
            return path, "a number that is not finite"
        case str() if not is_text(value):
            return path, "text that is not Unicode"
        case dict():
            parts = [(key, one) for key in value for one in (key, value[key])]
        case list() | tuple():
            parts = list(enumerate(value))
        case _:
            return None
    return next((found for key, one in parts if (found := fault_in(one, (*path, key)))), None)
