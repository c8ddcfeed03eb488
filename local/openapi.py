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
    404: "There is none of this id",
    409: "A rule refuses it, or others changed it at the same time",
    410: "It was deleted",
    412: "If-Match does not match the current version",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The body does not fit the schema, or the Idempotency-Key was used for another request",
    500: "Something went wrong on our side",
    503: "Too busy: see Retry-After",
}
_NOT_REACHED = "It has not come to min_version"
_ETAG = {"ETag": {"description": "The version.", "schema": {"type": "string", "pattern": '^"[0-9]+"$'}}}
_LOCATION = {"Location": {"description": "Where it is.", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}


def document() -> dict[str, Any]:
    """Return the description of all routes."""
    parts = [json.loads(api.get_openapi_json_schema(title="eventfold", version="1")) for api in (commands, queries)]
    paths: dict[str, Any] = {}
    schemas = dict(_SCHEMAS)
    for part in parts:
        for path, operations in part["paths"].items():
            paths.setdefault(path.replace("{id_}", "{id}"), {}).update(operations)
        schemas |= part.get("components", {}).get("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    for path, operations in paths.items():
        for method, operation in operations.items():
            _describe(method, path, operation)
    return {**parts[0], "paths": paths, "components": {"schemas": schemas}}


def _describe(method: str, path: str, operation: dict[str, Any]) -> None:
    """Put a route's real answers in the place of those that Powertools gives to every route."""
    for parameter in operation.get("parameters", []):
        if parameter["name"] == "id_":
            parameter["name"] = "id"
    (status, answer) = next((status, answer) for status, answer in operation["responses"].items() if status[0] == "2")
    if status == "204":
        answer = {"description": "Done"}
    elif method in {"post", "patch"} or path.endswith("{id}"):
        answer["headers"] = _ETAG | (_LOCATION if status == "201" else {})
    responses = {status: answer}
    for code in sorted(_codes(method, path, operation)):
        text = _NOT_REACHED if method == "get" and code == 409 else _PROBLEMS[code]  # noqa: PLR2004 - HTTP's own number
        responses[str(code)] = _answer("application/problem+json", "Problem", text)
    responses["503"]["headers"] = _RETRY_AFTER
    responses |= {str(code): _answer("application/json", "Refusal", text) for code, text in _REFUSALS.items()}
    operation["responses"] = responses


def _codes(method: str, path: str, operation: dict[str, Any]) -> set[int]:
    """Return with which problems a route may answer: they follow from what it takes."""
    taken = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    follows = [
        ("{id}" in path, {404}),
        (method != "get", {413, 415, 422}),
        ("idempotency-key" in taken, {409, 422}),
        ("if-match" in taken, {412}),
        ("requestBody" in operation, {410}),
        ("min_version" in taken, {409, 410}),
    ]
    return {400, 500, 503}.union(*(codes for so, codes in follows if so))


def _answer(content_type: str, schema: str, text: str) -> dict[str, Any]:
    content = {content_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": text, "content": content}


def text() -> str:
    """Return the description as it is kept."""
    return json.dumps(document(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text(text())
