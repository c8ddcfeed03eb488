"""`make openapi`: the HTTP API's own description, from the routes as they are, into docs/openapi.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from functions.commands.handler import api as commands
from functions.queries.handler import api as queries

DOCUMENT = Path(__file__).parents[1] / "docs" / "openapi.json"

_SCHEMAS: dict[str, Any] = {
    "Problem": {
        "type": "object",
        "description": "RFC 9457 problem details.",
        "required": ["title", "status", "detail"],
        "additionalProperties": False,
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "message"],
                    "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
                },
            },
        },
    },
    "Refusal": {
        "type": "object",
        "description": "What API Gateway itself answers.",
        "properties": {"message": {"type": "string"}},
    },
}
_REFUSALS = {401: "No token, or none that is good", 403: "Not signed, or not allowed", 429: "Too many requests"}
_PROBLEMS = {
    400: "A body, header or query parameter is malformed",
    404: "There is no such user",
    409: "Others changed the user at the same time",
    410: "The user was deleted",
    412: "If-Match does not match the current version",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The body does not fit the schema, or the Idempotency-Key was used for another request",
    500: "Something went wrong on our side",
    503: "Too busy: see Retry-After",
}
_ALL = {400, 500, 503}
_OF_ROUTE = {
    "post /users": {409, 410, 413, 415, 422},
    "patch /users/{id}": {404, 409, 410, 412, 413, 415, 422},
    "delete /users/{id}": {404, 409, 412, 413, 415, 422},
    "get /users": set[int](),
    "get /users/{id}": {404, 409, 410},
    "get /users/{id}/events": {404},
    "get /users/{id}/state": {404},
    "get /stats": set[int](),
}
_WORDS = {"get /users/{id}": {409: "The user has not come to min_version"}}
_ETAG = {"ETag": {"description": "The user's version.", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}}}
_HEADERS: dict[str, Any] = {
    "post /users": {"Location": {"description": "The new user.", "schema": {"type": "string"}}, **_ETAG},
    "patch /users/{id}": _ETAG,
    "get /users/{id}": _ETAG,
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


def document() -> dict[str, Any]:
    """Return the description of all routes."""
    parts = [
        json.loads(api.get_openapi_json_schema(title="Users on eventfold", version="1")) for api in (commands, queries)
    ]
    paths: dict[str, Any] = {}
    schemas = dict(_SCHEMAS)
    for part in parts:
        for path, operations in part["paths"].items():
            paths.setdefault(path.replace("{id_}", "{id}"), {}).update(operations)
        schemas |= part["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in paths.items():
        for method, operation in operations.items():
            _describe(f"{method} {path}", operation)
    return {**parts[0], "paths": paths, "components": {"schemas": schemas}}


def _describe(route: str, operation: dict[str, Any]) -> None:
    """Put a route's real answers in the place of those that Powertools gives to every route."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "id_":
            parameter["name"] = "id"
    (status, answer) = next((status, answer) for status, answer in operation["responses"].items() if status[0] == "2")
    if status == "204":
        answer = {"description": "Done"}
    if route in _HEADERS:
        answer["headers"] = _HEADERS[route]
    responses = {status: answer}
    for code in sorted(_ALL | _OF_ROUTE[route]):
        text = _WORDS.get(route, {}).get(code, _PROBLEMS[code])
        responses[str(code)] = _answer("application/problem+json", "Problem", text)
    responses["503"]["headers"] = _RETRY_AFTER
    responses |= {str(code): _answer("application/json", "Refusal", text) for code, text in _REFUSALS.items()}
    operation["responses"] = responses


def _answer(content_type: str, schema: str, text: str) -> dict[str, Any]:
    content = {content_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": text, "content": content}


def text() -> str:
    """Return the description as it is kept."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text())
