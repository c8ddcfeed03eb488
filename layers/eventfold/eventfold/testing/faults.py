"""Faults of a DynamoDB client, injected where the network is: below botocore's own retries, above the wire.

    with FaultInjector(client, seed=7).rate(Fault.THROTTLE, 0.05).at(Fault.LOST_ANSWER, "PutItem", 1) as faults:
        ...
    faults.counts[Fault.THROTTLE]

Each request that the client sends, retries among them, may meet one fault. botocore classifies, pauses and retries as
it would on AWS, so what a caller sees is what is left after that. Works against moto, DynamoDB Local and AWS.
"""

from __future__ import annotations

import io
import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

import botocore.endpoint
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_dynamodb import DynamoDBClient

_WIRE = "com.amazonaws.dynamodb.v20120810#"
ANY = "*"
_CONFLICTING = frozenset({"TransactWriteItems", "PutItem", "UpdateItem", "DeleteItem"})
_HARMLESS = "DynamoDB_20120810.ListTables"


class Fault(StrEnum):
    """What can happen to one request."""

    THROTTLE = "throttled"
    """Refused before it did anything: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html"""
    ERROR_BEFORE = "error before the request"
    """A connection error or a 500; nothing was done."""
    LOST_ANSWER = "answer lost"
    """The request was carried out; a connection error or a 500 comes in the place of its answer."""
    DELAY = "delayed"
    """Sent late."""
    TRANSACTION_CONFLICT = "transaction conflict"
    """A write refused because another one is at work on its item: a transaction, or one in another Region. Meets
    `TransactWriteItems`, `PutItem`, `UpdateItem` and `DeleteItem` alone."""
    OUT_OF_REACH = "table out of reach"
    """Each request that names a table meets a connection error; see `FaultInjector.out_of_reach`."""
    CRASH = "process crashed"
    """The process dies, before the request or after it; see `CrashError`."""


class CrashError(BaseException):
    """The end of a process: no `except Exception` of the code under test may survive it, so it is none."""


@dataclass(frozen=True)
class _Rate:
    fault: Fault
    probability: float
    operations: frozenset[str]


