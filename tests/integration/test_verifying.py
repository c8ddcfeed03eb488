"""Verification: each fault is planted and found with its stream and place; nothing else is ever found."""

from __future__ import annotations

import zlib
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Head, Snapshot, load
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.operations.reading import StoppedError
from eventfold.operations.snapshots import Retake
from eventfold.operations.verify.counters import Reading, read_counters
from eventfold.operations.verify.finding import Finding
from eventfold.operations.verify.segment import SegmentVerification, Verified
from eventfold.operations.verify.streams import MAX_FINDINGS
from tests.conftest import EVENTS_TABLE, READ_MODELS_TABLE
from tests.domain import COUNTER, Added, Closed
from tests.verified import AT, DECIDERS, NOT_COUNTED, World

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.core.stored import StoredEvent


@pytest.fixture
def world(moto_client: DynamoDBClient) -> World:
    """Three whole streams with snapshots, rows and counters."""
    world = World(moto_client, EVENTS_TABLE, READ_MODELS_TABLE)
    for id_ in ("1", "2", "3"):
        for amounts in ((1, 2), (3,), (4, 5, 6), (7,)):
            world.append(id_, *amounts)
        assert take_snapshot(world.store, COUNTER, f"counter-{id_}", 7)
        world.append(id_, 8)
    return world


def test_a_clean_table_gives_nothing(world: World) -> None:
    assert world.findings() == set()
    assert world.verified == Verified(streams=3, commits=15, events=24, snapshots=3)


def test_a_missing_commit(world: World) -> None:
    world.client.delete_item(TableName=EVENTS_TABLE, Key={"stream": {"S": "counter-2"}, "version": {"N": "4"}})
    assert world.findings() == {Finding("counter-2", 4, "missing, up to version 6", "events"), NOT_COUNTED}


def test_a_commit_whose_sibling_is_missing_or_another(world: World) -> None:
    """As after the restore of one stream, or an import of some."""
    at = datetime(2026, 1, 2, tzinfo=UTC)
    event = (COUNTER.codec.encode(Added(amount=1)),)
    world.store.append_together([Commit(f"counter-{n}", 1, event, "together", at) for n in (7, 8, 9)])
    for stream in ("counter-7", "counter-8", "counter-9"):
        commits = list(world.store.oldest_first(stream))
        world.runner.run(world.rows, commits)
        world.runner.run(world.tally, commits)
    assert world.findings() == set()
    key = {"stream": {"S": "counter-8"}, "version": {"N": "1"}}
    item = world.client.get_item(TableName=EVENTS_TABLE, Key=key)["Item"]
    world.overwrite(item | {"commit": {"S": "another"}})
    what = "was written together with version 1 of counter-8, which is another commit"
    torn = {Finding(stream, 1, what, "events") for stream in ("counter-7", "counter-9")}
    others = {
        Finding("counter-8", 1, f"was written together with version 1 of {stream}, which is another commit", "events")
        for stream in ("counter-7", "counter-9")
    }
    assert world.findings() == torn | others
    world.client.delete_item(TableName=EVENTS_TABLE, Key=key)
    missing = {replace(one, what=one.what.replace("another commit", "missing")) for one in torn}
    assert {one for one in world.findings() if one.where == "events"} == missing


def test_a_missing_first_commit(world: World) -> None:
    world.client.delete_item(TableName=EVENTS_TABLE, Key={"stream": {"S": "counter-2"}, "version": {"N": "1"}})
    assert world.findings() == {Finding("counter-2", 1, "missing, up to version 2", "events"), NOT_COUNTED}


def lost_counts(stored: int, counted: int) -> set[Finding]:
    return {Finding("", None, f"counter events of all is {stored}, and by the events {counted}", "added")}


