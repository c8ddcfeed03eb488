"""A rebuild from files of exactly the format that a point-in-time export has."""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
import shutil
import tempfile
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from eventfold import Commit
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.dynamodb.exports import ExportSource, _Folder, open_export
from eventfold.dynamodb.items import commit_to_item, snapshot_to_item
from eventfold.operations.reading import SteadyPages
from eventfold.operations.scanning import Unreadable, place_of
from tests.domain import COUNTER, Added
from tests.rebuilds import World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.core.store import Item

ID = "01345678901234-abc12345"


def export(folder: Path, files: list[list[Any]], *, at: datetime, **summary: Any) -> str:
    """Write an export as DynamoDB does; return where."""
    root = folder / "AWSDynamoDB" / ID
    (root / "data").mkdir(parents=True)
    lines: list[str] = []
    for number, items in enumerate(files):
        blob = gzip.compress("".join(json.dumps({"Item": item}) + "\n" for item in items).encode())
        key = f"AWSDynamoDB/{ID}/data/asdl123dasas{number}.json.gz"
        (folder / key).write_bytes(blob)
        md5 = base64.b64encode(hashlib.md5(blob, usedforsecurity=False).digest()).decode()
        etag = f"{hashlib.md5(blob, usedforsecurity=False).hexdigest()}-1"
        lines.append(json.dumps({"itemCount": len(items), "md5Checksum": md5, "etag": etag, "dataFileS3Key": key}))
    (root / "manifest-files.json").write_text("\n".join(lines) + "\n")
    time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    about = {
        "version": "2020-06-30",
        "exportArn": f"arn:aws:dynamodb:eu-west-1:123456789012:table/events/export/{ID}",
        "startTime": time,
        "endTime": time,
        "tableArn": "arn:aws:dynamodb:eu-west-1:123456789012:table/events",
        "tableId": "12345a12-abcd-123a-ab12-1234abc12345",
        "exportTime": time,
        "s3Bucket": "exports",
        "s3Prefix": None,
        "s3SseAlgorithm": "AES256",
        "s3SseKmsKeyId": None,
        "manifestFilesS3Key": f"AWSDynamoDB/{ID}/manifest-files.json",
        "billedSizeBytes": 0,
        "itemCount": sum(map(len, files)),
        "outputFormat": "DYNAMODB_JSON",
        "exportType": "FULL_EXPORT",
    }
    (root / "manifest-summary.json").write_text(json.dumps(about | summary))
    return str(root)


def stored(item: Item) -> Any:
    return commit_to_item(item) if isinstance(item, Commit) else snapshot_to_item(item)


@pytest.fixture
def world() -> World:
    """Six streams; one with a snapshot."""
    one = World()
    for n in range(6):
        one.append(str(n), Added(amount=n), Added(amount=1))
        one.append(str(n), Added(amount=1))
    take_snapshot(one.store, COUNTER, "counter-1", 3)
    return one


def items_of(world: World) -> list[Any]:
    """Return the table's items, in an order of their own."""
    everything = [item for page in world.store.scan(0, 1) for item in page.items]
    return [stored(item) for item in everything[::-1] if not isinstance(item, Unreadable)]


def test_a_generation_is_filled_and_proven_from_an_export(world: World, tmp_path: Path) -> None:
    items = items_of(world)
    rebuild = world.rebuild()
    # A stream parted between two files, one that went on since, one that came since.
    place = export(tmp_path, [items[:5], [], items[5:]], at=datetime.now(UTC) + timedelta(minutes=1))
    source = open_export(place)
    world.source = source  # type: ignore[assignment] # another source in the place of the table's
    generation = rebuild.begin(source.name, source.parts, as_of=source.as_of)
    world.append("2", Added(amount=10))
    world.append("7", Added(amount=7))
    filled = world.run(rebuild, "fill", generation)
    assert [one.done for one in filled] == [True] * 3
    world.run(rebuild, "verify", rebuild.filled(2))
    rebuild.verified(2)
    assert world.stored("totals.2") == world.stored("totals")
    assert len(world.stored("totals")) == 7


def test_a_file_goes_on_behind_a_place_in_order(world: World, tmp_path: Path) -> None:
    source = open_export(export(tmp_path, [items_of(world)], at=datetime.now(UTC)))
    assert source.items == 13
    (page,) = source.pages(0, after=None)
    assert [(item.stream, item.version) for item in page.items][2:5] == [
        ("counter-1", 1),
        ("counter-1", 3),
        ("counter-1", 3),  # the snapshot
    ]
    (rest,) = source.pages(0, after=place_of(page.items[4]))
    assert rest.items == page.items[5:]


