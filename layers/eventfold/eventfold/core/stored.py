"""An event as the table has it."""

from __future__ import annotations

from typing import TypedDict

from pydantic import JsonValue  # noqa: TC002 - pydantic reads the annotation at run time


class StoredEvent(TypedDict):
    """One event as the table has it: its name, its schema version, its fields as JSON."""

    type: str
    v: int
    data: dict[str, JsonValue]
