"""A stream's events, as the audit trail shows them."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from eventfold.core.commit import Commit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.core.events import Codec, Event, Recorded
    from eventfold.core.store import EventStore


def read_events[E: Event](
    store: EventStore, codec: Codec[E], stream: str, *, after: int = 0, limit: int | None = None
) -> list[Recorded[E]]:
    """Return the events behind version `after`, in order, at most `limit` of them, and the other parts of the last.

    What is retired is left out.

    `after` may point into the middle of a commit: one request more finds that commit.
    """
    events: list[Recorded[E]] = []
    for commit in _commits(store, stream, after):
        events += (one for one in codec.recorded(commit) if one.version > after and not one.retired)
        if limit is not None and len(events) >= limit:
            end = events[limit - 1].version
            return [one for one in events if one.version <= end]
    return events


def _commits(store: EventStore, stream: str, after: int) -> Iterator[Commit]:
    following = store.oldest_first(stream, after=after)
    first = next(following, None)
    if after > 0 and (first is None or first.version > after + 1):
        around = store.newest_first(stream, upto=after, page_size=2)
        yield from takewhile(
            lambda commit: commit.last_version > after, (item for item in around if isinstance(item, Commit))
        )
    if first is not None:
        yield first
    yield from following
