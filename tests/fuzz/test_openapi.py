"""The API against its own description: whatever schemathesis makes of it gets a clear answer, never a 5xx.

50 cases a route in `make test`, 5,000 in all with `make fuzz`. Of those that name a user two in three name one that
there is or was: a made-up id alone would never get past "no such user".
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import defaultdict
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from local.openapi import DOCUMENT, document, text
from tests.conftest import EVENTS_TABLE
from tests.functions.application import Application, capture, forget
from tests.support import http_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hypothesis.strategies import SearchStrategy
    from mypy_boto3_dynamodb import DynamoDBClient
    from schemathesis.schemas import APIOperation

INTERNAL = re.compile(r"Traceback|\wError\b|\wException\b|\.py\b|eventfold|pydantic|boto|dynamo|arn:|amazonaws")


class Gateway:
    """API Gateway as far as a fuzzer sees it: WSGI in, Lambda events out."""

    def __init__(self) -> None:
        self.app: Application | None = None
        self.requests = 0
        self.ids: dict[str, tuple[str, ...]] = {}

    def __call__(self, environ: dict[str, Any], start: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/openapi.json":
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(document()).encode()]
        assert self.app is not None
        self.requests += 1
        answer = self.app.send(_event(environ))
        start(f"{answer.status} -", [(name, str(value)) for name, value in answer.headers.items()])
        return [b"" if answer.body is None else json.dumps(answer.body).encode()]


def _event(environ: dict[str, Any]) -> dict[str, Any]:
    raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    headers = {name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")}
    headers["content-type"] = environ.get("CONTENT_TYPE") or "application/json"
    path = environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
    query: dict[str, str] = {}
    for name, value in parse_qsl(environ.get("QUERY_STRING", ""), keep_blank_values=True):
        query[name] = f"{query[name]},{value}" if name in query else value  # a name that comes twice, as on AWS
    try:
        text, encoded = raw.decode(), False
    except UnicodeDecodeError:
        text, encoded = base64.b64encode(raw).decode(), True
    event = http_event(environ["REQUEST_METHOD"], path, text or None, headers=headers, query=query)
    return event | {"isBase64Encoded": encoded}


# The default profile asks for 100, the one of `make fuzz` for 1,250.
CASES_A_ROUTE = settings().max_examples // 2

gateway = Gateway()
schema = schemathesis.openapi.from_wsgi("/openapi.json", gateway)
seen: defaultdict[str, set[int]] = defaultdict(set)
"""What each route has answered."""


@pytest.fixture
def users(
    moto_client: DynamoDBClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """The functions on moto's tables, with a user that is there and one that was, and so with accounts."""
    capture(monkeypatch)
    forget()
    gateway.app = Application(moto_client, EVENTS_TABLE, capsys)
    users = (gateway.app.create("Ada"), gateway.app.create("Bob"))
    opened = [{"owner": "ada", "number": number} for number in ("DE01", "DE02", "DE03")]
    accounts = tuple(gateway.app.request("POST", "/accounts", body).body["id"] for body in opened)
    gateway.app.request("POST", f"/accounts/{accounts[0]}/deposits", {"cents": 10**9})
    for path in (f"/users/{users[1]}", f"/accounts/{accounts[1]}"):
        gateway.app.request("DELETE", path)
    gateway.ids = {"users": users, "accounts": accounts}
    gateway.app.project()
    yield
    gateway.app = None
    forget()


def name_what_there_is(case: schemathesis.Case[Any]) -> None:
    """Let three cases in four name what there is or was, one of them without what a made-up condition would refuse.

    The case itself decides, so that a failing one repeats.
    """
    made_up, ids = case.path_parameters.get("id"), gateway.ids.get(case.path.split("/")[1], ())
    choice = zlib.crc32(repr((made_up, case.query, case.body)).encode()) % 4
    if made_up is None or choice == 3 or not ids:
        return
    case.path_parameters["id"] = ids[choice // 2]
    if choice == 0:
        case.query = {}
        if case.headers:
            case.headers.pop("If-Match", None)
        if isinstance(case.body, dict) and isinstance(case.body.get("to"), str):
            case.body["to"] = ids[2]


def cases(operation: APIOperation[Any, Any, Any, Any]) -> SearchStrategy[schemathesis.Case[Any]]:
    """Return requests to a route: what its description allows, and what it does not."""
    return st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode])


@pytest.mark.parametrize(
    "operation",
    [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)],
    ids=lambda one: one.label,
)
@settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=CASES_A_ROUTE)
@given(data=st.data())
def test_no_request_gets_a_5xx_or_an_answer_that_is_not_described(
    operation: APIOperation[Any, Any, Any, Any], users: None, data: st.DataObject
) -> None:
    case = data.draw(cases(operation))
    name_what_there_is(case)
    response = case.call()
    seen[f"{case.method.lower()} {case.path}"].add(response.status_code)
    case.validate_response(response, checks=[not_a_server_error, response_schema_conformance, status_code_conformance])
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/problem+json"]
        problem = response.json()
        assert problem["status"] == response.status_code
        assert not INTERNAL.search(response.text)


def test_as_many_requests_were_made_as_promised(capsys: pytest.CaptureFixture[str]) -> None:
    routes = {f"{method} {path}": found for path, one in document()["paths"].items() for method, found in one.items()}
    assert gateway.requests >= len(routes) * CASES_A_ROUTE, "the cases above were not all run"
    for route, described in routes.items():
        done = {int(status) for status in described["responses"] if status[0] == "2"}
        assert done & seen[route], f"{route}: only refusals were tried, {sorted(seen[route])}"
        assert any(status >= 400 for status in seen[route]), route
    with capsys.disabled():
        print(f" {gateway.requests:,} requests, no 5xx ")  # noqa: T201 - what `make fuzz` is run for


def test_the_description_is_kept_up_to_date() -> None:
    assert DOCUMENT.read_text() == text(), "The routes have changed: run `make openapi` and commit docs/openapi.json."
