"""Export and import: what comes out is what went in, and what can't go in says where it stopped."""

from __future__ import annotations

import json
from copy import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Commit, Head, Snapshot
from eventfold.core.commit import CommitPlace
from eventfold.core.errors import BrokenStreamError, StoreUnavailableError, TransferError
from eventfold.dynamodb.items import commit_to_item
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.memory import MemoryEventStore
from eventfold.operations.transfer.exporting import Moved, export_events, read_lines, to_line
from eventfold.operations.transfer.importing import Importer
from tests.conftest import EVENTS_TABLE
from tests.domain import COUNTER, Added

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.core.stored import StoredEvent
    from eventfold.operations.verify.read_models import VerifiableStore

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEADER = b'{"format":"eventfold-events","version":3}\n'


def commit(id_: str, version: int, events: int = 1, **more: Any) -> Commit:
    stored = tuple(COUNTER.codec.encode(Added(amount=version + n)) for n in range(events))
    return replace(Commit(f"counter-{id_}", version, stored, f"{id_}/{version}", AT), **more)


def fill(store: VerifiableStore, *commits: Commit) -> None:
    for one in commits:
        store.append(one, after=Head(one.stream, one.version - 1))


def exported(store: VerifiableStore) -> list[bytes]:
    lines: list[bytes] = []
    export_events(store, lines.append)
    return lines


def imported(store: VerifiableStore, lines: list[bytes]) -> Moved:
    return Importer(store).run(read_lines(lines))


@pytest.fixture(params=["memory", "moto"])
def store(request: pytest.FixtureRequest) -> VerifiableStore:
    if request.param == "memory":
        return MemoryEventStore()
    return ScannableDynamoDBEventStore(request.getfixturevalue("moto_client"), EVENTS_TABLE)


EVERYTHING = [
    commit("1", 1, 2, meta={"actor": "é"}, digest="d", snapshot_due=True, at=AT + timedelta(milliseconds=7)),
    commit("1", 3),
    commit("a#b@c", 1),
]


def test_what_is_exported_is_imported_as_it_was(store: VerifiableStore) -> None:
    fill(store, *EVERYTHING)
    store.save_snapshot(Snapshot("counter-1", 2, "s", "{}", AT))
    lines = exported(store)
    assert lines[0] == HEADER
    assert len(lines) == 4
    other = MemoryEventStore()
    assert imported(other, lines) == Moved(streams=2, commits=3, events=4)
    assert list(other.oldest_first("counter-1")) == EVERYTHING[:2]
    assert sorted(exported(other)) == sorted(lines)


def test_a_line_has_these_names_for_ever() -> None:
    assert json.loads(to_line(EVERYTHING[0])) == {
        "stream": "counter-1",
        "version": 1,
        "events": [
            {"type": "Added", "v": 1, "data": {"amount": 1}},
            {"type": "Added", "v": 1, "data": {"amount": 2}},
        ],
        "id": "1/1",
        "at": "2026-01-01T00:00:00.007000Z",
        "meta": {"actor": "é"},
        "digest": "d",
        "snapshot_due": True,
        "siblings": [],
        "copies": [],
    }
    together = replace(EVERYTHING[0], siblings=(CommitPlace("counter-2", 7),))
    assert json.loads(to_line(together))["siblings"] == [["counter-2", 7]]


@pytest.mark.parametrize(("version", "later"), [(b"1", b',"siblings":[],"copies":[]'), (b"2", b',"copies":[]')])
def test_a_file_of_an_earlier_version_is_read_as_it_was(store: VerifiableStore, version: bytes, later: bytes) -> None:
    lines = [to_line(one).replace(later, b"") for one in EVERYTHING]
    assert later not in b"".join(lines)
    imported(store, [HEADER.replace(b"3", version), *lines])
    assert list(store.oldest_first("counter-1")) == EVERYTHING[:2]


