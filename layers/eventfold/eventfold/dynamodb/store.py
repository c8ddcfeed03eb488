"""The event store on DynamoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypedDict

from botocore.exceptions import ClientError

from eventfold.core.commit import (
    MAX_READ_NAME_BYTES,
    Commit,
    Head,
    Snapshot,
    check_commit,
    check_stream_name,
    together,
)
from eventfold.core.errors import (
    BrokenStreamError,
    InvalidCommitError,
    ItemTooLargeError,
    KeysHeldError,
    StreamsMovedError,
    VersionConflictError,
)
from eventfold.core.store import Item, already_appended
from eventfold.dynamodb.client import code_of, passing_errors_named
from eventfold.dynamodb.items import (
    commit_to_item,
    is_snapshot,
    item_to_commit_or_snapshot,
    snapshot_to_item,
    uncompressed_bytes,
)
from eventfold.dynamodb.transactions import MAX_ACTIONS, MAX_BYTES, ConditionFailedError, move_action, transact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import (
        AttributeValueTypeDef,
        PutItemInputTypeDef,
        QueryInputTypeDef,
        TransactWriteItemTypeDef,
    )

    from eventfold.core.unique import KeyMove

# DynamoDB reserves several hundred words, `stream` among them.
_KEY_NAMES = {"#stream": "stream", "#version": "version"}

_FURTHER = 8
"""How many times as much the third page of a read asks for, and each after it."""
MAX_PAGE_ITEMS = 10_000
"""No page is asked for more: the smallest commits fill 1 MB with as many, and there DynamoDB ends a page by itself."""


class _Condition(TypedDict):
    """What puts and checks ask for."""

    TableName: str
    ConditionExpression: str
    ExpressionAttributeNames: dict[str, str]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD"]


def check_size(commits: Sequence[Commit], guards: Sequence[Head], moves: Sequence[KeyMove]) -> None:
    """Refuse a transaction that DynamoDB would not take; before compression, as for a commit.

    Raises:
        InvalidCommitError: too many streams and keys, or too large.
    """
    if (actions := len(commits) + len(guards) + len(moves)) > MAX_ACTIONS:
        what = f"a transaction has at most {MAX_ACTIONS} streams, written and guarded, and unique keys: not {actions}"
        raise InvalidCommitError(what)
    if len(commits) > 1 and (size := sum(map(uncompressed_bytes, commits))) > MAX_BYTES:
        raise ItemTooLargeError(f"a transaction has at most {MAX_BYTES:,} bytes: not {size:,}")


class DynamoDBEventStore:
    """One item a commit, written by one conditional put: 1 request, 1 WCU a KB."""

    def __init__(self, client: DynamoDBClient, table: str, claims: str | None = None) -> None:
        """Take the event table's name, and that of the table of claims where aggregates have unique keys."""
        self._client = client
        self._table = table
        self._claims = claims

    def append(self, commit: Commit, *, after: Head | None) -> None:
        """See `EventStore.append`."""
        check_commit(commit, after)
        item = commit_to_item(commit)
        if after is None and already_appended(self, commit):
            return
        try:
            with passing_errors_named():
                self._client.put_item(Item=item, **self._nobody_has())
        except ClientError as error:
            winner = _refused_by(error)
            if winner != commit:
                raise VersionConflictError(commit.stream, commit.version, winner) from error
            # An earlier try of this very put had succeeded, and only its answer was lost.

    def append_together(
        self, commits: Sequence[Commit], *, guards: Sequence[Head] = (), moves: Sequence[KeyMove] = ()
    ) -> None:
        """See `EventStore.append_together`. 2 WCU a KB of each commit, guard and key; one commit alone as `append`."""
        linked = together(commits, guards)
        check_size(linked, guards, moves)
        if len(linked) == 1 and not guards and not moves:
            self._append_alone(linked[0])
            return
        actions: Any = [  # mypy takes no TypedDict that is spread within another for whole.
            *({"Put": {"Item": commit_to_item(one), **self._nobody_has()}} for one in linked),
            *({"ConditionCheck": {"Key": _key(one.stream, one.version + 1), **self._nobody_has()}} for one in guards),
            *(self._move(one) for one in moves),
        ]
        try:
            transact(self._client, actions)
        except ConditionFailedError as error:
            streams = [*(one.stream for one in linked), *(one.stream for one in guards)]
            winners = {streams[n]: _commit_in(item) for n, item in error.items.items() if n < len(streams)}
            if any(winners.get(one.stream) == one for one in linked):
                return  # An earlier try of this very transaction had succeeded, and only its answer was lost.
            if winners:
                raise StreamsMovedError(winners) from error
            others = [moves[n - len(streams)] for n in error.items]
            if held := tuple(one.key for one in others if one.to is not None):
                raise KeysHeldError(held) from error
            self.append_together(commits, guards=guards, moves=[one for one in moves if one not in others])

    def newest_first(
        self, stream: str, *, upto: int | None = None, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Item]:
        """See `EventStore.newest_first`."""
        query = self._query(stream, consistent=consistent)
        query["ScanIndexForward"] = False
        if upto is not None:
            query["KeyConditionExpression"] = "#stream = :stream AND #version <= :upto"
            query["ExpressionAttributeNames"] = _KEY_NAMES
            query["ExpressionAttributeValues"] = {":stream": {"S": stream}, ":upto": {"N": f"{upto}.5"}}
        if page_size is not None:
            query["Limit"] = min(page_size, MAX_PAGE_ITEMS)
        return self._pages(query)

    def oldest_first(
        self, stream: str, *, after: int = 0, page_size: int | None = None, consistent: bool = True
    ) -> Iterator[Commit]:
        """See `EventStore.oldest_first`."""
        query = self._query(stream, consistent=consistent)
        if page_size is not None:
            query["Limit"] = min(page_size, MAX_PAGE_ITEMS)
        query["KeyConditionExpression"] = "#stream = :stream AND #version > :after"
        query["ExpressionAttributeNames"] = _KEY_NAMES
        query["ExpressionAttributeValues"] = {":stream": {"S": stream}, ":after": {"N": f"{after}.5"}}
        return (item for item in self._pages(query) if isinstance(item, Commit))

    def save_snapshot(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """See `EventStore.save_snapshot`."""
        check_stream_name(snapshot.stream, MAX_READ_NAME_BYTES)
        put: PutItemInputTypeDef = {"TableName": self._table, "Item": snapshot_to_item(snapshot)}
        if not replace:
            put["ConditionExpression"] = "attribute_not_exists(#schema) OR #schema <> :schema"
            put["ExpressionAttributeNames"] = {"#schema": "schema"}
            put["ExpressionAttributeValues"] = {":schema": {"S": snapshot.schema}}
        try:
            with passing_errors_named():
                self._client.put_item(**put)
        except ClientError as error:
            if code_of(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def _append_alone(self, commit: Commit) -> None:
        try:
            self.append(commit, after=Head(commit.stream, commit.version - 1))
        except VersionConflictError as error:
            raise StreamsMovedError({error.stream: error.winner}) from error

    def _nobody_has(self) -> _Condition:
        """Return the condition that a key is free, and that what is there comes back if it is not."""
        return {
            "TableName": self._table,
            "ConditionExpression": "attribute_not_exists(#stream)",
            "ExpressionAttributeNames": {"#stream": "stream"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }

    def _move(self, move: KeyMove) -> TransactWriteItemTypeDef:
        if self._claims is None:
            raise InvalidCommitError("an aggregate has unique keys, and this store has no table of claims")
        return move_action(self._claims, move)

    def _query(self, stream: str, *, consistent: bool) -> QueryInputTypeDef:
        check_stream_name(stream, MAX_READ_NAME_BYTES)
        return self._all_of(stream, consistent=consistent)

    def _all_of(self, stream: str, *, consistent: bool) -> QueryInputTypeDef:
        return {
            "TableName": self._table,
            "KeyConditionExpression": "#stream = :stream",
            "ExpressionAttributeNames": {"#stream": "stream"},
            "ExpressionAttributeValues": {":stream": {"S": stream}},
            "ConsistentRead": consistent,
        }

    def _pages(self, query: QueryInputTypeDef) -> Iterator[Item]:
        return filter(None, map(_read, self._stored(query)))

    def _stored(self, query: QueryInputTypeDef) -> Iterator[Mapping[str, Any]]:
        """Follow every page: a page ends at 1 MB, and a stream does not.

        `Limit` is a guess at what the reader needs. Where it was not enough, as much again mostly is; then it is far.
        """
        growth = 1
        while True:
            with passing_errors_named():
                page = self._client.query(**query)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]
            del page  # One page is held at a time.
            if "Limit" in query:
                query["Limit"] = min(growth * query["Limit"], MAX_PAGE_ITEMS)
                growth = _FURTHER


def _read(item: Mapping[str, Any]) -> Item | None:
    """Read an item; None for a snapshot that can't be read: it costs a longer replay, never an answer."""
    try:
        return item_to_commit_or_snapshot(item)
    except BrokenStreamError:
        if is_snapshot(item):
            return None
        raise


def _refused_by(error: ClientError) -> Commit | None:
    """Return the commit that a refused put ran into; raise what is no refusal."""
    if code_of(error) != "ConditionalCheckFailedException":
        raise error
    return _commit_in(error.response.get("Item"))  # type: ignore[arg-type] # typed without what this error adds


def _commit_in(item: Mapping[str, Any] | None) -> Commit | None:
    there = item_to_commit_or_snapshot(item) if item else None
    return there if isinstance(there, Commit) else None


def _key(stream: str, version: int) -> dict[str, AttributeValueTypeDef]:
    return {"stream": {"S": stream}, "version": {"N": str(version)}}
