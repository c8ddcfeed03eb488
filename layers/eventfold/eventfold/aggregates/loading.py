"""From a stream to a state: replay, from the newest usable snapshot on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import BaseModel, ValidationError

from eventfold.core.commit import Commit, CommitRef, Head, Snapshot
from eventfold.core.errors import BrokenStreamError
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from eventfold.core.decider import Command, Decider
    from eventfold.core.store import EventStore, Item


class Loaded[S](NamedTuple):
    """An aggregate as a read saw it.

    `refs` are the keyed commits that idempotency can still recognise: all since version 1, or those
    since the snapshot and the ones it carries. `snapshot_version` is 0 where no snapshot was used.
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
    page_size: int | None = None,
    consistent: bool = True,
) -> Loaded[S]:
    """Return the state now: one newest-first query, which stops at the first usable snapshot.

    An eventually consistent read costs half and may be some commits behind. Its pages may come from replicas that
    differ, so one that looks broken is read again, consistently.

    Raises:
        UnreadableStreamError: an event is unknown, or versions are missing; names stream and version.
    """
    try:
        return _replay(decider, stream, store.newest_first(stream, page_size=page_size, consistent=consistent))
    except BrokenStreamError:
        if consistent:
            raise
        return load(store, decider, stream, page_size=page_size)


def load_version[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, version: int
) -> Loaded[S]:
    """Return the state as it was right after `version`, or the newest if the stream ends before."""
    return _replay(decider, stream, store.newest_first(stream, upto=version), upto=version)


def load_at[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, at: datetime
) -> Loaded[S]:
    """Return the state as it was at a moment: everything committed up to then, inclusive."""
    items = store.newest_first(stream)
    return _replay(decider, stream, (item for item in items if item.at <= at))


def apply[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], loaded: Loaded[S], commit: Commit
) -> Loaded[S]:
    """Fold one more commit onto a loaded aggregate.

    Raises:
        BrokenStreamError: the commit does not follow it.
    """
    return _fold(decider, loaded, [commit], None)


def follow[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], loaded: Loaded[S], commit: Commit, events: Iterable[E]
) -> Loaded[S]:
    """Fold a commit that follows and whose events are at hand: what `apply` makes of their stored form."""
    return _behind(loaded, [commit], commit.last_version, decider.fold(loaded.state, events))


def _replay[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], stream: str, newest_first: Iterator[Item], upto: int | None = None
) -> Loaded[S]:
    base = Loaded(stream, 0, decider.initial)
    commits: list[Commit] = []
    for item in newest_first:
        if isinstance(item, Commit):
            commits.append(item)
            if item.version == 1:
                break
        elif (restored := _restore(decider, item)) is not None:
            base = restored
            break
    return _fold(decider, base, commits[::-1], upto)


def _restore[C: Command, S: BaseModel, E: Event](decider: Decider[C, S, E], snapshot: Snapshot) -> Loaded[S] | None:
    if snapshot.schema != decider.schema:
        return None
    try:
        state = decider.states.validate_json(snapshot.state)
    except ValidationError:
        return None  # A snapshot is a shortcut: one that can't be read costs a longer replay, never an answer.
    return Loaded(snapshot.stream, snapshot.version, state, snapshot.at, snapshot.refs, snapshot.version)


def _fold[C: Command, S: BaseModel, E: Event](
    decider: Decider[C, S, E], base: Loaded[S], commits: list[Commit], upto: int | None
) -> Loaded[S]:
    version, state = base.version, base.state
    codec, evolve = decider.codec, decider.evolve
    for commit in commits:
        if commit.version != version + 1:
            raise BrokenStreamError(base.stream, commit.version, f"does not follow version {version}")
        current = codec.current(commit) if upto is None else None
        if current is None:
            version, state = _step(decider, state, commit, upto)
        else:
            for event in current:
                version, state = version + 1, evolve(state, event)
    return _behind(base, commits, version, state)


def _behind[S: BaseModel](base: Loaded[S], commits: list[Commit], version: int, state: S) -> Loaded[S]:
    refs = base.refs + tuple(commit.ref for commit in commits if commit.digest)
    return base._replace(version=version, state=state, at=commits[-1].at if commits else base.at, refs=refs)


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
