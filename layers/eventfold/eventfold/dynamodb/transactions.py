"""Transactions: several writes, all or none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from eventfold.core.backoff import Backoff
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb.client import code_of, passing_errors_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import TransactWriteItemTypeDef

    from eventfold.core.unique import KeyMove

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/transaction-apis.html
MAX_ACTIONS = 100
MAX_BYTES = 4 * 1024 * 1024

_BACKOFF = Backoff(attempts=8, base=0.02, cap=2)
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
_PASSING_REASONS = {"TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"}
_REFUSED = "ConditionalCheckFailed"


class ConditionFailedError(Exception):
    """Some conditions of a transaction do not hold: `items` has by action what is there, where it was asked for."""

    def __init__(self, items: Mapping[int, Mapping[str, Any] | None]) -> None:
        super().__init__(f"{len(items)} conditions do not hold")
        self.items = items


def transact(client: DynamoDBClient, actions: Sequence[TransactWriteItemTypeDef]) -> None:
    """Write all or nothing: one request, again where other transactions were in its way.

    Raises:
        ConditionFailedError: nothing was written.
        StoreUnavailableError: throttled or out of reach; whether it was written is not known.
    """
    for attempt in range(_BACKOFF.attempts):
        try:
            with passing_errors_named():
                client.transact_write_items(TransactItems=actions)
        except ClientError as error:
            reasons = _reasons(error)
            failed = {n: one.get("Item") for n, one in enumerate(reasons) if one.get("Code") == _REFUSED}
            if failed:
                raise ConditionFailedError(failed) from error
            if _PASSING_REASONS.isdisjoint(one.get("Code") for one in reasons):
                raise
            _BACKOFF.wait(attempt)
        else:
            return
    raise StoreUnavailableError("other transactions were in the way")


def move_action(table: str, move: KeyMove) -> TransactWriteItemTypeDef:
    """Return a unique key's part in a transaction: 2 WCU. WARNING: its names are the stored format of claims."""
    holders = {f":h{number}": {"S": stream} for number, stream in enumerate(move.held_by)}
    part: Any = {
        "TableName": table,
        "ConditionExpression": f"attribute_not_exists(#key) OR #stream IN ({', '.join(holders)})",
        "ExpressionAttributeNames": {"#key": "key", "#stream": "stream"},
        "ExpressionAttributeValues": holders,
    }
    if move.to is None:
        return {"Delete": {"Key": {"key": {"S": move.key}}} | part}
    return {"Put": {"Item": {"key": {"S": move.key}, "stream": {"S": move.to}}} | part}


def _reasons(error: ClientError) -> Sequence[Mapping[str, Any]]:
    """Return why a transaction was cancelled, action by action; raise what is no cancellation."""
    if code_of(error) != "TransactionCanceledException":
        raise error
    reasons: Sequence[Mapping[str, Any]] = error.response.get("CancellationReasons", [])
    return reasons