def test_what_was_written_together_stays_together(store: VerifiableStore) -> None:
    store.append_together([commit(one, 1, id="together") for one in ("1", "2")])
    other = MemoryEventStore()
    imported(other, exported(store))
    assert sorted(exported(other)) == sorted(exported(store))
    (one,) = other.oldest_first("counter-2")
    assert one.siblings == (CommitPlace("counter-1", 1),)


def test_100_000_events_round_trip_identically() -> None:
    store = MemoryEventStore()
    for stream in range(2_500):
        fill(store, *(commit(str(stream), 1 + 4 * n, 4, meta={"actor": f"é{n}"}) for n in range(10)))
    lines = exported(store)
    other = MemoryEventStore()
    assert imported(other, lines) == Moved(streams=2_500, commits=25_000, events=100_000)
    assert exported(other) == lines  # The memory store scans in order of stream.


def test_an_import_again_writes_nothing_and_goes_on_where_it_was_cut(store: VerifiableStore) -> None:
    source = MemoryEventStore()
    fill(source, *(commit(str(stream), version) for stream in range(5) for version in range(1, 5)))
    lines = exported(source)
    imported(store, lines[:11])
    assert imported(store, lines) == Moved(streams=5, commits=10, events=10, there=10)
    assert imported(store, lines) == Moved(streams=5, there=20)
    assert imported(store, [*lines, *lines[1:]]).there == 40
    assert sorted(exported(store)) == sorted(lines)


def test_an_import_goes_on_behind_what_the_table_has(store: VerifiableStore) -> None:
    fill(store, commit("1", 1, 2), commit("1", 3))
    assert imported(store, [HEADER, to_line(commit("1", 4))]) == Moved(streams=1, commits=1, events=1)
    assert [one.version for one in store.oldest_first("counter-1")] == [1, 3, 4]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([commit("1", 3, id="other")], "Line 2: stream 'counter-1', version 3: the table has another commit there"),
        ([commit("1", 3, 2)], "Line 2: stream 'counter-1', version 3: the table has another commit there"),
        ([commit("1", 1)], "Line 2: stream 'counter-1', version 1: the table has another commit there"),
        ([commit("1", 2)], "Line 2: stream 'counter-1', version 2: the table has another commit there"),
        ([commit("1", 5)], "Line 2: stream 'counter-1': version 5 does not follow 'counter-1' at 3"),
        ([commit("9", 2)], "Line 2: stream 'counter-9': version 2 does not follow 'counter-9' at 0"),
        ([commit("9", 1), commit("9", 3)], "Line 3: stream 'counter-9': version 3 does not follow 'counter-9' at 1"),
        ([commit("", 1)], "Line 2: a stream is named category-id, both not empty, not 'counter-'"),
    ],
)
def test_what_does_not_fit_the_table_stops_the_import(
    store: VerifiableStore, lines: list[Commit], message: str
) -> None:
    fill(store, commit("1", 1, 2), commit("1", 3))
    with pytest.raises(TransferError) as raised:
        imported(store, [HEADER, *map(to_line, lines)])
    assert str(raised.value) == message
    assert [one.version for one in store.oldest_first("counter-1")] == [1, 3]


