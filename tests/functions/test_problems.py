"""Every answer that is no success: RFC 9457, without a stack trace, an internal name, or a personal word in the log."""

from __future__ import annotations

import re
import traceback
import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from app import main
from app.commands import ID_NAMESPACE
from app.telemetry import InvocationFailedError
from app.users.rules import UserCreated
from eventfold.core.errors import EventfoldError, ItemTooLargeError, TooManyConflictsError
from tests.conftest import EVENTS_TABLE, READ_MODELS_TABLE
from tests.functions.application import forget

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.functions.application import Application
    from tests.support import Answer

INTERNAL = re.compile(
    r"Traceback|\wError\b|\wException\b|\.py\b|eventfold|pydantic|boto|dynamo|lambda|arn:|amazonaws|endpoint",
    re.IGNORECASE,
)
PERSONAL = re.compile(r"Lovelace|lovelace@", re.IGNORECASE)
ADA = {"name": "Ada Lovelace", "email": "lovelace@example.com"}


def check_problem(answer: Answer, status: int) -> None:
    """Check that an answer is a problem as RFC 9457 has it, and gives nothing away."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Correlation-Id"]
    assert answer.body["status"] == status
    assert answer.body["title"]
    assert answer.body["detail"].endswith(".")
    assert answer.body.keys() <= {"title", "status", "detail", "errors"}
    assert not INTERNAL.search(str(answer.body))
    assert not PERSONAL.search(str(answer.body))


def nobody(app: Application) -> Answer:
    return app.request("PATCH", "/users/nobody", ADA)


def no_route(app: Application) -> Answer:
    return app.request("PUT", "/users/nobody", ADA)


def no_json(app: Application) -> Answer:
    return app.request("POST", "/users", '{"name": "Ada Lovelace"')


def wrong_type(app: Application) -> Answer:
    return app.request("POST", "/users", ADA, headers={"content-type": "text/plain"})


def too_large(app: Application) -> Answer:
    return app.request("POST", "/users", {"name": "Ada Lovelace " * 6000})


def wrong_schema(app: Application) -> Answer:
    return app.request("POST", "/users", {"name": "Ada Lovelace\n", "email": "Lovelace"})


def wrong_header(app: Application) -> Answer:
    return app.request("POST", "/users", ADA, headers={"Idempotency-Key": "Ada Lovelace"})


def wrong_query(app: Application) -> Answer:
    return app.request("GET", "/users", query={"prefix": "Lovelace", "limit": "Lovelace"})


def wrong_cursor(app: Application) -> Answer:
    return app.request("GET", "/users", query={"prefix": "Lovelace", "cursor": "Lovelace"})


def wrong_version(app: Application) -> Answer:
    return app.request("PATCH", f"/users/{app.create(**ADA)}", ADA, headers={"If-Match": '"7"'})


def wrong_etag(app: Application) -> Answer:
    return app.request("DELETE", f"/users/{app.create(**ADA)}", headers={"If-Match": "Lovelace"})


def deleted(app: Application) -> Answer:
    id_ = app.create(**ADA)
    app.request("DELETE", f"/users/{id_}")
    return app.request("PATCH", f"/users/{id_}", ADA)


def reused_key(app: Application) -> Answer:
    app.request("POST", "/users", ADA, headers={"Idempotency-Key": "k"})
    return app.request("POST", "/users", {"name": "Lovelace"}, headers={"Idempotency-Key": "k"})


def taken_id(app: Application) -> Answer:
    app.append(str(uuid.uuid5(ID_NAMESPACE, "\nk")), UserCreated(name="Somebody Lovelace"))
    return app.request("POST", "/users", ADA, headers={"Idempotency-Key": "k"})


def taken_email(app: Application) -> Answer:
    app.create(**ADA)
    return app.request("POST", "/users", {**ADA, "email": ADA["email"].upper()})


@pytest.mark.parametrize(
    ("status", "request_"),
    [
        (400, no_json),
        (400, wrong_header),
        (400, wrong_query),
        (400, wrong_cursor),
        (400, wrong_etag),
        (404, nobody),
        (404, no_route),
        (409, taken_id),
        (409, taken_email),
        (410, deleted),
        (412, wrong_version),
        (413, too_large),
        (415, wrong_type),
        (422, wrong_schema),
        (422, reused_key),
    ],
)
def test_a_request_at_fault_gets_a_problem(
    app: Application, status: int, request_: Callable[[Application], Answer]
) -> None:
    check_problem(request_(app), status)
    assert not PERSONAL.search(app.printed())
    assert not [line for line in app.lines() if line.get("level") == "ERROR"]


def test_a_problem_names_the_fields_at_fault(app: Application) -> None:
    answer = app.request("POST", "/users", {"email": "x", "age": 3})
    assert {error["field"] for error in answer.body["errors"]} == {"body.name", "body.email", "body.age"}
    assert all(error["message"] for error in answer.body["errors"])


def test_a_body_full_of_faults_gets_a_short_answer(app: Application) -> None:
    answer = app.request("POST", "/users", {f"f{number}": 0 for number in range(4000)})
    check_problem(answer, 422)
    assert len(answer.body["errors"]) == 20


# --- What the store may do --------------------------------------------------------------------------------


def refuse_all(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Let every request to DynamoDB end in this error."""

    def refused(**_: object) -> None:
        raise error

    for operation in ("query", "put_item", "transact_write_items", "batch_get_item"):
        monkeypatch.setattr(main.application.dynamodb, operation, refused)


