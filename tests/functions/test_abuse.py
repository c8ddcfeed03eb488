"""Requests that no client of good will sends: a clear 4xx each, never a 5xx, and nothing is written."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from tests.support import http_event

if TYPE_CHECKING:
    from tests.functions.application import Application


def short(value: object) -> str:
    """Return a test's id from a value of any length."""
    return ascii(value)[:20]


BODIES = {
    "empty": ("", 422),
    "not json": ("name=Ada", 400),
    "cut off": ('{"name":"Ada"', 400),
    "more behind": ('{"name":"Ada"} x', 400),
    "comment": ('{"name":"Ada" /* x */}', 400),
    "single quotes": ("{'name':'Ada'}", 400),
    "10,000 lists deep": ("[" * 10_000 + "]" * 10_000, 400),
    "10,000 objects deep": ('{"a":' * 10_000 + "1" + "}" * 10_000, 400),
    "deep in a name": ('{"name":' + "[" * 10_000 + "]" * 10_000 + "}", 400),
    "5 MB": ('{"name":"' + "x" * 5_000_000 + '"}', 413),
    "one byte over 64 KB": ('"' + "x" * (65_536 - 1) + '"', 413),
    "over 64 KB in bytes": ('"' + "ä" * 40_000 + '"', 413),
    "64 KB": ('{"name":"' + "x" * (65_536 - 11) + '"}', 422),
    "null": ("null", 422),
    "list of one": ('[{"name":"Ada"}]', 422),
    "list of two": ('[{"name":"Ada"},{"name":"Bob"}]', 422),
    "empty list": ("[]", 422),
    "string": ('"Ada"', 422),
    "number": ("1", 422),
    "zero": ("0", 422),
    "true": ("true", 422),
    "no name": ("{}", 422),
    "name null": ('{"name":null}', 422),
    "name a number": ('{"name":1}', 422),
    "name a list": ('{"name":["Ada"]}', 422),
    "name an object": ('{"name":{"$ne":null}}', 422),
    "name empty": ('{"name":""}', 422),
    "name blank": ('{"name":"  "}', 422),
    "name of 201": ('{"name":"' + "x" * 201 + '"}', 422),
    "email a boolean": ('{"name":"Ada","email":false}', 422),
    "email none": ('{"name":"Ada","email":"ada"}', 422),
    "unknown field": ('{"name":"Ada","status":"deleted"}', 422),
    "prototype": ('{"name":"Ada","__class__":"x"}', 422),
    "NUL escaped": ('{"name":"Ada\\u0000"}', 422),
    "NUL raw": ('{"name":"Ada\0"}', 400),
    "line feed escaped": ('{"name":"Ada\\nB"}', 422),
    "line feed raw": ('{"name":"Ada\nB"}', 400),
    "lone surrogate escaped": ('{"name":"Ada\\ud800"}', 400),
    "lone surrogate raw": ('{"name":"Ada\ud800"}', 400),
    "lone surrogate in a field": ('{"\\udfff":"Ada"}', 400),
    "NaN": ('{"name":NaN}', 400),
    "Infinity": ('{"name":-Infinity}', 400),
    "1e999": ('{"name":1e999}', 422),
    "500 digits": ('{"name":' + "9" * 500 + "}", 422),
    "60,000 digits": ('{"name":' + "9" * 60_000 + "}", 400),
    "byte order mark": ('\ufeff{"name":"Ada"}', 400),
}


@pytest.mark.parametrize(("body", "status"), BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_body_that_makes_no_sense_is_refused(app: Application, method: str, body: str, status: int) -> None:
    # A field that is absent is no change to a user, and so no fault.
    id_ = app.create("Ada") if method == "PATCH" else ""
    if method == "PATCH" and body == "{}":
        status = 200
    answer = app.request(method, f"/users/{id_}".rstrip("/"), body)
    assert (answer.status, answer.body.get("status", 200)) == (status, status)
    assert len(app.commits()) == (method == "PATCH")


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/jsonx",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
        "",
    ],
)
def test_a_body_of_another_type_is_415(app: Application, content_type: str) -> None:
    answer = app.request("POST", "/users", {"name": "Ada"}, headers={"content-type": content_type})
    assert answer.status == 415


@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x", "Application/JSON", ""])
def test_no_body_has_no_type(app: Application, content_type: str) -> None:
    assert app.request("POST", "/users", None, headers={"content-type": content_type}).status == 422
    assert app.request("DELETE", f"/users/{app.create()}", None, headers={"content-type": content_type}).status == 204


@pytest.mark.parametrize(
    "content_type", ["Application/JSON", "application/json; charset=utf-8", " application/json ;x"]
)
def test_json_is_json_in_any_spelling(app: Application, content_type: str) -> None:
    assert app.request("POST", "/users", {"name": "Ada"}, headers={"content-type": content_type}).status == 201


