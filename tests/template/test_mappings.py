"""What template.yaml promises: which stream records reach which function, and what becomes of those that fail."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Snapshot, StoredEvent
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item
from tests.template.declared import MAPPINGS, of_type, properties, target

if TYPE_CHECKING:
    from collections.abc import Mapping

STREAM_SECONDS = 24 * 60 * 60
"""How long DynamoDB keeps a stream record."""


def test_every_mapping_is_listed_here() -> None:
    """DynamoDB Streams serve two readers a shard: a third mapping would be throttled."""
    found = of_type("AWS::Lambda::EventSourceMapping")
    assert {name: mapping["FunctionName"]["Ref"] for name, mapping in found.items()} == MAPPINGS


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_mappings_give_up_in_time_and_keep_the_batch(mapping: str) -> None:
    """Attempts and age are finite, and what is given up reaches the bucket before the stream drops it."""
    found = properties(mapping)
    assert target(found["EventSourceArn"]) == "EventsTable.StreamArn"
    assert found["StartingPosition"] == "TRIM_HORIZON"
    assert found["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert found["BisectBatchOnFunctionError"] is True
    assert 0 < found["MaximumRetryAttempts"] <= 100
    assert 0 < found["MaximumRecordAgeInSeconds"] < STREAM_SECONDS
    assert target(found["DestinationConfig"]["OnFailure"]["Destination"]) == "FailuresBucket.Arn"


NOW = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS = (StoredEvent(type="Happened", v=1, data={}),)
COMMIT = commit_to_item(Commit(stream="user-1", version=1, events=EVENTS, id="c", at=NOW))
DUE = commit_to_item(Commit(stream="user-1", version=50, events=EVENTS, id="c", at=NOW, snapshot_due=True))
SNAPSHOT = snapshot_to_item(Snapshot(stream="user-1", version=50, schema="1", state="{}", at=NOW))


@pytest.mark.parametrize(
    ("kind", "image", "projected", "snapshotted"),
    [
        pytest.param("INSERT", COMMIT, True, False, id="commit"),
        pytest.param("INSERT", DUE, True, True, id="commit that is due"),
        pytest.param("INSERT", SNAPSHOT, False, False, id="snapshot"),
        pytest.param("MODIFY", SNAPSHOT, False, False, id="snapshot written again"),
        pytest.param("REMOVE", None, False, False, id="removal"),
    ],
)
def test_filters(kind: str, image: Mapping[str, object] | None, projected: bool, snapshotted: bool) -> None:  # noqa: FBT001 - a table of cases
    """Projections are woken by commits, snapshots by commits that are due, nobody by a snapshot."""
    record = {"eventName": kind, "dynamodb": {"Keys": {}, **({"NewImage": image} if image else {})}}
    assert passes("ProjectionsMapping", record) is projected
    assert passes("SnapshotsMapping", record) is snapshotted


def passes(mapping: str, record: Mapping[str, Any]) -> bool:
    """Tell whether a mapping's filters let a record through: any pattern does."""
    filters = properties(mapping)["FilterCriteria"]["Filters"]
    return any(matches(json.loads(found["Pattern"]), record) for found in filters)


def matches(pattern: Mapping[str, Any], value: Any) -> bool:
    """Tell whether a value matches a pattern, as far as this template goes: equal values, and `exists`.

    Rules: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
    """
    for key, rule in pattern.items():
        inner = value.get(key) if isinstance(value, dict) else None
        if isinstance(rule, dict):
            if not matches(rule, inner):
                return False
        elif rule == [{"exists": True}]:
            # True of leaves alone: an object does not "exist".
            if inner is None or isinstance(inner, dict):
                return False
        else:
            assert not any(isinstance(one, dict) for one in rule), f"not known here: {rule}"
            # Python's True equals 1, JSON's does not.
            if not any(one == inner and type(one) is type(inner) for one in rule):
                return False
    return True