def test_an_overlap(world: World) -> None:
    one = COUNTER.codec.encode(Added(amount=1))
    world.overwrite(commit_to_item(Commit("counter-2", 5, (one,), "other", AT)))
    (found,) = {one for one in world.findings() if one.where == "events"}
    assert (found.stream, found.version) == ("counter-2", 5)
    assert found.what == "the commit overlaps the one before, which ends at version 6"


@pytest.mark.parametrize(
    "bad",
    [{"type": "Renamed", "v": 7, "data": {"name": "secret"}}, {"type": "Added", "v": 1, "data": {"amount": "secret"}}],
)
def test_an_event_that_does_not_decode(world: World, bad: StoredEvent) -> None:
    good = COUNTER.codec.encode(Added(amount=5))
    world.overwrite(commit_to_item(Commit("counter-3", 4, (good, bad, good), "c", AT, digest="d")))
    (found,) = {one for one in world.findings() if one.where == "events"}
    assert (found.stream, found.version) == ("counter-3", 5)
    assert bad["type"] in found.what
    assert "secret" not in str(found)


def test_an_unreadable_item(world: World) -> None:
    item = commit_to_item(Commit("counter-3", 4, (COUNTER.codec.encode(Closed()),) * 3, "c", AT))
    world.overwrite({**item, "events": {"S": '[{"secret'}})
    (found,) = {one for one in world.findings() if one.where == "events"}
    assert (found.stream, found.version) == ("counter-3", 4)
    assert "not a commit or snapshot" in found.what
    assert "secret" not in str(found)


def test_an_unreadable_item_inside_a_commit_is_a_fault_of_the_events(world: World) -> None:
    world.overwrite({"stream": {"S": "counter-3"}, "version": {"N": "5"}})
    (found,) = {one for one in world.findings() if one.where == "events"}
    assert (found.stream, found.version) == ("counter-3", 5)


def test_an_unreadable_snapshot_does_not_spoil_what_follows(world: World) -> None:
    (snapshot,) = [one for one in world.store.items("counter-1") if isinstance(one, Snapshot)]
    item = snapshot_to_item(snapshot)
    del item["at"]
    world.overwrite(item)
    (found,) = world.findings()
    assert (found.stream, found.version, found.where) == ("counter-1", 7, "snapshot")
    world.append("1", 9)
    assert load(world.store, COUNTER, "counter-1").state.total == 45
    retake(world)
    assert world.findings() == set()
    assert load(world.store, COUNTER, "counter-1").snapshot_version == 9


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"state": {"S": '{"total": 29}'}}, "its state is not what the replay gives"),
        ({"state": {"S": '{"total": "x"}'}}, "its state can't be read, though it says that it has the present schema"),
        ({"refs": {"S": '[["1/0", 2, "d"]]'}}, "the commits that it remembers for idempotency are not those before it"),
        ({"version": {"N": "5.5"}}, "lies behind no commit that ends there, but behind version 6"),
    ],
)
def test_a_wrong_snapshot(world: World, changes: Any, what: str) -> None:
    (snapshot,) = [one for one in world.store.items("counter-1") if isinstance(one, Snapshot)]
    world.overwrite({**snapshot_to_item(snapshot), **changes})
    (found,) = world.findings()
    version = 5 if "version" in changes else 7
    assert found == Finding("counter-1", version, what, "snapshot")
    retake(world)
    assert world.findings() == set()
    assert load(world.store, COUNTER, "counter-1").state.total == 36


def retake(world: World, stream: str = "counter-1") -> list[Snapshot]:
    """Put a stream's snapshots right, and show that a second time writes nothing."""
    one, again = (Retake(world.store, DECIDERS, stream) for _ in range(2))
    one.run()
    again.run()
    assert again.written == []
    return one.written


def test_time_that_runs_backwards(world: World) -> None:
    one = COUNTER.codec.encode(Added(amount=1))
    late = Commit("counter-2", 9, (one,), "late", AT - timedelta(milliseconds=1))
    world.store.append(late, after=Head("counter-2", 8))
    world.runner.run(world.rows, [late])
    world.runner.run(world.tally, [late])
    assert world.findings() == {Finding("counter-2", 9, "its time is before that of the commit before it", "events")}


