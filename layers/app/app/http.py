"""What all routes share: the resolver, the checks on a body, who asks, and the caller's own headers."""

from __future__ import annotations

import base64
import re
from http import HTTPStatus
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.openapi.params import Body, Header, Path
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, GetCoreSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, core_schema, from_json, to_json

from app import main
from app.callers import caller_of
from app.problems import RequestError, answer
from app.telemetry import logger
from eventfold import Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

__all__ = [
    "Api",
    "Id",
    "IdempotencyKey",
    "IfMatch",
    "Json",
    "LambdaContext",
    "Response",
    "Versioned",
    "etag",
    "json_response",
    "request_of",
    "versioned",
]

MAX_BODY_BYTES = 64 * 1024
"""Far above any command here, far below what an event item holds."""
_MAX_BASE64_CHARACTERS = (MAX_BODY_BYTES + 2) // 3 * 4
JSON = "application/json"

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Its id.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,128}$",
        description="Names this request: sent again, it answers as it did the first time and changes nothing.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description='The ETag that it must still have, as `"3"`, or `*` for any.'),
]

_NOBODYS_KEY = (
    "An Idempotency-Key is one caller's, and this caller can't be told from others: "
    "the token has neither a subject (sub) nor a client (client_id). Send the request without a key."
)
_CORRELATION_ID = re.compile(r"[A-Za-z0-9._:/=+;-]{1,128}")
"""What ids are made of (UUIDs, `traceparent`, X-Ray's): it goes into logs, where an e-mail address has no place."""


class _FromJson:
    """Validates a body as the JSON that it was: strict, and yet a date is text and a tuple a list."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        adapter = TypeAdapter(source)
        return core_schema.no_info_wrap_validator_function(
            lambda body, _: adapter.validate_json(to_json(body)), handler(source)
        )


_Model = TypeVar("_Model", bound=BaseModel)
# Not a `type` statement: Powertools does not look into those.
Json = Annotated[_Model, _FromJson(), Body()]
"""A body, in a route's signature: `command: Json[CreateUser]`."""


class Api(APIGatewayHttpResolver):
    """Powertools' resolver with every exception answered as a problem, and bodies checked before it reads them."""

    def __init__(self, packages: Iterable[str], part: str) -> None:
        """Take the `routes` of a module of each package, where it has one: of `commands`, or of `queries`."""
        super().__init__(enable_validation=True, json_body_deserializer=_read_json)
        self.exception_handler(Exception)(answer)
        for package in packages:
            if find_spec(f"{package}.{part}"):
                self.include_router(import_module(f"{package}.{part}").routes)

    def resolve(self, event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
        """Answer one request. Each log line in between carries its correlation id.

        The base path of a custom domain is taken off the path that comes, and put before the one that is answered.
        """
        base = ""
        headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
        sent = headers.get("x-correlation-id", "")
        correlation_id = sent if _CORRELATION_ID.fullmatch(sent) else event["requestContext"]["requestId"]
        logger.set_correlation_id(correlation_id)
        try:
            base = main.application.settings.base_path
            body = _read_body(event, headers)
            # From here on a body is text and JSON: Powertools would read it by a type that it compares by case.
            headers["content-type"] = JSON
            path = event["rawPath"]
            if base and path.startswith(f"{base}/"):
                path = path.removeprefix(base)
            plain = {**event, "rawPath": path, "headers": headers, "body": body, "isBase64Encoded": False}
            response: dict[str, Any] = super().resolve(plain, context)
        except Exception as error:  # noqa: BLE001 - no caller sees a trace
            problem = answer(error)
            response = {
                "statusCode": problem.status_code,
                "headers": {"Content-Type": problem.content_type},
                "body": problem.body,
            }
        response["headers"]["X-Correlation-Id"] = correlation_id
        if "Location" in response["headers"]:
            response["headers"]["Location"] = base + response["headers"]["Location"]
        response["body"] = response["body"] or ""
        return response


def request_of(event: APIGatewayProxyEventV2, key: str | None = None, if_match: str | None = None) -> Request:
    """Return what comes with a command: key, expected version, and the metadata stored with its events.

    Raises:
        RequestError: `If-Match` is not an ETag of ours, or a key came from a caller that can't be told from others.
    """
    caller = caller_of(event.raw_event["requestContext"].get("authorizer"))
    if key is not None and caller.keys is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, _NOBODYS_KEY)
    meta = {"correlation_id": logger.get_correlation_id() or event.request_context.request_id}
    if caller.actor:
        meta["actor"] = caller.actor
    return Request(key=key, caller=caller.keys or "", expected_version=_expected_version(if_match), meta=meta)


class Versioned(BaseModel, frozen=True):
    """What a command answers: the aggregate, and its version after it."""

    id: str
    version: int


def versioned(status: HTTPStatus, id_: str, version: int, **headers: str) -> Response[Versioned]:
    """Answer a command, the new version as ETag too."""
    return json_response(Versioned(id=id_, version=version), status, ETag=etag(version), **headers)


def json_response[T: BaseModel](body: T, status: HTTPStatus = HTTPStatus.OK, **headers: str) -> Response[T]:
    """Answer with a model as JSON and with headers."""
    return Response(status, JSON, body, dict(headers))


def etag(version: int) -> str:
    """Return a version as an ETag."""
    return f'"{version}"'


def _expected_version(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    if re.fullmatch(r'\s*W/"[^"]*"\s*', if_match):
        return -1  # If-Match compares strongly, and a weak ETag equals nothing: RFC 9110, 13.1.1.
    match = re.fullmatch(r'\s*"(0|[1-9][0-9]{0,17})"\s*', if_match)
    if match is None:
        raise RequestError(HTTPStatus.BAD_REQUEST, 'If-Match takes one ETag as this API gives it: "3", or *.')
    return int(match[1])


def _read_body(event: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return the body as text.

    Raises:
        RequestError: it is too large, no JSON by its type, or no UTF-8.
    """
    body = event.get("body") or ""
    encoded = event.get("isBase64Encoded", False)
    if len(body) > (_MAX_BASE64_CHARACTERS if encoded else MAX_BODY_BYTES):
        raise _too_large()
    if body and headers.get("content-type", JSON).partition(";")[0].strip().lower() != JSON:
        raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "A body is sent as application/json.")
    try:
        raw = base64.b64decode(body, validate=True) if encoded else body.encode()
        text = raw.decode()
    except ValueError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, "The body is not UTF-8.") from error
    if len(raw) > MAX_BODY_BYTES:
        raise _too_large()
    return text


def _too_large() -> RequestError:
    return RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A body has at most {MAX_BODY_BYTES // 1024} KB.")


def _read_json(text: str) -> dict[str, Any]:
    """Parse a body; unlike the standard library's parser this one refuses NaN, and depth instead of crashing.

    Raises:
        RequestError: it is not JSON, or no object: Powertools would take the first object out of a list.
    """
    try:
        body = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise RequestError(HTTPStatus.BAD_REQUEST, "The body is not JSON.") from error
    if not isinstance(body, dict):
        raise RequestError(HTTPStatus.UNPROCESSABLE_ENTITY, "The body is not a JSON object.")
    return body