def test_the_time_of_a_commit_is_part_of_it(store: VerifiableStore) -> None:
    fill(store, commit("1", 1))
    with pytest.raises(TransferError, match="another commit"):
        imported(store, [HEADER, to_line(commit("1", 1, at=AT + timedelta(seconds=1)))])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"stream": "counter-1", "sec', "Line 3 is not a commit: the whole: json_invalid"),
        (b"\xff\xfe\n", "Line 3 is not a commit: the whole: json_invalid"),
        (
            b"{}\n",
            "Line 3 is not a commit: at: missing, events: missing, id: missing, stream: missing, version: missing",
        ),
        (b"[]\n", "Line 3 is not a commit: the whole: model_type"),
        (
            to_line(commit("1", 2)).replace(b'"version":2', b'"version":0'),
            "Line 3 is not a commit: version: greater_than",
        ),
        (
            to_line(commit("1", 2)).replace(b'"v":1', b'"w":1'),
            "Line 3 is not a commit: events.0.*: extra_forbidden, events.0.v: missing",
        ),
        (to_line(commit("1", 2)).replace(b'"digest"', b'"secret"'), "Line 3 is not a commit: *: extra_forbidden"),
        (to_line(commit("1", 2)).replace(b"00Z", b"00"), "Line 3 is not a commit: at: timezone_aware"),
        (
            to_line(commit("1", 2)).replace(b"2026-01-01T00:00:00Z", b"9999-12-31T23:59:59-14:00"),
            "Line 3 is not a commit: a commit's time lies in the years 1 to 9999 of UTC: 9999-12-31T23:59:59-14:00",
        ),
        (
            to_line(commit("1", 2)).replace(b":00Z", b":00.000001Z"),
            "Line 3 is not a commit: its time has more than milliseconds",
        ),
    ],
)
def test_a_malformed_line_is_named_and_nothing_behind_it_is_written(line: bytes, message: str) -> None:
    store = MemoryEventStore()
    with pytest.raises(TransferError) as raised:
        imported(store, [HEADER, to_line(commit("1", 1)), line, to_line(commit("1", 2)), to_line(commit("2", 1))])
    assert str(raised.value) == message
    assert list(store.oldest_first("counter-1")) == [commit("1", 1)]
    assert list(store.oldest_first("counter-2")) == []


@pytest.mark.parametrize("first", [b"", b"{}\n", to_line(commit("1", 1)), b'{"format":"other","version":1}\n'])
def test_a_file_without_a_header_is_refused(first: bytes) -> None:
    with pytest.raises(TransferError, match="Line 1 is no header"):
        list(read_lines([first]))


def test_a_newer_format_is_refused() -> None:
    with pytest.raises(TransferError, match="Format version 4 is newer"):
        list(read_lines([HEADER.replace(b"3", b"4")]))


def test_no_line_behind_a_refused_one_is_written_in_its_stream() -> None:
    store = MemoryEventStore()
    fill(store, commit("1", 1, id="other"))
    with pytest.raises(TransferError, match="Line 2"):
        imported(store, [HEADER, *(to_line(commit("1", version)) for version in range(1, 9))])
    assert [one.version for one in store.oldest_first("counter-1")] == [1]


def test_an_import_waits_for_a_throttled_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    store = MemoryEventStore()
    append, calls = store.append, []

    def throttled(one: Commit, *, after: Head | None) -> None:
        calls.append(one)
        if len(calls) % 3:
            raise StoreUnavailableError("throttled")
        append(one, after=after)

    monkeypatch.setattr(store, "append", throttled)
    assert imported(store, [HEADER, *map(to_line, EVERYTHING)]).commits == 3
    monkeypatch.setattr(store, "append", lambda *_, **__: throttled_for_ever())
    with pytest.raises(StoreUnavailableError):
        imported(store, [HEADER, to_line(commit("7", 1))])


def throttled_for_ever() -> None:
    raise StoreUnavailableError("throttled")


