"""Moving events between tables: NDJSON, one commit a line, streams one after another, each in order of version.

WARNING: the names in this file are a stored format, like those of items.py. A change is a new `FORMAT_VERSION`.

The first line is the header. Snapshots stay behind: they are a shortcut, and are taken anew from the same commits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeGuard

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError
from pydantic_core import to_json

from eventfold.core.commit import Commit, CommitPlace, Copy
from eventfold.core.errors import BrokenStreamError, InvalidCommitError, TransferError
from eventfold.core.stored import NotJsonError, StoredEvent, written_again
from eventfold.core.validation import fields_at_fault
from eventfold.operations.reading import SteadyPages, TableSource
from eventfold.operations.scanning import Unreadable, by_stream, lies_between, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eventfold.operations.scanning import Scanned
    from eventfold.operations.verify.read_models import VerifiableStore

FORMAT_VERSION = 3
"""Version 1 has no `siblings`, and version 2 no `copies`; they are read as they were."""

_MILLISECOND = timedelta(milliseconds=1)
_REPORT_EVERY = 500


class Header(BaseModel, frozen=True):
    """The first line."""

    format: Literal["eventfold-events"]
    version: PositiveInt


class Line(BaseModel):
    """One commit. `at` is in UTC, to the millisecond."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stream: str
    version: PositiveInt
    events: tuple[StoredEvent, ...]
    id: str
    at: AwareDatetime
    meta: dict[str, str] = {}
    digest: str = ""
    snapshot_due: bool = False
    siblings: tuple[CommitPlace, ...] = ()
    copies: tuple[Copy, ...] = ()

    def commit(self) -> Commit:
        """Return the commit.

        Raises:
            TransferError: its time is finer than a table keeps it.
            InvalidCommitError: its time has no form in UTC.
        """
        if self.at.microsecond % 1000:
            raise TransferError("its time has more than milliseconds")
        return Commit(**{name: getattr(self, name) for name in type(self).model_fields})


@dataclass(slots=True)
class Moved:
    """How much was moved; `there` are the commits that an import found in the table, the same."""

    streams: NonNegativeInt = 0
    commits: NonNegativeInt = 0
    events: NonNegativeInt = 0
    there: NonNegativeInt = 0


def export_events(
    store: VerifiableStore,
    write: Callable[[bytes], object],
    *,
    rate: float | None = None,
    report: Callable[[Moved], None] = lambda _: None,
) -> Moved:
    """Write every commit, line by line; return how much. Memory does not grow with the table, nor with a stream.

    `rate` is in read units a second. What is committed meanwhile is in it or not, but never without what it follows.

    Raises:
        UnreadableStreamError: a stream is broken, or holds what JSON can't carry; names it and the version. `verify`
            lists all that are broken.
        StoreUnavailableError: at every attempt.
    """
    moved = Moved()
    write(Header(format="eventfold-events", version=FORMAT_VERSION).model_dump_json().encode() + b"\n")
    pages = SteadyPages(TableSource(store, 1), 0, None, rate=rate, beat=lambda: False)
    for stream, items in by_stream(pages):
        moved.streams += 1
        for commit in _whole(store, stream, items):
            write(to_line(commit))
            moved.commits += 1
            moved.events += len(commit.events)
            if moved.commits % _REPORT_EVERY == 0:
                report(moved)
    report(moved)
    return moved


def to_line(commit: Commit) -> bytes:
    """Return a commit as a line.

    Raises:
        BrokenStreamError: JSON can't carry it. What is appended today always fits; an older library may have stored a
            number that is not finite.
    """
    try:
        events = written_again(commit.events)
    except NotJsonError as error:
        raise BrokenStreamError(commit.stream, commit.version, f"no line can carry {error.reason}") from None
    more = {
        "id": commit.id,
        "at": commit.at,
        "meta": dict(commit.meta),
        "digest": commit.digest,
        "snapshot_due": commit.snapshot_due,
        "siblings": commit.siblings,
        "copies": commit.copies,
    }
    return b'{"stream":%s,"version":%d,"events":%s,%s\n' % (
        to_json(commit.stream),
        commit.version,
        events,
        to_json(more)[1:],
    )


def read_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, Commit]]:
    """Yield each commit with the number of its line, counted from 1. Empty lines are passed over.

    Raises:
        TransferError: a line is not what it should be; names it. Nothing behind it is read.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    number, first = next(numbered, (1, b""))
    _check_header(number, first)
    for number, line in numbered:
        try:
            yield number, Line.model_validate_json(line).commit()
        except ValidationError as error:
            raise TransferError(f"Line {number} is not a commit: {fields_at_fault(error, Line)}") from None
        except (TransferError, InvalidCommitError) as error:
            raise TransferError(f"Line {number} is not a commit: {error}") from None


def _check_header(number: int, line: bytes) -> None:
    try:
        header = Header.model_validate_json(line)
    except ValidationError:
        raise TransferError(f'Line {number} is no header of an export: {{"format": "eventfold-events", ...}}') from None
    if header.version > FORMAT_VERSION:
        raise TransferError(f"Format version {header.version} is newer than this program: it reads {FORMAT_VERSION}.")


def _whole(store: VerifiableStore, stream: str, items: Iterable[Scanned]) -> Iterator[Commit]:
    """Yield the stream's commits without a gap: from where the scan seems to be wrong, from the stream itself."""
    version = 0
    for item in map(readable, items):
        if _follows(item, version):
            version = item.last_version
            yield item
        elif not lies_between(item):
            break
    else:
        return
    # From the start, and not from there on: a commit that begins inside another lies before that one's end.
    end = 0
    for item in map(readable, store.items(stream)):
        if _follows(item, end):
            end = item.last_version
            if end > version:
                yield item
        elif not lies_between(item):
            raise _broken(item, end)


def _follows(item: Scanned, version: int) -> TypeGuard[Commit]:
    return isinstance(item, Commit) and item.version == version + 1 and bool(item.events)


def _broken(item: Scanned, version: int) -> BrokenStreamError:
    if isinstance(item, Unreadable):
        return BrokenStreamError(item.stream, item.version, item.reason)
    if item.version == version + 1:
        return BrokenStreamError(item.stream, item.version, "the commit has no events")
    if item.version <= version:
        return BrokenStreamError(item.stream, item.version, f"overlaps the commit before, which ends at {version}")
    return BrokenStreamError(item.stream, version + 1, "is missing")