def client_error(code: str, status: int = 400) -> ClientError:
    """Return an error as DynamoDB answers it, with a message that must not reach anybody."""
    said = {"Code": code, "Message": "arn:aws:dynamodb:table/events Ada Lovelace"}
    return ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutItem")  # type: ignore[typeddict-item] # what counts of it


REQUESTS = [
    ("POST", "/users", ADA),
    ("PATCH", "/users/1", ADA),
    ("DELETE", "/users/1", None),
    ("GET", "/users/1", None),
    ("GET", "/users", None),
    ("GET", "/users/1/events", None),
    ("GET", "/users/1/state", None),
    ("GET", "/stats", None),
]


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
@pytest.mark.parametrize(
    "error",
    [
        client_error("ProvisionedThroughputExceededException"),
        client_error("ThrottlingException"),
        client_error("InternalServerError", 500),
        EndpointConnectionError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com"),
        ReadTimeoutError(endpoint_url="https://dynamodb.eu-west-1.amazonaws.com"),
    ],
)
def test_a_store_that_is_too_busy_is_503_with_retry_after(
    app: Application, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str, path: str, body: dict[str, str]
) -> None:
    refuse_all(monkeypatch, error)
    answer = app.request(method, path, body)
    check_problem(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    assert [line["level"] for line in app.lines("store unavailable")] == ["WARNING"]
    assert "amazonaws" not in app.printed()
    assert not PERSONAL.search(app.printed())


@pytest.mark.parametrize(("method", "path", "body"), REQUESTS)
@pytest.mark.parametrize(
    "error", [client_error("ResourceNotFoundException"), client_error("AccessDeniedException"), KeyError("Lovelace")]
)
def test_an_unknown_error_is_500_and_logged_by_type_and_place_alone(
    app: Application, monkeypatch: pytest.MonkeyPatch, error: Exception, method: str, path: str, body: dict[str, str]
) -> None:
    refuse_all(monkeypatch, error)
    check_problem(app.request(method, path, body), 500)
    (line,) = app.lines("unhandled error")
    assert (line["level"], line["error"], line["correlation_id"]) == ("ERROR", type(error).__name__, "request-1")
    assert all(re.fullmatch(r"\w+\.py:\d+ \S+", place) for place in line["at"])
    assert len(line["at"]) > 1
    assert "exception" not in line
    assert "arn:aws:dynamodb" not in app.printed()
    assert not PERSONAL.search(app.printed())


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (TooManyConflictsError("user-1", 8), 409),
        (ItemTooLargeError("stream 'user-1': Ada Lovelace is 500,000 bytes"), 413),
        (EventfoldError("Lovelace"), 500),
        (RecursionError("Lovelace"), 500),
    ],
)
def test_an_append_that_fails_is_answered(
    app: Application, monkeypatch: pytest.MonkeyPatch, error: Exception, status: int
) -> None:
    def append(*_: object, **__: object) -> None:
        raise error

    for way in ("append", "append_together"):
        monkeypatch.setattr(main.application.event_store, way, append)
    check_problem(app.request("POST", "/users", ADA), status)
    assert not PERSONAL.search(app.printed())


