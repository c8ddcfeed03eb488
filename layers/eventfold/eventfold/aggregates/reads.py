"""What a decision over several streams reads and writes, and what is known of them from one attempt to the next."""

from __future__ import annotations

from copy import replace
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from eventfold.aggregates.handling import Outcome, Request, past_commit
from eventfold.aggregates.loading import Loaded, apply
from eventfold.core.commit import Copy
from eventfold.core.errors import (
    InvalidCommitError,
    PreconditionFailedError,
    StreamsMovedError,
    TooManyConflictsError,
)
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.aggregates.caching import StateCache
    from eventfold.core.commit import Commit, CommitRef
    from eventfold.core.decider import Command, Decider
    from eventfold.core.store import EventStore


class Writes(NamedTuple):
    """What a decision writes to one stream that it has read.

    The same event may go to more than one stream: it is one fact, at home in the first of them.
    """

    stream: str
    decider: Decider[Any, Any, Any]
    events: tuple[Event, ...]


@dataclass(frozen=True)
class Read[S: BaseModel, E: Event]:
    """A stream as a decision sees it: its name, its state, the version of its last event, 0 if it has none."""

    decider: Decider[Any, S, E]
    stream: str
    state: S
    version: int

    def then(self, *events: E) -> Writes:
        """Return what the decision writes behind it."""
        return Writes(self.stream, self.decider, events)


class Streams(Protocol):
    """What a decision reads from."""

    def read[C: Command, S: BaseModel, E: Event](self, decider: Decider[C, S, E], id_: str) -> Read[S, E]:
        """Return an aggregate. The same one again is the same."""
        ...


class Transacted(NamedTuple):
    """What became of a command: the version after it of each stream that it has read.

    `appended` counts its new events in all streams, `conflicts` the races lost on the way. `repeated`: the key had made
    its commits before, and `versions` has the streams up to the one that it was recognised in.
    """

    versions: Mapping[str, int]
    appended: int = 0
    conflicts: int = 0
    repeated: bool = False

    def outcome(self, stream: str) -> Outcome:
        """Return what became of it for one of the streams."""
        return Outcome(self.versions[stream], self.appended, self.conflicts, self.repeated)


type Decision[C: Command] = Callable[[C, Streams], Iterable[Writes]]
"""Rules over several streams, pure but for what they read. They raise the domain's own errors, as a decider's do."""


class AlreadyDoneError(Exception):
    """The command's key has made its commits before."""

    def __init__(self, stream: str, ref: CommitRef) -> None:
        super().__init__(stream)
        self.stream = stream
        self.ref = ref


class Known(NamedTuple):
    """A stream that was read, and by which decider."""

    decider: Decider[Any, Any, Any]
    loaded: Loaded[Any]


@dataclass
class Run[C: Command]:
    """One command on its way: what its decision has read, and what is known from the attempts before."""

    command: C
    request: Request
    ref: CommitRef
    load: Callable[..., Loaded[Any]]
    cache: StateCache[Any]
    reads: dict[str, Known] = field(default_factory=dict)
    _known: dict[str, Loaded[Any]] = field(default_factory=dict)
    _consistent: bool = False

    @property
    def versions(self) -> dict[str, int]:
        """The version of each stream that was read."""
        return {stream: one.loaded.version for stream, one in self.reads.items()}

    def begin(self) -> None:
        """Begin an attempt."""
        self.reads = {}

    def read[D: Command, S: BaseModel, E: Event](self, decider: Decider[D, S, E], id_: str) -> Read[S, E]:
        """See `Streams.read`.

        Raises:
            PreconditionFailedError: the first one is not at the expected version.
        """
        stream = decider.stream(id_)
        if stream not in self.reads:
            loaded = self._known.get(stream) or self._fresh(decider, stream)
            if (done := past_commit(loaded, self.ref)) is not None:
                raise AlreadyDoneError(stream, done)
            self.reads[stream] = Known(decider, loaded)
            expected = self.request.expected_version
            if len(self.reads) == 1 and expected not in (None, loaded.version):
                raise PreconditionFailedError(stream, expected, loaded.version)
        loaded = self.reads[stream].loaded
        return Read(decider, stream, loaded.state, loaded.version)

    def _fresh(self, decider: Decider[Any, Any, Any], stream: str) -> Loaded[Any]:
        if not self._consistent and (known := self.cache.get(stream)) is not None:
            return known
        return self.load(decider, stream, consistent=self._consistent)

    def prove(self, store: EventStore) -> bool:
        """Whether what this attempt has decided stands: on consistent reads, which were true at the same moment.

        Raises:
            StreamsMovedError: they were not.
        """
        if not self._consistent:
            self._consistent, self._known = True, {}
            return False
        for one in self.reads.values():
            self.cache.put(one.loaded)
        if len(self.reads) > 1:
            store.append_together([], guards=[one.loaded.head for one in self.reads.values()])
        return True

    def lost(self, moved: StreamsMovedError, conflicts: int) -> Transacted:
        """Give up, unless what came first is what this very command wrote when it was sent before, under its key."""
        for stream, winner in moved.winners.items():
            if winner is not None and (winner.id, winner.digest) == (self.ref.id, self.ref.digest):
                return Transacted(self.versions | {stream: winner.last_version}, conflicts=conflicts, repeated=True)
        raise TooManyConflictsError(next(iter(moved.winners)), conflicts) from moved

    def catch_up(self, winners: Mapping[str, Commit | None], *, fold: bool) -> None:
        """Fold in what came first; read again, consistently, what is not there to be folded in."""
        for stream, (decider, loaded) in self.reads.items():
            winner = winners.get(stream)
            if stream not in winners:
                self._known[stream] = loaded
            elif winner is not None and fold and winner.version == loaded.version + 1:
                self._known[stream] = apply(decider, loaded, winner)
            else:
                self._known[stream] = self.load(decider, stream, consistent=True)
        self._consistent = False


def by_stream(writes: Iterable[Writes], reads: Mapping[str, Known]) -> dict[str, tuple[Event, ...]]:
    """Return the events by stream, in the order that they were decided in."""
    found: dict[str, tuple[Event, ...]] = {}
    for stream, _, events in writes:
        if stream not in reads:
            raise InvalidCommitError(f"a decision writes to streams that it has read, and not to {stream!r}")
        found[stream] = (*found.get(stream, ()), *events)
    return {stream: events for stream, events in found.items() if events}


def with_copies(commits: Sequence[Commit], writes: Mapping[str, tuple[Event, ...]]) -> list[Commit]:
    """Return the commits, with the events marked that are at home in one before: the same object, not an equal one."""
    homes: dict[int, tuple[str, int]] = {}
    marked: list[Commit] = []
    for commit in commits:
        events = list(enumerate(map(id, writes[commit.stream]), start=commit.version))
        copies = tuple(Copy(version, *homes[event]) for version, event in events if event in homes)
        for version, event in events:
            homes.setdefault(event, (commit.stream, version))
        marked.append(replace(commit, copies=copies) if copies else commit)
    return marked
