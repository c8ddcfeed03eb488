"""A point-in-time export of the event table as a source: for tables too large to scan.

Format (full export, DynamoDB JSON): https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
`manifest-summary.json`, `manifest-files.json` with a line for each data file, and `data/*.json.gz` with a line for each
item. A file has one partition's items, in no order that is promised.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from datetime import datetime  # noqa: TC003 - pydantic reads the annotation at run time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from eventfold.core.errors import RebuildRefusedError
from eventfold.dynamodb.client import create_s3_client, passing_errors_named
from eventfold.dynamodb.scanning import scanned
from eventfold.operations.scanning import ScanPage, lies_between

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold.operations.scanning import Place, Scanned

_S3 = "s3://"


class _Summary(BaseModel, frozen=True):
    export_time: datetime = Field(alias="exportTime")
    item_count: int = Field(alias="itemCount")
    output_format: str = Field(alias="outputFormat")
    export_type: str = Field(alias="exportType", default="FULL_EXPORT")


class _DataFile(BaseModel, frozen=True):
    key: str = Field(alias="dataFileS3Key")
    items: int = Field(alias="itemCount")
    md5: str = Field(alias="md5Checksum")


class ExportSource:
    """An export's files, each a part. A file is held in memory, grouped by stream.

    `as_of` is the moment that the export shows, `items` how many it has.
    """

    def __init__(self, name: str, fetch: Callable[[str], bytes]) -> None:
        """Read the manifests. `fetch` returns a file by its path within the export's folder.

        Raises:
            RebuildRefusedError: this is no full export in DynamoDB JSON.
        """
        self.name = name
        self._fetch = fetch
        try:
            summary = _Summary.model_validate_json(fetch("manifest-summary.json"))
            lines = fetch("manifest-files.json").splitlines()
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

    @property
    def parts(self) -> int:
        """One for each file."""
        return len(self._files)

    def pages(self, part: int, *, after: Place | None) -> Iterator[ScanPage]:
        """See `Source.pages`. The file as one page, in order of stream and version.

        Raises:
            RebuildRefusedError: the file is not what the manifest says.
        """
        items = sorted((scanned(item) for item in self._lines(self._files[part])), key=_position)
        yield ScanPage(tuple(item for item in items if after is None or item.stream > after.stream), 0)

    def _lines(self, file: _DataFile) -> Iterator[Any]:
        blob = self._fetch(f"data/{file.key.rpartition('/')[2]}")
        md5 = base64.b64encode(hashlib.md5(blob, usedforsecurity=False).digest()).decode()
        if md5 != file.md5:
            raise RebuildRefusedError(f"{file.key} is damaged: its MD5 is {md5}, and the manifest has {file.md5}.")
        lines = gzip.decompress(blob).splitlines()
        if len(lines) != file.items:
            raise RebuildRefusedError(f"{file.key} has {len(lines)} items, and the manifest has {file.items}.")
        return (json.loads(line)["Item"] for line in lines)


def open_export(location: str, endpoint_url: str | None = None) -> ExportSource:
    """Return the export in a folder, or under `s3://bucket/prefix`: where `manifest-summary.json` lies.

    Raises:
        RebuildRefusedError: there is none.
    """
    location = location.rstrip("/")
    if not location.startswith(_S3):
        folder = Path(location)
        if not (folder / "manifest-summary.json").is_file():
            raise RebuildRefusedError(f"There is no manifest-summary.json in {location}.")
        return ExportSource(str(folder.resolve()), lambda path: (folder / path).read_bytes())
    bucket, _, prefix = location.removeprefix(_S3).partition("/")
    s3 = create_s3_client(endpoint_url)

    def fetch(path: str) -> bytes:
        with passing_errors_named():
            return s3.get_object(Bucket=bucket, Key=f"{prefix}/{path}")["Body"].read()

    return ExportSource(location, fetch)


def _position(item: Scanned) -> tuple[str, float]:
    return item.stream, item.version + 0.5 * lies_between(item)
