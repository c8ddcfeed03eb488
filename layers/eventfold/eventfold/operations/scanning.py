"""Reading every stream there is: the whole event table, in segments that can be read side by side.

A scan is for work on all streams at once: rebuild, verify, export. It promises each item at least once and nothing on
order across streams. Whoever needs a whole stream checks it for gaps and asks the store for what is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Protocol

from eventfold.core.commit import Commit, CommitPlace, Snapshot, read_parts
from eventfold.core.errors import BrokenStreamError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An item that is neither a commit nor a snapshot: where it lies, and why it can't be read.

    `snapshot` is whether it lies where only a snapshot may, behind `version`. Elsewhere it takes a commit's place.
    """

    stream: str
    version: int
    reason: str
    snapshot: bool = False


type Scanned = Commit | Snapshot | Unreadable


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scan stands: the key of the last item it has dealt with. A scan goes on behind it."""

    stream: str
    key: str


@dataclass(frozen=True, slots=True)
class ScanPage:
    """Some items, and the read units they cost."""

    items: tuple[Scanned, ...]
    read_units: float


class ScannableStore(Protocol):
    """A store whose streams can all be read without knowing their names.

    A commit's parts may be read only when they are asked for, and asking may raise `BrokenStreamError`: see `readable`.
    """

    def scan(self, segment: int, segments: int, *, after: Place | None = None) -> Iterator[ScanPage]:
        """Yield one of `segments` parts of the table, counted from 0, behind `after`. Eventually consistent.

        A stream's items come one after another, in order, all in one segment as a rule.

        Raises:
            StoreUnavailableError: throttled or out of reach; go on behind the last item's place.
        """
        ...

    def items(self, stream: str) -> Iterator[Scanned]:
        """Yield all that lies in one stream, in order, read consistently; no more than a page is held.

        Raises:
            StoreUnavailableError: throttled or out of reach.
        """
        ...

    def commit_ids(self, places: Iterable[CommitPlace]) -> dict[CommitPlace, str]:
        """Return the ids of the commits that lie at these places, read consistently. One request for each 100."""
        ...


def readable(item: Scanned) -> Scanned:
    """Return an item with all its parts read, or as `Unreadable` if one makes no sense."""
    if isinstance(item, Commit):
        try:
            read_parts(item)
        except BrokenStreamError as error:
            return Unreadable(error.stream, error.version, error.reason)
    return item


def lies_between(item: Scanned) -> bool:
    """Return whether an item is a snapshot, readable or not: it lies between commits and takes no version."""
    return isinstance(item, Snapshot) or (isinstance(item, Unreadable) and item.snapshot)


def place_of(item: Scanned) -> Place:
    """Return where a scan stands that has dealt with this item."""
    return Place(item.stream, f"{item.version}.5" if lies_between(item) else str(item.version))


def by_stream(pages: Iterable[ScanPage]) -> Iterator[tuple[str, Iterator[Scanned]]]:
    """Group items by stream as they come: no more than a page is held, however long a stream is."""
    return groupby(chain.from_iterable(page.items for page in pages), key=lambda item: item.stream)