def test_text_that_can_not_be_read_is_not_quoted(world: World) -> None:
    (snapshot,) = [one for one in world.store.items("counter-1") if isinstance(one, Snapshot)]
    state: Any = {"B": zlib.compress(b"\xff secret")}
    world.overwrite({**snapshot_to_item(snapshot), "state": state})
    (found,) = world.findings()
    assert (found.stream, found.version, found.where) == ("counter-1", 7, "snapshot")
    assert "secret" not in str(found)


def test_a_snapshot_of_another_schema_is_counted_and_no_fault(world: World) -> None:
    (snapshot,) = [one for one in world.store.items("counter-1") if isinstance(one, Snapshot)]
    world.overwrite({**snapshot_to_item(snapshot), "schema": {"S": "old"}, "state": {"S": "{}"}})
    assert world.findings() == set()
    assert world.verified.other_schemas == 1


def test_a_wrong_row(world: World) -> None:
    world.change_row("counter-1", row={"S": '{"total":35}'})
    world.change_row("counter-2", sort={"S": "000000037\0counter-2"})
    what = "is not what its events make"
    assert world.findings() == {Finding(f"counter-{id_}", 8, what, "totals") for id_ in ("1", "2")}


def test_a_row_that_is_no_row(world: World) -> None:
    world.change_row("counter-1", version={"S": "x"})
    assert world.findings() == {Finding("counter-1", None, "can't be read: KeyError", "totals")}


def test_a_row_that_is_behind_and_one_ahead(world: World) -> None:
    seven = {"version": {"N": "7"}, "shown": {"N": "7"}}
    world.change_row("counter-1", **seven, row={"S": '{"total":28}'}, sort={"S": "000000028\0counter-1"})
    world.change_row("counter-2", version={"N": "9"})
    assert world.findings() == {
        Finding("counter-1", 7, "is behind: its stream is at version 8 at least", "totals"),
        Finding("counter-2", 9, "its stream ends at version 8", "totals"),
    }


def test_a_row_that_is_behind_and_wrong_is_both(world: World) -> None:
    world.change_row("counter-1", version={"N": "7"})
    assert {one.what for one in world.findings()} == {
        "is behind: its stream is at version 8 at least",
        "is not what its events make",
    }


def test_a_missing_row_and_a_missing_checkpoint(world: World) -> None:
    for key in ("totals#counter-3", "added@counter-3"):
        world.client.delete_item(TableName=READ_MODELS_TABLE, Key={"key": {"S": key}})
    missing = {Finding("counter-3", None, "is missing", where) for where in ("totals", "added")}
    assert world.findings() == missing | lost_counts(24, 16)


def test_orphans(world: World) -> None:
    for key in ("totals#counter-9", "added@counter-9", "totals#other-1"):
        item: Any = {"key": {"S": key}, "version": {"N": "1"}}
        world.client.put_item(TableName=READ_MODELS_TABLE, Item=item)
    assert world.findings() == {
        Finding("counter-9", None, "is stored, though there is no such stream", "totals"),
        Finding("counter-9", None, "is stored, though there is no such stream", "added"),
        Finding("other-1", None, "is stored, though the read model does not follow this stream", "totals"),
    }


def test_a_wrong_counter(world: World) -> None:
    item: Any = {"key": {"S": "added#all#0"}, "events": {"N": "1"}}
    before = world.totals()
    world.client.put_item(TableName=READ_MODELS_TABLE, Item=item)
    stored = world.totals()
    assert stored != before
    assert world.findings() == lost_counts(stored, 24)