def test_an_export_reads_what_a_scan_has_missed(store: VerifiableStore, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(store, *(commit("1", version) for version in range(1, 8)))
    lines, scan = exported(store), store.scan

    def halved(segment: int, segments: int, **more: Any) -> Iterator[Any]:
        for page in scan(segment, segments, **more):
            yield replace(page, items=page.items[1::2])

    monkeypatch.setattr(store, "scan", halved)
    assert exported(store) == lines


def test_a_broken_stream_is_not_exported(moto_client: DynamoDBClient) -> None:
    store = ScannableDynamoDBEventStore(moto_client, EVENTS_TABLE)
    fill(store, *(commit("1", version) for version in range(1, 8)))
    key: Any = {"stream": {"S": "counter-1"}, "version": {"N": "4"}}
    moto_client.delete_item(TableName=EVENTS_TABLE, Key=key)
    with pytest.raises(BrokenStreamError, match="'counter-1', version 4"):
        exported(store)
    moto_client.put_item(TableName=EVENTS_TABLE, Item={**key, "events": {"S": "["}})
    with pytest.raises(BrokenStreamError, match="'counter-1', version 4"):
        exported(store)


FOUR = commit_to_item(commit("1", 4, 3))
FAULTS: list[tuple[Any, int, str]] = [
    ({**FOUR, "events": {"S": "["}}, 4, "not a commit or snapshot"),
    ({**FOUR, "meta": {"S": "["}}, 4, "not a commit or snapshot"),
    ({"stream": FOUR["stream"], "version": {"N": "2"}}, 2, "not a commit or snapshot"),
    (commit_to_item(commit("1", 2)), 2, "overlaps the commit before, which ends at 3"),
    (commit_to_item(commit("1", 4, 0)), 4, "the commit has no events"),
]


@pytest.mark.parametrize("followed", [False, True])
@pytest.mark.parametrize(("fault", "version", "what"), FAULTS)
def test_nothing_that_is_broken_is_left_out_of_an_export_without_a_word(
    moto_client: DynamoDBClient, fault: Any, version: int, what: str, *, followed: bool
) -> None:
    store = ScannableDynamoDBEventStore(moto_client, EVENTS_TABLE)
    fill(store, commit("1", 1, 3), commit("2", 1))
    moto_client.put_item(TableName=EVENTS_TABLE, Item=fault)
    if followed:
        fill(store, commit("1", 7 if version == 4 else 4))
    with pytest.raises(BrokenStreamError, match=f"'counter-1', version {version}: .*{what}"):
        exported(store)


def test_a_snapshot_that_can_not_be_read_does_not_stop_an_export(moto_client: DynamoDBClient) -> None:
    store = ScannableDynamoDBEventStore(moto_client, EVENTS_TABLE)
    fill(store, commit("1", 1, 3), commit("1", 4))
    lines = exported(store)
    broken: Any = {"stream": {"S": "counter-1"}, "version": {"N": "3.5"}}
    moto_client.put_item(TableName=EVENTS_TABLE, Item=broken)
    assert exported(store) == lines


NUMBER = b'"amount":2'


@pytest.mark.parametrize("number", [b"Infinity", b"-Infinity", b"NaN", b"1e999"])
def test_a_number_that_is_not_finite_is_not_imported(store: VerifiableStore, number: bytes) -> None:
    lines = [HEADER, to_line(commit("1", 1)), to_line(commit("1", 2)).replace(NUMBER, b'"amount":' + number)]
    what = "Line 3: stream 'counter-1', version 2: an event holds a number that is not finite"
    with pytest.raises(TransferError, match=f"^{what}$"):
        imported(store, lines)
    assert [one.version for one in store.oldest_first("counter-1")] == [1]


def test_a_number_that_is_not_finite_is_not_exported_as_another(moto_client: DynamoDBClient) -> None:
    store = ScannableDynamoDBEventStore(moto_client, EVENTS_TABLE)
    fill(store, commit("1", 1))
    item = commit_to_item(commit("1", 2))
    item["events"] = {"S": item["events"]["S"].replace(NUMBER.decode(), '"amount":Infinity')}
    moto_client.put_item(TableName=EVENTS_TABLE, Item=item)
    with pytest.raises(BrokenStreamError, match="'counter-1', version 2: no line can carry a number that is not fin"):
        exported(store)


def test_a_commit_that_only_python_takes_for_the_same_stops_an_import(store: VerifiableStore) -> None:
    fill(store, commit("1", 1))
    for other in (b"true", b"1.0"):
        with pytest.raises(TransferError, match="another commit"):
            imported(store, [HEADER, to_line(commit("1", 1)).replace(b'"amount":1', b'"amount":' + other)])


def test_events_are_not_decoded_on_the_way(store: VerifiableStore) -> None:
    gone: StoredEvent = {"type": "Gone", "v": 9, "data": {"b": 1.5, "a": [None, {"z": 10**30}]}}
    fill(store, commit("1", 1, events=1))
    fill(store, Commit("counter-1", 2, (gone,), "x", AT))
    other = MemoryEventStore()
    imported(other, exported(store))
    assert exported(other) == exported(store)
