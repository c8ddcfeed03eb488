"""From a stream to a state: replay, from the newest usable snapshot on."""

from __future__ import annotations

from collections import deque
from itertools import chain, islice, repeat, takewhile
from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel

from eventfold.aggregates.pages import first_page
from eventfold.core.commit import REMEMBERED_COMMITS, Commit, CommitRef, Head
from eventfold.core.errors import BrokenStreamError
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from eventfold.aggregates.pages import FirstPages
    from eventfold.core.decider import Command, Decider
    from eventfold.core.store import EventStore, Item

HELD_BYTES = 32_000_000
"""How much of a stream, about, a load holds while it looks for a snapshot from the end. Behind that it is streamed."""
_COMMIT_BYTES = 2_000
"""What a commit that was read takes in memory besides its events, about."""


class Loaded[S](NamedTuple):
    """An aggregate as a read saw it.

    `refs` are the keyed commits that idempotency recognises: the last `REMEMBERED_COMMITS`. `snapshot_version` is 0
    where no snapshot was used.
    """

    stream: str
    version: int
    state: S
    at: datetime | None = None
    refs: tuple[CommitRef, ...] = ()
    snapshot_version: int = 0

    @property
    def head(self) -> Head:
        """The stream's end, to append behind."""
        return Head(self.stream, self.version)


def load[C: Command, S: BaseModel, E: Event](
    store: EventStore,
    decider: Decider[C, S, E],
    stream: str,
    *,
    page_size: int | None = first_page(),
    consistent: bool = True,
) -> Loaded[S]:
    """Return the state now: one newest-first query, which stops at the first usable snapshot.

    `page_size` is how many items it asks for first, None as many as a page holds: for streams without snapshots.
    Where no snapshot is near, the rest is replayed from version 1 as it is read: memory does not grow with the stream.
    An eventually consistent read costs half and may be some commits behind. Its pages may come from replicas that
    differ, so one that looks broken is read again, consistently.

    Raises:
        UnreadableStreamError: an event is unknown, or versions are missing; names stream and version.
    """
    try:
        newest_first = store.newest_first(stream, page_size=page_size, consistent=consistent)
        return _replay(store, decider, stream, newest_first, consistent=consistent)
    except BrokenStreamError:
        if consistent:
            raise
        return load(store, decider, stream, page_size=page_size)


def load_sized[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, pages: FirstPages, *, consistent: bool
) -> Loaded[S]:
    """Load as `load` does, with a first page as the loads before have found it; and let the next ones know."""
    loaded = load(store, decider, stream, page_size=pages.size(), consistent=consistent)
    pages.learn(loaded)
    return loaded


def load_version[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, version: int
) -> Loaded[S]:
    """Return the state as it was right after `version`, or the newest if the stream ends before."""
    newest_first = store.newest_first(stream, upto=version, page_size=first_page())
    return _replay(store, decider, stream, newest_first, upto=version)


def load_at[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, at: datetime
) -> Loaded[S]:
    """Return the state as it was at a moment: everything committed up to then, inclusive.

    Looks at the newest page first. A stream's time never runs backwards, so an older moment is searched for by halves,
    one item a request: 14 requests for 10,000 events, 17 for 100,000.
    """
    newest_first = store.newest_first(stream, page_size=first_page())
    after = 1
    for item in islice(newest_first, first_page()):
        if item.at <= at:
            return _replay(store, decider, stream, chain([item], newest_first))
        after = item.version
    version = _last_until(store, stream, at, after)
    return load_version(store, decider, stream, version) if version else Loaded(stream, 0, decider.initial)


def _last_until(store: EventStore, stream: str, at: datetime, after: int) -> int:
    """Return the version that a stream had at a moment, where it is known that it had come to `after` only later."""
    before = 0
    while after - before > 1:
        middle = (before + after) // 2
        item = next(iter(store.newest_first(stream, upto=middle, page_size=1)), None)
        if item is None or item.at <= at:  # None: commits are missing, which the replay finds out
            before = max(middle, item.head.version) if item else middle
        else:
            after = min(middle, item.version)
    return before


def apply[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], loaded: Loaded[S], commit: Commit
) -> Loaded[S]:
    """Fold one more commit onto a loaded aggregate.

    Raises:
        BrokenStreamError: the commit does not follow it.
    """
    return _fold(decider, loaded, [commit])


def follow[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], loaded: Loaded[S], commit: Commit, events: Iterable[E]
) -> Loaded[S]:
    """Fold a commit that follows and whose events are at hand, as they are read from their stored form."""
    refs = (*loaded.refs, commit.ref)[-REMEMBERED_COMMITS:] if commit.digest else loaded.refs
    state = decider.fold(loaded.state, events)
    return loaded._replace(version=commit.last_version, state=state, at=commit.at, refs=refs)


def _replay[C: Command, S: BaseModel, E: Event](  # noqa: PLR0913 - what every way of loading has, and what only some
    store: EventStore,
    decider: Decider[C, S, E],
    stream: str,
    newest_first: Iterable[Item],
    *,
    upto: int | None = None,
    consistent: bool = True,
) -> Loaded[S]:
    base = Loaded(stream, 0, decider.initial)
    held: list[Commit] = []
    room = HELD_BYTES
    for item in newest_first:
        if isinstance(item, Commit):
            held.append(item)
            room -= item.stored_bytes + _COMMIT_BYTES
            if item.version == 1:
                break
            if room < 0:
                commits = chain(_before(item, store, consistent=consistent), _oldest_first(held))
                return _fold(decider, base, commits, upto)
        elif (state := decider.restore(item)) is not None:
            base = Loaded(stream, item.version, state, item.at, item.refs, item.version)
            break
    return _fold(decider, base, _oldest_first(held), upto)


def _before(commit: Commit, store: EventStore, *, consistent: bool) -> Iterator[Commit]:
    """Yield what is older than a commit, from version 1 on. The fold finds out whether anything is missing there."""
    oldest_first = store.oldest_first(commit.stream, consistent=consistent)
    return takewhile(lambda one: one.version < commit.version, oldest_first)


def _oldest_first(held: list[Commit]) -> Iterator[Commit]:
    """Return commits that were read newest first, and let go of each."""
    return map(held.pop, repeat(-1, len(held)))


def _fold[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], base: Loaded[S], commits: Iterable[Commit], upto: int | None = None
) -> Loaded[S]:
    version, state = base.version, base.state
    refs = deque(base.refs, REMEMBERED_COMMITS)
    codec, evolve = decider.codec, decider.evolve
    last: Commit | None = None
    for last in commits:
        if last.version != version + 1:
            raise BrokenStreamError(base.stream, last.version, f"does not follow version {version}")
        current = codec.current(last)
        if current is None:
            version, state = _step(decider, state, last, upto)
        else:
            for event in current if upto is None else current[: upto - version]:
                version, state = version + 1, evolve(state, event)
        if last.digest:
            refs.append(CommitRef(last.id, version, last.digest))
    return Loaded(base.stream, version, state, last.at if last else base.at, tuple(refs), base.snapshot_version)


def _step[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], state: S, commit: Commit, upto: int | None
) -> tuple[int, S]:
    """Fold a commit event by event, whatever their age, up to a version."""
    version = commit.version - 1
    for stored in commit.events:
        if version == upto:
            break
        version += 1
        state = decider.fold(state, decider.codec.decode(stored, stream=commit.stream, version=version))
    return version, state