class FaultInjector:
    """Puts faults in a client's way, within a `with` block.

    The same seed and the same requests in the same order meet the same faults. `delay` is in seconds, `sleep` what
    waits that long.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        *,
        seed: int = 0,
        delay: float = 0.05,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.counts: Counter[Fault] = Counter()
        self.requests: Counter[str] = Counter()
        """Requests sent so far, by operation, retries among them."""
        self.out_of_reach: set[str] = set()
        """The tables that no request reaches at the moment."""
        self._events = client.meta.events
        self._random = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._delay = delay
        self._sleep = sleep
        self._rates: list[_Rate] = []
        self._named: dict[tuple[str, int], Fault] = {}
        self._texts: list[tuple[Fault, str]] = []
        self._lock = threading.Lock()
        self._now = threading.local()
        self._hooks: list[tuple[str, Callable[..., Any]]] = [
            ("before-send.dynamodb", self._before_send),
            ("needs-retry.dynamodb", self._after_answer),
            ("after-call.dynamodb", self._last_answer),
        ]

    def rate(self, fault: Fault, probability: float, operations: Collection[str] = ()) -> Self:
        """Let requests of these operations (of all, if none is named) meet the fault this often, 0 to 1."""
        self._rates.append(_Rate(fault, probability, frozenset(operations)))
        return self

    def at(self, fault: Fault, operation: str, number: int) -> Self:
        """Let one named request meet the fault: the operation's `number`-th from now on, counted from 1.

        `ANY` counts the requests of all operations.
        """
        so_far = self.requests.total() if operation == ANY else self.requests[operation]
        self._named[operation, so_far + number] = fault
        return self

    def on(self, fault: Fault, text: str, times: int = 1) -> Self:
        """Let the next `times` requests that have this text in their body meet the fault."""
        self._texts += [(fault, text)] * times
        return self

    def calm(self) -> None:
        """Let nothing happen any more."""
        self._texts.clear()
        self._rates.clear()
        self._named.clear()

    def __enter__(self) -> Self:
        for event, hook in self._hooks:
            self._events.register_first(event, hook)
        return self

    def __exit__(self, *_: object) -> None:
        for event, hook in self._hooks:
            self._events.unregister(event, hook)

    def _before_send(self, request: AWSPreparedRequest, event_name: str, **_: object) -> AWSResponse | None:
        operation = event_name.rpartition(".")[2]
        if self.out_of_reach and not self.out_of_reach.isdisjoint(_tables(request)):
            self.counts[Fault.OUT_OF_REACH] += 1
            raise ConnectTimeoutError(endpoint_url=request.url)
        with self._lock:
            fault, other = self._draw(operation, request.body)
        self._now.after = None
        match fault:
            case Fault.DELAY:
                self._sleep(self._delay)
            case Fault.CRASH if other:
                raise CrashError(f"before {operation}")
            case Fault.CRASH | Fault.LOST_ANSWER:
                self._now.after = (fault, other, operation, request.url)
            case Fault.ERROR_BEFORE if other:
                raise ConnectTimeoutError(endpoint_url=request.url)
            case Fault.ERROR_BEFORE:
                return _answered(request, 500, {"__type": f"{_WIRE}InternalServerError"})
            case Fault.THROTTLE:
                code = "ThrottlingException" if other else "ProvisionedThroughputExceededException"
                return _answered(request, 400, {"__type": _WIRE + code, "message": "injected"})
            case Fault.TRANSACTION_CONFLICT if operation == "TransactWriteItems":
                return _answered(request, 400, _cancelled(request))
            case Fault.TRANSACTION_CONFLICT:
                code = "ReplicatedWriteConflictException" if other else "TransactionConflictException"
                return _answered(request, 400, {"__type": _WIRE + code, "message": "injected"})
        return None

    def _draw(self, operation: str, body: Any) -> tuple[Fault | None, bool]:
        """Return the fault of the request that is sent now, and which of the fault's two forms it takes."""
        self.requests[operation] += 1
        fault = self._named.pop((operation, self.requests[operation]), None)
        fault = self._named.pop((ANY, self.requests.total()), fault)
        met = next((one for one in self._texts if one[1].encode() in body), None) if self._texts else None
        if met and fault is None:
            self._texts.remove(met)
            fault = met[0]
        for rate in self._rates:
            if rate.operations and operation not in rate.operations:
                continue
            if rate.fault is Fault.TRANSACTION_CONFLICT and operation not in _CONFLICTING:
                continue
            if self._random.random() < rate.probability and fault is None:
                fault = rate.fault
        if fault is not None:
            self.counts[fault] += 1
        return fault, self._random.random() < 0.5

    def _after_answer(self, response: tuple[AWSResponse, dict[str, Any]] | None, **_: object) -> None:
        after, self._now.after = getattr(self._now, "after", None), None
        if after is None:
            return
        fault, closed, operation, url = after
        if fault is Fault.CRASH:
            raise CrashError(f"after {operation}")
        if response is None:
            return  # It was lost anyway.
        http, parsed = response
        http.status_code = 500
        parsed.clear()
        parsed.update(
            Error={"Code": "InternalServerError", "Message": "injected"},
            ResponseMetadata={"HTTPStatusCode": 500, "HTTPHeaders": {}},
        )
        http.headers["x-injected"] = url if closed else ""

    @staticmethod
    def _last_answer(http_response: AWSResponse, **_: object) -> None:
        """Raise the connection error that the 500 of a last try stands for: botocore retries both alike."""
        if url := http_response.headers.get("x-injected"):
            raise ConnectionClosedError(endpoint_url=url)


def _answered(request: AWSPreparedRequest, status: int, body: Mapping[str, object]) -> AWSResponse:
    """Answer a request that is not sent.

    botocore asks all who may answer. The library's own transport is told that it is done; moto is asked all the same,
    and gets a request that changes nothing.
    """
    request.answered = True  # type: ignore[attr-defined]
    request.headers["X-Amz-Target"] = _HARMLESS
    request.body = b"{}"
    return AWSResponse(request.url, status, HTTPHeaders(), _Body(body))


def _tables(request: AWSPreparedRequest) -> set[str]:
    body: Any = json.loads(request.body or b"{}")  # type: ignore[arg-type] # bytes, as the client makes it
    actions = [action for item in body.get("TransactItems", []) for action in item.values()]
    named = [one["TableName"] for one in (body, *actions) if "TableName" in one]
    return {*named, *body.get("RequestItems", {})}


def _cancelled(request: AWSPreparedRequest) -> dict[str, object]:
    body: Any = request.body
    items = json.loads(body)["TransactItems"]
    reasons = [{"Code": "TransactionConflict", "Message": "injected"}, *({"Code": "None"} for _ in items[1:])]
    return {"__type": f"{_WIRE}TransactionCanceledException", "Message": "injected", "CancellationReasons": reasons}


class _Body:
    """An answer's body, as botocore reads it."""

    def __init__(self, body: Mapping[str, object]) -> None:
        self._file = io.BytesIO(json.dumps(body).encode())

    def stream(self) -> Iterator[bytes]:
        """Yield it whole."""
        yield self._file.read()


@contextmanager
def pauses(sleep: Callable[[float], object]) -> Iterator[None]:
    """Let botocore's pauses between two tries be spent by `sleep`: a test has no seconds to wait."""
    endpoint: Any = botocore.endpoint
    before, endpoint.time = endpoint.time, SimpleNamespace(sleep=sleep)  # all that it uses of the module
    try:
        yield
    finally:
        endpoint.time = before
