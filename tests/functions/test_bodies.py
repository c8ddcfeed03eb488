"""A body as a command: strict about types, and read as the JSON that it is."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from app.http import Api, Json
from eventfold import Command
from tests.support import LambdaContext, http_event

if TYPE_CHECKING:
    from collections.abc import Callable


class Book(Command):
    cents: int
    on: date | None = None
    at: datetime | None = None
    id: UUID | None = None
    rate: Decimal | None = None
    lines: tuple[int, ...] = ()
    urgent: bool = False
    share: float = 0


@pytest.fixture
def post() -> Callable[[object], tuple[int, Any]]:
    """Return what sends a body to a route that takes a `Book`, and gives back the status and the command or faults."""
    api = Api([], "commands")

    @api.post("/books")
    def book(command: Json[Book]) -> dict[str, Any]:
        return {"command": command.model_dump_json(exclude_unset=True)}

    def send(body: object) -> tuple[int, Any]:
        answer = api.resolve(http_event("POST", "/books", body), LambdaContext())  # type: ignore[arg-type] # a part of it
        said = json.loads(answer["body"])
        return answer["statusCode"], json.loads(said["command"]) if "command" in said else said.get("errors")

    return send


@pytest.mark.parametrize(
    "fields",
    [
        {"cents": 12},
        {"cents": 2**70, "on": "2026-01-31", "at": "2026-01-31T12:00:00Z", "lines": [1, 2], "urgent": True},
        {"cents": -1, "id": "0b0f6a3e-5d5c-4b53-9d34-6f1f0a4d2c11", "rate": "0.125", "share": 1.5},
    ],
)
def test_what_json_has_no_type_for_is_text(post: Callable[[object], tuple[int, Any]], fields: dict[str, Any]) -> None:
    assert post(fields) == (200, fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("cents", "12"),
        ("cents", 12.0),
        ("cents", True),
        ("cents", None),
        ("on", 20000),
        ("lines", ["1"]),
        ("lines", 1),
        ("urgent", 1),
        ("urgent", "true"),
        ("share", "1.5"),
        ("id", 5),
    ],
)
def test_a_value_of_another_type_is_refused(
    post: Callable[[object], tuple[int, Any]], field: str, value: object
) -> None:
    status, faults = post({"cents": 12, field: value})
    assert status == 422
    assert {fault["field"].startswith(f"body.{field}") for fault in faults} == {True}


def test_a_number_that_is_none_is_refused(post: Callable[[object], tuple[int, Any]]) -> None:
    assert post('{"cents": 1, "share": 1e999}')[0] == 422
