"""`make openapi`: the HTTP API's own description, from the routes as they are, into docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functions.commands.handler import api as commands
from functions.queries.handler import api as queries

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"

_PROBLEM = {
    "type": "object",
    "required": ["title", "status", "detail"],
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
# What any route may answer besides its own; a route that takes no body never gives those of a body.
_ALWAYS = {400: "Malformed", 404: "Not found", 409: "Conflict", 410: "Deleted", 503: "Throttled: see Retry-After"}
_COMMANDS = {412: "If-Match does not match", 413: "Too large", 415: "Not JSON", 422: "Breaks a rule of the schema"}


def document() -> dict[str, Any]:
    """Return the description of all routes."""
    merged: dict[str, Any] = {}
    for api in (commands, queries):
        part = json.loads(api.get_openapi_json_schema(title="Users on eventfold", version="1"))
        for path, operations in part["paths"].items():
            merged.setdefault("paths", {}).setdefault(path.replace("{id_}", "{id}"), {}).update(operations)
        schemas = merged.setdefault("components", {}).setdefault("schemas", {})
        schemas |= part["components"]["schemas"]
        merged = {**part, **merged}
    for name in ("HTTPValidationError", "ValidationError"):
        merged["components"]["schemas"].pop(name, None)
    merged["components"]["schemas"]["Problem"] = _PROBLEM
    for operations in merged["paths"].values():
        for method, operation in operations.items():
            _describe(method, operation)
    return merged


def _describe(method: str, operation: dict[str, Any]) -> None:
    for parameter in operation.get("parameters", []):
        parameter["name"] = parameter["name"].replace("id_", "id")
    responses = operation["responses"]
    del responses["422"]
    if "204" in responses:
        responses["204"] = {"description": "Done"}
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    answers = _ALWAYS if method == "get" else _ALWAYS | _COMMANDS
    responses |= {str(status): {"description": text, "content": problem} for status, text in answers.items()}


def text() -> str:
    """Return the description as it is kept."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text())
