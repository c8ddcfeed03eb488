"""The low-level client, and what its errors mean."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache, partial
from typing import TYPE_CHECKING, Any, cast

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionError, HTTPClientError  # noqa: A004 - botocore's own name

from eventfold.core.backoff import Backoff
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.parsing import OneParse
from eventfold.dynamodb.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from botocore.session import Session
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

# What AWS says may be sent again, but for credentials that are not recognised: waiting gives no others.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
_PASSING = frozenset(
    {
        "InternalFailure",
        "InternalServerError",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "ReplicatedWriteConflictException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "Throttling",
        "ThrottlingException",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)

_USER_AGENT = f"eventfold Botocore/{botocore.__version__}"

CALL_SECONDS = 12
"""How long one call takes at the most, retries and their pauses included, with the settings below."""


@cache
def aws_session() -> Session:
    """Return the process's session: who knows profile, region or credentials better sets them before the first client.

    botocore's own, because boto3 brings its resources and transfers with it: a third of a cold start's imports.
    """
    return botocore.session.get_session()


def create_client(
    endpoint_url: str | None = None,
    *,
    connect_timeout: float = 1,
    read_timeout: float = 2,
    attempts: int = 3,
    own_transport: bool = True,
) -> DynamoDBClient:
    """Return a client that gives up, in the worst case, after `attempts` times both timeouts, in seconds, and pauses.

    botocore's defaults wait 60 s for an answer, longer than any function here may run. The region comes
    from the environment, as AWS's own tools take it; so does the endpoint, unless it is named. Requests go over
    `transport.py`, or botocore's own way where `own_transport` is false.
    """
    config = Config(
        # botocore builds its long User-Agent anew, and walks each request to check it: a fifth of a write's CPU.
        # DynamoDB checks requests too.
        user_agent=_USER_AGENT,
        parameter_validation=False,
        connect_timeout=connect_timeout,
        read_timeout=read_timeout,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    client = cast("DynamoDBClient", aws_session().create_client("dynamodb", endpoint_url=endpoint_url, config=config))
    events: Any = client.meta.events  # Typed as if no handler returned anything.
    events.register("needs-retry.dynamodb", partial(_pause_after_conflict, attempts))
    OneParse.install(client)
    if own_transport:
        Transport.install(client, aws_session())
    return client


def create_s3_client(endpoint_url: str | None = None) -> S3Client:
    """Return a client of S3 that gives up within a minute: botocore's own waits 60 s, and tries five times."""
    config = Config(connect_timeout=2, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 3})
    return cast("S3Client", aws_session().create_client("s3", endpoint_url=endpoint_url, config=config))


def _pause_after_conflict(
    most: int, response: tuple[object, Mapping[str, Any]] | None, attempts: int, **_kwargs: object
) -> float | None:
    """Have a write that met a transaction on its item sent again, in seconds from now: botocore does not by itself.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html#transaction-conflict-handling
    """
    code = response[1].get("Error", {}).get("Code") if response else None
    if code != "TransactionConflictException" or attempts >= most:
        return None
    return Backoff(base=0.05, cap=1).seconds(attempts)


def code_of(error: ClientError) -> str:
    """Return the service's name for the error."""
    return error.response.get("Error", {}).get("Code", "")


@contextmanager
def passing_errors_named() -> Iterator[None]:
    """Turn what a later try may cure into `StoreUnavailableError`; let everything else through.

    Raises:
        StoreUnavailableError: throttled, a server error, or no answer, after the client's own retries.
    """
    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code_of(error) in _PASSING or status >= 500:  # noqa: PLR2004 - HTTP's own number
            raise StoreUnavailableError(code_of(error)) from error
        raise
    except (ConnectionError, HTTPClientError) as error:
        raise StoreUnavailableError(type(error).__name__) from error