def test_an_item_that_makes_no_sense_is_passed_on_as_such(tmp_path: Path) -> None:
    item = {"stream": {"S": "counter-1"}, "version": {"N": "1"}}
    (page,) = open_export(export(tmp_path, [[item]], at=datetime.now(UTC))).pages(0, after=None)
    assert isinstance(page.items[0], Unreadable)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: _zip(root, b'{"Item":{"stream":{"S":"a"},"version":{"N":"1"}}}\n'), "is damaged: its MD5 is"),
        (lambda root: _zip(root, b"{}\n"), "is damaged: it has a line that is no item"),
        (lambda root: next((root / "data").iterdir()).write_bytes(b"{}\n"), "is damaged: Error -3"),
        (lambda root: _change(root / "manifest-files.json", '"itemCount": 13', '"itemCount": 12'), "12 items in its"),
        (lambda root: _change(root / "manifest-summary.json", "DYNAMODB_JSON", "ION"), "takes a FULL_EXPORT in DYNAMO"),
        (lambda root: _change(root / "manifest-summary.json", "FULL_EXPORT", "INCREMENTAL_EXPORT"), "INCREMENTAL"),
        (lambda root: (root / "manifest-summary.json").write_text("[]"), "is no DynamoDB export"),
        (lambda root: (root / "manifest-summary.json").unlink(), "no manifest-summary.json"),
    ],
)
def test_what_is_not_whole_is_refused(world: World, tmp_path: Path, damage: Any, message: str) -> None:
    place = export(tmp_path, [items_of(world)], at=datetime.now(UTC))
    damage(tmp_path / "AWSDynamoDB" / ID)
    with pytest.raises(RebuildRefusedError, match=message):
        list(open_export(place).pages(0, after=None))


@pytest.mark.aws
def test_memory_does_not_grow_with_a_file(tmp_path: Path) -> None:
    """Ten times the size: a run of 1 MB more costs 0.1 MB. The order of the whole is right."""

    def peak(streams: int) -> int:
        names = (f"counter-{n * 7919 % streams:06}" for n in range(streams))
        items = [{"stream": {"S": name}, "version": {"N": "1"}, "more": {"S": name * 40}} for name in names]
        place = Path(export(tmp_path / str(streams), [items], at=datetime.now(UTC)))
        del items
        source = ExportSource("here", _Folder(place), run_bytes=2**20)
        tracemalloc.start()
        before, found = "", 0
        for page in source.pages(0, after=None):
            for item in page.items:
                assert item.stream > before
                before, found = item.stream, found + 1
        assert found == streams
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    small = peak(6_000)
    assert peak(60_000) < small + 32 * 100_000


def test_a_worker_is_heard_of_while_it_sorts(world: World, tmp_path: Path) -> None:
    """An empty page for each run: between two pages a worker keeps its hold, and sees that its time is over."""
    place = Path(export(tmp_path, [items_of(world)], at=datetime.now(UTC)))
    pages = [len(page.items) for page in ExportSource("here", _Folder(place), run_bytes=1000).pages(0, after=None)]
    assert pages[:-1] == [0] * (len(pages) - 1)
    assert len(pages) > 2
    assert pages[-1] == 13


@pytest.mark.aws
def test_what_the_disk_has_no_room_for_is_refused_before_it_begins(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = export(tmp_path, [items_of(world)], at=datetime.now(UTC))
    size = max(file.stat().st_size for file in (Path(place) / "data").iterdir())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * size))
    assert open_export(place).parts == 1
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2 * size - 1))
    with pytest.raises(RebuildRefusedError, match=r"Sorting takes 2 times that on disk.* EphemeralStorage"):
        open_export(place)


def test_a_disk_that_fills_up_is_told(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Path(export(tmp_path, [items_of(world)], at=datetime.now(UTC)))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    source = ExportSource("here", _Folder(place), run_bytes=1)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(RebuildRefusedError, match="is full, and here not sorted"):
        list(source.pages(0, after=None))


def test_a_connection_that_breaks_off_is_tried_again(world: World, tmp_path: Path) -> None:
    """And the file is read anew, from its beginning."""
    place = Path(export(tmp_path, [items_of(world)], at=datetime.now(UTC)))

    class Breaking(_Folder):
        left = 2

        def read(self, path: str) -> Iterator[bytes]:
            for chunk in super().read(path):
                yield chunk[: len(chunk) // 2]
                if path.startswith("data/") and self.left:
                    self.left -= 1
                    raise StoreUnavailableError("IncompleteReadError")
                yield chunk[len(chunk) // 2 :]

    pages = SteadyPages(ExportSource("here", Breaking(place)), 0, None, rate=None, beat=lambda: False)
    assert sum(len(page.items) for page in pages) == 13


def test_a_file_with_fewer_items_than_it_says_is_refused(world: World, tmp_path: Path) -> None:
    items = items_of(world)
    place = export(tmp_path, [items[:6], items[6:]], at=datetime.now(UTC))
    manifest = tmp_path / "AWSDynamoDB" / ID / "manifest-files.json"
    manifest.write_text(
        manifest.read_text()
        .replace('"itemCount": 6', '"itemCount": x')
        .replace('"itemCount": 7', '"itemCount": 6')
        .replace('"itemCount": x', '"itemCount": 7')
    )
    with pytest.raises(RebuildRefusedError, match="has 6 items, and the manifest has 7"):
        list(open_export(place).pages(0, after=None))


def test_an_export_is_read_from_a_bucket(moto_client: DynamoDBClient, world: World, tmp_path: Path) -> None:
    place = export(tmp_path, [items_of(world)], at=datetime.now(UTC))
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="exports", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        s3.upload_file(str(file), "exports", f"mine/{file.relative_to(tmp_path)}")
    source = open_export(f"s3://exports/mine/AWSDynamoDB/{ID}/")
    assert list(source.pages(0, after=None)) == list(open_export(place).pages(0, after=None))


def _zip(root: Path, content: bytes) -> None:
    next((root / "data").iterdir()).write_bytes(gzip.compress(content))


def _change(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
