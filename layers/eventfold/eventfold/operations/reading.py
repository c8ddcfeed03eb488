"""What a generation is filled from: the event table by segments, or anything else that brings streams in parts."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING, Protocol

from eventfold.core.commit import Commit
from eventfold.core.errors import BrokenStreamError, StoreUnavailableError
from eventfold.core.events import Event
from eventfold.operations.scanning import Place, ScanPage, Unreadable, lies_between, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from eventfold.core.events import Codec, Recorded
    from eventfold.operations.scanning import ScannableStore, Scanned

_ATTEMPTS = 8


class Source(Protocol):
    """All streams, in parts that can be read side by side. Within a part a stream's items come in order, together."""

    @property
    def name(self) -> str:
        """What a generation is said to be filled from."""
        ...

    @property
    def parts(self) -> int:
        """How many parts there are, counted from 0."""
        ...

    @property
    def as_of(self) -> datetime | None:
        """The moment that the source shows; None where it is the event table itself."""
        ...

    def pages(self, part: int, *, after: Place | None) -> Iterator[ScanPage]:
        """Yield one part's items, behind a place.

        Raises:
            StoreUnavailableError: go on behind the last item's place.
        """
        ...


@dataclass(frozen=True)
class TableSource:
    """The event table, scanned by segments."""

    store: ScannableStore
    parts: int
    name: str = "table"
    as_of: datetime | None = None

    def pages(self, part: int, *, after: Place | None) -> Iterator[ScanPage]:
        """See `Source.pages`."""
        return self.store.scan(part, self.parts, after=after)


class StoppedError(Exception):
    """The worker was told to stop; what is not written by now is read again by the next one."""


class SteadyPages:
    """One part's pages at no more than `rate` read units a second, over passing failures; counts what it read.

    `beat` is called at least once a second and says whether to stop.
    """

    def __init__(
        self,
        source: Source,
        part: int,
        after: Place | None,
        *,
        rate: float | None,
        beat: Callable[[], bool],
    ) -> None:
        self.units = 0.0
        self.items = 0
        self._source = source
        self._part = part
        self._after = after
        self._rate = rate
        self._beat = beat

    def __iter__(self) -> Iterator[ScanPage]:
        """Yield the pages.

        Raises:
            StoppedError: `beat` said so.
            StoreUnavailableError: at every attempt.
        """
        failures = 0
        while True:
            try:
                for page in self._source.pages(self._part, after=self._after):
                    failures = 0
                    self._wait(0)
                    yield _in_order(page)
                    self.units += page.read_units
                    self.items += len(page.items)
                    if page.items:
                        self._after = place_of(page.items[-1])
                    self._wait(page.read_units / self._rate if self._rate else 0)
            except StoreUnavailableError:
                failures += 1
                if failures == _ATTEMPTS:
                    raise
                self._wait(random.uniform(0, 0.1 * 2**failures))  # noqa: S311 - jitter, not a secret
            else:
                return

    def _wait(self, seconds: float) -> None:
        while True:
            if self._beat():
                raise StoppedError
            if seconds <= 0:
                return
            time.sleep(min(seconds, 1))
            seconds -= 1


def _in_order(page: ScanPage) -> ScanPage:
    """Put each stream's items in order of version within a page: a scan promises none, and emulators have their own."""
    groups = (sorted(items, key=_position) for _, items in groupby(page.items, key=lambda item: item.stream))
    return ScanPage(tuple(chain.from_iterable(groups)), page.read_units)


def _position(item: Scanned) -> float:
    return item.version + 0.5 * lies_between(item)


class StreamReading[E: Event]:
    """One stream as a source brings it: its events lazily, checked for gaps, and how far it was read."""

    def __init__(self, stream: str, items: Iterable[Scanned], codec: Codec[E]) -> None:
        self.stream = stream
        self.events = 0
        self.from_first = False
        """Whether the source has brought its first commit: of a stream in two parts one alone has."""
        self.place: Place | None = None
        self._items = iter(items)
        self._codec = codec

    def recorded(self) -> Iterator[Recorded[E]]:
        """Yield the events.

        Raises:
            UnreadableStreamError: one is unknown, or not next in line: the source is behind, or the table is broken.
        """
        version = 0
        for item in self._items:
            self.place = place_of(item)
            if isinstance(item, Unreadable):
                raise BrokenStreamError(item.stream, item.version, item.reason)
            if isinstance(item, Commit):
                if item.version != version + 1:
                    raise BrokenStreamError(self.stream, item.version, f"does not follow version {version}")
                recorded = self._codec.recorded(item)
                if not recorded:
                    raise BrokenStreamError(self.stream, item.version, "the commit has no events")
                self.from_first = True
                version = recorded[-1].version
                self.events += version - item.version + 1
                yield from recorded

    def skip(self) -> Place | None:
        """Pass over what is left, and return where the stream ends."""
        for item in self._items:
            self.place = place_of(item)
            self.from_first |= isinstance(item, Commit) and item.version == 1
        return self.place