@pytest.mark.parametrize("path", ["/users/1/events", "/users/1/state"])
def test_a_stream_that_can_not_be_read_is_500_and_the_log_says_where(app: Application, path: str) -> None:
    app.append("1", UserCreated(name="Ada Lovelace"))
    events = '[{"type":"UserCreated","v":3,"data":{"name":"Ada Lovelace"}}]'
    key = {"stream": {"S": "user-1"}, "version": {"N": "2"}}
    rest = {"events": {"S": events}, "commit": {"S": "c"}, "at": {"N": "0"}}
    app.client.put_item(TableName=EVENTS_TABLE, Item={**key, **rest})
    check_problem(app.request("GET", path), 500)
    (line,) = app.lines("unhandled error")
    assert (line["error"], line["stream"], line["unreadable_version"]) == ("UnknownEventError", "user-1", 2)
    assert line["reason"] == "no event 'UserCreated' version 3 is registered"
    assert not PERSONAL.search(app.printed())


def test_a_missing_setting_is_500_and_no_secret(app: Application, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVENTS_TABLE")
    forget()
    check_problem(app.request("POST", "/users", ADA), 500)
    assert app.lines("unhandled error")[0]["error"] == "ValidationError"


@pytest.mark.parametrize("part", ["row_store", "tally_store", "control_store"])
def test_what_is_logged_and_kept_of_what_is_parked_quotes_nothing(
    app: Application, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def quoting(*_: object, **__: object) -> None:
        raise ValueError("Ada Lovelace")

    commits = app.append("1", UserCreated(name="Ada Lovelace"))
    for method in ("get", "checkpoints", "read"):
        monkeypatch.setattr(getattr(main.application, part), method, quoting, raising=False)
    app.project(commits)
    assert {line["error"] for line in app.lines("parked")} == {"ValueError"}
    assert [one.stream for one in app.parked()][:1] == ["user-1"]
    assert "Lovelace" not in app.printed() + str(app.parked())


@pytest.mark.parametrize(("function", "part"), [("redrive", "parked_store"), ("rebuild", "rebuild_store")])
def test_what_lambda_itself_logs_of_a_failure_quotes_nothing(
    app: Application, monkeypatch: pytest.MonkeyPatch, function: str, part: str
) -> None:
    def quoting(*_: object, **__: object) -> None:
        raise ValueError("Ada Lovelace")

    app.append("1", UserCreated(name="Ada Lovelace"))
    for method in ("get", "listed", "read"):
        monkeypatch.setattr(getattr(main.application, part), method, quoting, raising=False)
    about = {"projection": "directory", "execution": "me", "step": "begin", "source": "table", "segments": 1}
    with pytest.raises(InvocationFailedError) as raised:
        app.call(function, about)
    # As the runtime does: the type, the message and the traceback of what was raised.
    assert "Lovelace" not in "".join(traceback.format_exception(raised.value))
    assert app.lines("invocation failed")[0]["error"] == "ValueError"
    assert not PERSONAL.search(app.printed())


def test_no_name_and_no_email_is_in_any_log_line_of_a_users_life(app: Application) -> None:
    id_ = app.create(**ADA)
    app.request("PATCH", f"/users/{id_}", {"name": "Countess Lovelace"}, headers={"Idempotency-Key": "k"})
    app.request("PATCH", f"/users/{id_}", {"name": "Countess Lovelace"}, headers={"Idempotency-Key": "k"})
    app.rename(id_, *(f"Lovelace {number}" for number in range(4)))
    app.project()
    app.snapshot()
    for path in (f"/users/{id_}", f"/users/{id_}/events", f"/users/{id_}/state"):
        assert PERSONAL.search(str(app.request("GET", path).body))
    assert app.request("GET", "/users", query={"prefix": "countess lovelace"}).status == 200
    app.request("DELETE", f"/users/{id_}")
    app.client.delete_table(TableName=READ_MODELS_TABLE)
    app.request("GET", f"/users/{id_}")
    assert len(app.lines()) > 10
    assert not PERSONAL.search(app.printed())