def test_a_body_without_a_type_is_taken_as_json(app: Application) -> None:
    event = http_event("POST", "/users", {"name": "Ada"})
    del event["headers"]
    assert app.send(event).status == 201


def test_headers_are_found_in_any_case(app: Application) -> None:
    event = http_event("POST", "/users", {"name": "Ada"})
    event["headers"] = {"Content-Type": "text/plain", "X-Correlation-ID": "from-the-caller"}
    answer = app.send(event)
    assert (answer.status, answer.headers["X-Correlation-Id"]) == (415, "from-the-caller")


def test_a_base64_body_is_read(app: Application) -> None:
    event = http_event("POST", "/users", base64.b64encode('{"name":"Zoë"}'.encode()).decode())
    assert app.send(event | {"isBase64Encoded": True}).status == 201
    assert app.commits()[0].events[0]["data"]["name"] == "Zoë"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("!!!", 400),
        ("é", 400),
        ("YQ", 400),
        ("\ud800", 400),
        (base64.b64encode(b'{"name":"\xff\xfe"}').decode(), 400),
        (base64.b64encode(b'{"name":"\xed\xa0\x80"}').decode(), 400),
        (base64.b64encode(b"\x1f\x8b" + b"\0" * 100).decode(), 400),
        (base64.b64encode(b'"' + b"x" * 65_535 + b'"').decode(), 413),
        (base64.b64encode(b"x" * 65_537).decode(), 413),
        ("A" * 6_000_000, 413),
    ],
    ids=short,
)
def test_a_base64_body_that_makes_no_sense_is_refused(app: Application, body: str, status: int) -> None:
    assert app.send(http_event("POST", "/users", body) | {"isBase64Encoded": True}).status == status
    assert app.commits() == []


IDS = [
    "a/b",
    "a%2Fb",
    "a#b",
    "a%23b",
    "%",
    "%00",
    "..",
    " ",
    "a b",
    "a\0",
    "a\n",
    "é",
    "\ud800",
    "a;b",
    "a,b",
    "x" * 65,
]


@pytest.mark.parametrize("id_", [*IDS, ""], ids=short)
def test_an_id_that_nobody_can_have_is_404(app: Application, id_: str) -> None:
    for method in ("GET", "PATCH", "DELETE"):
        for tail in ("", "/events", "/state"):
            answer = app.request(method, f"/users/{id_}{tail}", {} if method == "PATCH" else None)
            assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("header", "status"),
    [("Idempotency-Key", 400), ("If-Match", 400), ("Content-Type", 415), ("X-Correlation-Id", 200)],
)
def test_a_header_that_is_no_text_is_refused_or_left_out(app: Application, header: str, status: int) -> None:
    id_ = app.create("Ada")
    answer = app.request("PATCH", f"/users/{id_}", {"name": "Bo"}, headers={header: '"k\ud800"', "\ud800": "\ud800"})
    assert answer.status == status
    assert len(app.commits(id_)) == (2 if status == 200 else 1)


LIMITS = ["0", "-1", "101", "9" * 400, "9" * 5000, "x", "1.5", "NaN", "1e2", "", "1,2", "\0", "\ud800"]


@pytest.mark.parametrize("path", ["/users", "/users/1/events"])
def test_a_limit_that_makes_no_sense_is_400(app: Application, path: str) -> None:
    for limit in LIMITS:
        answer = app.request("GET", path, query={"limit": limit})
        assert (answer.status, answer.body["errors"][0]["field"]) == (400, "query.limit"), limit[:20]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/users", {"prefix": "x" * 201}),
        ("/users", {"prefix": "\ud800"}),
        ("/users", {"cursor": "x" * 2001}),
        ("/users", {"cursor": "\ud800"}),
        ("/users/1/events", {"after": "-1"}),
        ("/users/1/events", {"after": "9" * 30}),
        ("/users/1/events", {"after": "x"}),
        ("/users/1/state", {"version": "0"}),
        ("/users/1/state", {"version": "9" * 30}),
        ("/users/1/state", {"version": ""}),
        ("/users/1/state", {"at": "yesterday"}),
        ("/users/1/state", {"at": ""}),
        ("/users/1/state", {"at": "NaN"}),
        ("/users/1/state", {"at": "1e400"}),
        ("/users/1/state", {"at": "2026-01-01T00:00:00"}),
        ("/users/1/state", {"at": "10000-01-01T00:00:00Z"}),
    ],
)
def test_a_query_that_makes_no_sense_is_400(app: Application, path: str, query: dict[str, str]) -> None:
    answer = app.request("GET", path, query=query)
    assert answer.status == 400, answer
    assert answer.body["errors"][0]["field"] == f"query.{next(iter(query))}"