@pytest.mark.parametrize("value", [{"S": "secret"}, {"N": "1.5"}])
def test_a_counter_that_is_no_number_is_a_finding_of_its_row(world: World, value: Any) -> None:
    item: Any = {"key": {"S": "added#all#3"}, "events": value}
    world.client.put_item(TableName=READ_MODELS_TABLE, Item=item)
    assert world.findings() == {Finding("", None, "counters of all can't be read", "added")}
    other: Any = {"key": {"S": "added#some#0"}, "events": {"N": "7"}}
    world.client.put_item(TableName=READ_MODELS_TABLE, Item=other)
    assert read_counters(world.tally, ["all", "some"]) == Reading({"some": {"events": 7}}, {"all"})


@pytest.mark.parametrize("shard", [None, {"S": "totals#1"}, {"S": "added#0"}])
def test_a_row_that_no_list_finds(world: World, shard: Any) -> None:
    key: Any = {"key": {"S": "totals#counter-1"}}
    item = world.client.get_item(TableName=READ_MODELS_TABLE, Key=key)["Item"]
    del item["shard"]
    world.client.put_item(TableName=READ_MODELS_TABLE, Item={**item, **({"shard": shard} if shard else {})})
    assert world.rows._rows.listed("totals", prefix="", after=None, limit=9) == list(
        world.rows.read(["counter-2", "counter-3"]).values()
    )
    assert world.findings() == {Finding("counter-1", 8, "is not what its events make", "totals")}


def test_a_stream_of_an_aggregate_that_the_code_does_not_have(world: World) -> None:
    one: StoredEvent = {"type": "Opened", "v": 1, "data": {}}
    world.store.append(Commit("account-1", 1, (one,), "a", AT), after=Head("account-1", 0))
    assert world.findings() == {Finding("account-1", None, "the code has no aggregate of this category", "events")}


def test_a_name_that_is_no_stream_s(world: World) -> None:
    world.overwrite({"stream": {"S": "nonsense"}, "version": {"N": "1"}})
    world.overwrite({"stream": {"S": "counter-"}, "version": {"N": "1"}})
    assert {one.stream for one in world.findings()} == {"nonsense", "counter-"}


def test_a_stream_that_is_broken_at_every_event_is_listed_in_part(world: World) -> None:
    bad: StoredEvent = {"type": "Added", "v": 9, "data": {}}
    for n in range(40):
        world.overwrite(commit_to_item(Commit("counter-4", n + 1, (bad,), f"c{n}", AT)))
    found = [one for one in world.findings() if one.stream == "counter-4"]
    assert len(found) == MAX_FINDINGS + 1
    assert Finding("counter-4", None, "more is wrong than is listed", "events") in found


def test_a_projection_that_raises_is_a_finding_of_its_read_model(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.rows, "fold", refuse)
    assert {(one.stream, one.where) for one in world.findings()} == {(f"counter-{n}", "totals") for n in (1, 2, 3)}


def test_what_a_scan_only_seems_to_lack_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = ScannableDynamoDBEventStore.scan

    def halved(store: ScannableDynamoDBEventStore, segment: int, segments: int, **more: Any) -> Any:
        for page in scan(store, segment, segments, **more):
            yield type(page)(page.items[::2], page.read_units)

    monkeypatch.setattr(ScannableDynamoDBEventStore, "scan", halved)
    assert world.findings() == set()
    assert world.verified.events == 24


def test_a_stream_in_two_parts_is_counted_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = ScannableDynamoDBEventStore.scan

    def cut(store: ScannableDynamoDBEventStore, segment: int, segments: int, **more: Any) -> Any:
        items = [item for n in range(segments) for page in scan(store, n, segments, **more) for item in page.items]
        yield type(next(scan(store, 0, 1)))(tuple(one for one in items if (one.version > 3) == (segment > 0)), 1)

    monkeypatch.setattr(ScannableDynamoDBEventStore, "scan", cut)
    assert world.findings() == set()


def test_it_stops_when_told(world: World) -> None:
    run = SegmentVerification(world.store, DECIDERS, (), 0, 1, stop=lambda: True)
    with pytest.raises(StoppedError):
        list(run.findings())
