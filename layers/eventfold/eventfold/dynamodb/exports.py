"""A point-in-time export of the event table as a source: for tables too large to scan.

Format (full export, DynamoDB JSON): https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
`manifest-summary.json`, `manifest-files.json` with a line for each data file, and `data/*.json.gz` with a line for each
item. A file has one partition's items, in no order that is promised.
"""

from __future__ import annotations

import base64
import errno
import hashlib
import shutil
import tempfile
import zlib
from datetime import datetime  # noqa: TC003 - pydantic reads the annotation at run time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import orjson
from botocore.exceptions import IncompleteReadError
from pydantic import BaseModel, Field, ValidationError

from eventfold.core.errors import RebuildRefusedError, StoreUnavailableError
from eventfold.dynamodb.client import create_s3_client, passing_errors_named
from eventfold.dynamodb.scanning import scanned
from eventfold.dynamodb.sorting import RUN_BYTES, SortedLines, lines_of, unzipped
from eventfold.operations.scanning import ScanPage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eventfold.operations.scanning import Place

DISK_RATIO = 2
"""What a file takes on disk while it is sorted, in its own size: it is compressed there too, faster and less well."""
_S3 = "s3://"
_CHUNK_BYTES = 2**16
_PAGE_BYTES = 2**20


class _Summary(BaseModel, frozen=True):
    export_time: datetime = Field(alias="exportTime")
    item_count: int = Field(alias="itemCount")
    output_format: str = Field(alias="outputFormat")
    export_type: str = Field(alias="exportType", default="FULL_EXPORT")


class _DataFile(BaseModel, frozen=True):
    key: str = Field(alias="dataFileS3Key")
    items: int = Field(alias="itemCount")
    md5: str = Field(alias="md5Checksum")

    @property
    def name(self) -> str:
        """The file's own name."""
        return self.key.rpartition("/")[2]


class ExportFiles(Protocol):
    """The folder of an export."""

    def read(self, path: str) -> Iterator[bytes]:
        """Yield a file's content, piece by piece.

        Raises:
            StoreUnavailableError: the connection broke off, or there was none.
        """
        ...

    def sizes(self) -> dict[str, int]:
        """Return the bytes of each file under `data/`, by its name."""
        ...


class ExportSource:
    """An export's files, each a part. A file is sorted by stream on disk: see `SortedLines` for what is held of it.

    `as_of` is the moment that the export shows, `items` how many it has.
    """

    def __init__(self, name: str, files: ExportFiles, *, run_bytes: int = RUN_BYTES) -> None:
        """Read the manifests.

        Raises:
            RebuildRefusedError: this is no full export in DynamoDB JSON, or a file of it is too large for the disk.
        """
        self.name = name
        self._source = files
        self._run_bytes = run_bytes
        try:
            summary = _Summary.model_validate_json(b"".join(files.read("manifest-summary.json")))
            lines = b"".join(files.read("manifest-files.json")).splitlines()
            self._files = [_DataFile.model_validate_json(line) for line in lines if line.strip()]
        except ValidationError as error:
            raise RebuildRefusedError(f"{name} is no DynamoDB export: {error.error_count()} faults.") from error
        if (summary.output_format, summary.export_type) != ("DYNAMODB_JSON", "FULL_EXPORT"):
            what = f"{summary.export_type} in {summary.output_format}"
            raise RebuildRefusedError(f"{name} is a {what}; a rebuild takes a FULL_EXPORT in DYNAMODB_JSON.")
        self.as_of: datetime | None = summary.export_time
        self.items = sum(file.items for file in self._files)
        if self.items != summary.item_count:
            raise RebuildRefusedError(f"{name} has {self.items} items in its files, and {summary.item_count} in all.")
        self._check_disk()

    @property
    def parts(self) -> int:
        """One for each file."""
        return len(self._files)

    def pages(self, part: int, *, after: Place | None) -> Iterator[ScanPage]:
        """See `Source.pages`. In order of stream and version, 1 MB a page; an empty page for each run that is sorted.

        Raises:
            RebuildRefusedError: the file is not what the manifest says, or the disk is full.
        """
        with SortedLines(_position, run_bytes=self._run_bytes) as lines:
            try:
                for line in self._lines(self._files[part]):
                    if lines.add(line):
                        yield ScanPage((), 0)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                raise RebuildRefusedError(f"{tempfile.gettempdir()} is full, and {self.name} not sorted.") from error
            except (KeyError, TypeError, ValueError) as error:
                raise RebuildRefusedError(
                    f"{self._files[part].key} is damaged: it has a line that is no item."
                ) from error
            left = (line for (stream, _), line in lines if after is None or stream > after.stream)
            yield from _paged(left)

    def _lines(self, file: _DataFile) -> Iterator[bytes]:
        """Yield the lines of a file, and check at its end that it was whole.

        Raises:
            RebuildRefusedError: it is not.
        """
        md5, count = hashlib.md5(usedforsecurity=False), 0

        def chunks() -> Iterator[bytes]:
            for chunk in self._source.read(f"data/{file.name}"):
                md5.update(chunk)
                yield chunk

        try:
            for line in lines_of(unzipped(chunks())):
                count += 1
                yield line
        except zlib.error as error:
            raise RebuildRefusedError(f"{file.key} is damaged: {error}.") from error
        if (found := base64.b64encode(md5.digest()).decode()) != file.md5:
            raise RebuildRefusedError(f"{file.key} is damaged: its MD5 is {found}, and the manifest has {file.md5}.")
        if count != file.items:
            raise RebuildRefusedError(f"{file.key} has {count} items, and the manifest has {file.items}.")

    def _check_disk(self) -> None:
        place = tempfile.gettempdir()
        free, sizes = shutil.disk_usage(place).free, self._source.sizes()
        largest = max((sizes.get(file.name, 0) for file in self._files), default=0)
        if DISK_RATIO * largest > free:
            raise RebuildRefusedError(
                f"{self.name} has a file of {largest / 2**20:,.0f} MB. Sorting takes {DISK_RATIO} times that on disk, "
                f"and {place} has {free / 2**20:,.0f} MB. Raise the rebuild function's EphemeralStorage, or rebuild "
                "with --here, and TMPDIR where there is room."
            )


