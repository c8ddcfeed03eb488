"""A stream's events, as the audit trail shows them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from eventfold.aggregates.pages import DEFAULT_INTERVAL
from eventfold.core.commit import Commit
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.core.events import Codec, Recorded
    from eventfold.core.store import EventStore


class EventPage[E: Event](NamedTuple):
    """Some of a stream's events, in order, and whether more follow."""

    events: list[Recorded[E]]
    more: bool


def read_page[E: Event](
    store: EventStore, codec: Codec[E], stream: str, *, after: int = 0, limit: int | None = None
) -> EventPage[E]:
    """Return the events behind version `after`, at most `limit` of them, and the other parts of the last.

    What is retired is left out. The first page asks for as many items as `limit` events need, where none is retired.
    `after` may point into the middle of a commit: one request more finds that commit.
    """
    events: list[Recorded[E]] = []
    for commit in _commits(store, stream, after, None if limit is None else page_of(limit)):
        for one in codec.recorded(commit):
            if one.version <= after or one.retired:
                continue
            if limit is not None and len(events) >= limit and one.version > events[-1].version:
                return EventPage(events, more=True)
            events.append(one)
    return EventPage(events, more=False)


def read_events[E: Event](
    store: EventStore, codec: Codec[E], stream: str, *, after: int = 0, limit: int | None = None
) -> list[Recorded[E]]:
    """Return the events of `read_page`."""
    return read_page(store, codec, stream, after=after, limit=limit).events


def page_of(events: int) -> int:
    """Return how many items so many events lie in at the most, as a rule: snapshots, and one that tells of more."""
    return events + events // DEFAULT_INTERVAL + 2


def _commits(store: EventStore, stream: str, after: int, page_size: int | None) -> Iterator[Commit]:
    following = store.oldest_first(stream, after=after, page_size=page_size)
    first = next(following, None)
    if after > 0 and (first is None or first.version > after + 1):
        around = store.newest_first(stream, upto=after, page_size=2)
        yield from takewhile(
            lambda commit: commit.last_version > after, (item for item in around if isinstance(item, Commit))
        )
    if first is not None:
        yield first
    yield from following
