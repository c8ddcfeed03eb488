"""Which of DynamoDB's errors a later try may cure: each is retried by the client, then named, at every call that writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from eventfold import Head, Snapshot
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.dynamodb.client import _PASSING, passing_errors_named
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rebuilds import DynamoDBRebuildStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.operations.rebuild.progress import Progress
from eventfold.read_models.generations import Control
from eventfold.read_models.parking import Parked
from eventfold.read_models.projections import Row
from eventfold.testing.commits import AT, commit
from eventfold.testing.faults import ANY, Fault, FaultInjector, pauses
from tests.conftest import EVENTS_TABLE, PARKED_TABLE, READ_MODELS_TABLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

OPERATIONS = (
    *("PutItem", "UpdateItem", "DeleteItem", "GetItem", "Query", "Scan"),
    *("BatchGetItem", "BatchWriteItem", "TransactWriteItems"),
)
FINAL = {
    "ConditionalCheckFailedException",
    "IdempotentParameterMismatchException",
    "ItemCollectionSizeLimitExceededException",  # of tables with a local secondary index
    "ResourceNotFoundException",
    "TransactionCanceledException",  # by its reasons: see test_parked_and_tallies.py
}


@pytest.fixture(autouse=True)
def waited() -> Iterator[list[float]]:
    """What the client would have waited, in seconds."""
    waited: list[float] = []
    with pauses(waited.append):
        yield waited


def test_each_error_that_botocore_knows_of_these_operations_passes_or_is_final(moto_client: DynamoDBClient) -> None:
    model = moto_client.meta.service_model
    known = {shape.name for name in OPERATIONS for shape in model.operation_model(name).error_shapes}
    assert known - _PASSING == FINAL
    assert not FINAL & _PASSING


@pytest.mark.parametrize("code", sorted(_PASSING))
def test_an_error_that_passes_is_named_and_its_code_kept(code: str) -> None:
    with pytest.raises(StoreUnavailableError, match=code), passing_errors_named():
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutItem")


@pytest.mark.parametrize("code", [*sorted(FINAL), "ValidationException", "UnrecognizedClientException"])
def test_one_that_does_not_is_raised_as_it_is(code: str) -> None:
    with pytest.raises(ClientError, match=code), passing_errors_named():
        raise ClientError({"Error": {"Code": code, "Message": ""}}, "PutItem")


def writes(client: DynamoDBClient) -> dict[str, Callable[[], object]]:
    """Return every call that writes one item by itself."""
    events = DynamoDBEventStore(client, EVENTS_TABLE)
    controls = DynamoDBRebuildStore(client, READ_MODELS_TABLE)
    parked = DynamoDBParkedStore(client, PARKED_TABLE)
    return {
        "append": lambda: events.append(commit("thing-1", 1), after=Head("thing-1", 0)),
        "snapshot": lambda: events.save_snapshot(Snapshot("thing-1", 1, "s", "{}", AT)),
        "row": lambda: DynamoDBRowStore(client, READ_MODELS_TABLE).put("p", Row("thing-1", 1, "{}"), replaces=0),
        "control": lambda: controls.write(Control.first("p").begun("table", 1, AT)),
        "progress": lambda: controls.save_progress("p.2", "fill", Progress(part=1)),
        "hold": lambda: controls.hold("p", "me", 30),
        "let go": lambda: controls.release("p", "me"),
        "park": lambda: parked.park("p", "thing-1", 1, "why"),
        "release": lambda: parked.release(Parked("p", "thing-1", 1, "why", AT, 1, "token")),
    }


def test_a_write_that_meets_another_on_its_item_is_made_again(moto_client: DynamoDBClient, waited: list[float]) -> None:
    for name, write in writes(moto_client).items():
        with FaultInjector(moto_client, seed=1).at(Fault.TRANSACTION_CONFLICT, ANY, 1) as faults:
            write()
        assert faults.counts == {Fault.TRANSACTION_CONFLICT: 1}, name
    assert len(waited) == len(writes(moto_client))
    assert max(waited) <= 0.1


@pytest.mark.parametrize("seed", range(4))  # In both forms: of a transaction, and of another Region.
def test_one_that_meets_others_at_each_try_says_that_the_store_is_unavailable(
    moto_client: DynamoDBClient, seed: int
) -> None:
    for write in writes(moto_client).values():
        with (
            FaultInjector(moto_client, seed=seed).rate(Fault.TRANSACTION_CONFLICT, 1) as faults,
            pytest.raises(StoreUnavailableError, match="ConflictException"),
        ):
            write()
        assert faults.counts == {Fault.TRANSACTION_CONFLICT: 3}