class _Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, path: str) -> Iterator[bytes]:
        with (self._folder / path).open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    def sizes(self) -> dict[str, int]:
        return {file.name: file.stat().st_size for file in (self._folder / "data").iterdir()}


class _Bucket:
    def __init__(self, bucket: str, prefix: str, endpoint_url: str | None) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._s3 = create_s3_client(endpoint_url)

    def read(self, path: str) -> Iterator[bytes]:
        with passing_errors_named():
            body = self._s3.get_object(Bucket=self._bucket, Key=f"{self._prefix}/{path}")["Body"]
            try:
                yield from body.iter_chunks(_CHUNK_BYTES)
            except IncompleteReadError as error:
                raise StoreUnavailableError("IncompleteReadError") from error
            finally:
                body.close()

    def sizes(self) -> dict[str, int]:
        """One request for each 1,000 files."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=f"{self._prefix}/data/")
        with passing_errors_named():
            found = [one for page in pages for one in page.get("Contents", [])]
        return {one["Key"].rpartition("/")[2]: one["Size"] for one in found}


def open_export(location: str, endpoint_url: str | None = None) -> ExportSource:
    """Return the export in a folder, or under `s3://bucket/prefix`: where `manifest-summary.json` lies.

    Raises:
        RebuildRefusedError: there is none, or it is none that can be read here.
    """
    location = location.rstrip("/")
    if location.startswith(_S3):
        bucket, _, prefix = location.removeprefix(_S3).partition("/")
        return ExportSource(location, _Bucket(bucket, prefix, endpoint_url))
    folder = Path(location)
    if not (folder / "manifest-summary.json").is_file():
        raise RebuildRefusedError(f"There is no manifest-summary.json in {location}.")
    return ExportSource(str(folder.resolve()), _Folder(folder))


def _position(line: bytes) -> tuple[str, float]:
    item = orjson.loads(line)["Item"]
    return item["stream"]["S"], float(item["version"]["N"])


def _paged(lines: Iterable[bytes]) -> Iterator[ScanPage]:
    page, size = [], 0
    for line in lines:
        page.append(scanned(orjson.loads(line)["Item"]))
        size += len(line)
        if size >= _PAGE_BYTES:
            yield ScanPage(tuple(page), 0)
            page, size = [], 0
    yield ScanPage(tuple(page), 0)
