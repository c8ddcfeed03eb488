"""Decisions over several streams, of one or of several deciders: read what the rule needs, write all or nothing.

    def transfer(command: Transfer, streams: Streams) -> Iterable[Writes]:
        source, target = (streams.read(ACCOUNTS, id_) for id_ in (command.source, command.target))
        if source.state.balance < command.amount:
            raise OverdrawnError
        return source.then(Withdrawn(amount=command.amount)), target.then(Deposited(amount=command.amount))

Every stream that is read is written, or guarded: nothing is written if it has moved. So what a decision relies on is
exactly what it has read, and each command draws that boundary for itself.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pydantic import BaseModel

from eventfold.aggregates.caching import CACHED_STATES, StateCache
from eventfold.aggregates.handling import Request, new_ref, next_commit, past_commit, utc_now
from eventfold.aggregates.loading import Loaded, apply, follow, load_sized
from eventfold.aggregates.pages import DEFAULT_INTERVAL, FirstPages
from eventfold.core.backoff import Backoff
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    InvalidCommitError,
    PreconditionFailedError,
    StoreUnavailableError,
    StreamsMovedError,
    TooManyConflictsError,
    UnreadableStreamError,
)
from eventfold.core.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from eventfold.core.commit import Commit, CommitRef
    from eventfold.core.decider import Command, Decider
    from eventfold.core.store import EventStore

_RACES_BEFORE_READING = 2


class Writes(NamedTuple):
    """What a decision writes to one stream that it has read."""

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
    """What became of a command: the version of each stream that it wrote to.

    `conflicts` counts the races lost on the way. `repeated`: the key had made its commits before, and `versions` has
    one of the streams.
    """

    versions: Mapping[str, int]
    conflicts: int = 0
    repeated: bool = False


type Decision[C: Command] = Callable[[C, Streams], Iterable[Writes]]
"""Rules over several streams, pure but for what they read. They raise the domain's own errors, as a decider's do."""


class TransactionHandler:
    """Runs decisions over several streams.

    States that this process knows cost nothing, others a read at half price. What is accepted is proven by the
    transaction: one request, 2 WCU a KB of each commit, 2 a guard. A decision that has read one stream alone costs
    what a command on one costs. What is refused is decided again on consistent reads, and where it has read several
    streams a transaction of guards shows that they stood so together. A lost race is decided again on what came first.
    """

    def __init__(
        self,
        store: EventStore,
        *,
        snapshot_every: int = DEFAULT_INTERVAL,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = utc_now,
        cached_states: int = CACHED_STATES,
    ) -> None:
        self._store = store
        self._snapshot_every = snapshot_every
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._cache: StateCache[Any] = StateCache(cached_states)
        self._pages = FirstPages(snapshot_every)

    def handle[C: Command](self, decide: Decision[C], command: C, request: Request | None = None) -> Transacted:
        """Run one command.

        `request.expected_version` is that of the first stream read. A command with a key writes to that stream: there
        it is recognised when it comes again.

        Raises:
            InvalidCommitError: it writes to a stream that it has not read, or has a key and leaves out its first.
            PreconditionFailedError, IdempotencyKeyReusedError, TooManyConflictsError, UnreadableStreamError,
                StoreUnavailableError: see there.
            Exception: whatever the decision raises to refuse the command.
        """
        request = request or Request()
        run = _Run(command, request, new_ref(command, request), self._load, self._cache)
        conflicts = 0
        while True:
            try:
                answer = self._attempt(decide, run)
            except StreamsMovedError as moved:
                conflicts += 1
                if conflicts >= self._backoff.attempts or time.monotonic() >= request.deadline:
                    return run.lost(moved, conflicts)
                self._backoff.wait(conflicts - 1)
                run.catch_up(moved.winners, fold=conflicts <= _RACES_BEFORE_READING)
            else:
                if answer is not None:
                    return answer._replace(conflicts=conflicts)

    def _attempt[C: Command](self, decide: Decision[C], run: _Run[C]) -> Transacted | None:
        """Decide and write; None where a refusal is to be proven first."""
        run.begin()
        try:
            writes = _by_stream(decide(run.command, run), run.reads)
        except _AlreadyDoneError as done:
            return Transacted({done.stream: done.ref.version}, repeated=True)
        except (IdempotencyKeyReusedError, StoreUnavailableError, UnreadableStreamError):
            raise  # Not a refusal on a state.
        except Exception:
            if not run.prove(self._store):
                return None
            raise
        if not writes:
            return Transacted({}) if run.prove(self._store) else None
        return self._write(run, writes)

    def _write[C: Command](self, run: _Run[C], writes: Mapping[str, tuple[Event, ...]]) -> Transacted:
        home = next(iter(run.reads))
        if run.request.key is not None and home not in writes:
            raise InvalidCommitError(f"a command with a key writes to the first stream that it reads, {home!r}")
        commits: list[Commit] = []
        after: list[Loaded[Any]] = []
        at = max([self._clock(), *(one.at for stream in writes if (one := run.reads[stream].loaded).at)])
        for stream, events in writes.items():
            decider, loaded = run.reads[stream]
            stored, read = decider.codec.encode_all(events)
            commit = next_commit(loaded, stored, run.ref, run.request, now=at, snapshot_every=self._snapshot_every)
            commits.append(commit)
            # Folded in before it is written: what can't be replayed must not be stored.
            after.append(follow(decider, loaded, commit, read))
        guarded = [one.loaded for stream, one in run.reads.items() if stream not in writes]
        self._store.append_together(commits, guards=[one.head for one in guarded])
        for one in (*after, *guarded):
            self._cache.put(one)
        return Transacted({one.stream: one.version for one in after})

    def _load(self, decider: Decider[Any, Any, Any], stream: str, *, consistent: bool) -> Loaded[Any]:
        return load_sized(self._store, decider, stream, self._pages, consistent=consistent)


class _AlreadyDoneError(Exception):
    """The command's key has made its commits before."""

    def __init__(self, stream: str, ref: CommitRef) -> None:
        super().__init__(stream)
        self.stream = stream
        self.ref = ref


class _Known(NamedTuple):
    """A stream that was read, and by which decider."""

    decider: Decider[Any, Any, Any]
    loaded: Loaded[Any]


@dataclass
class _Run[C: Command]:
    """One command on its way: what its decision has read, and what is known from the attempts before."""

    command: C
    request: Request
    ref: CommitRef
    load: Callable[..., Loaded[Any]]
    cache: StateCache[Any]
    reads: dict[str, _Known] = field(default_factory=dict)
    _known: dict[str, Loaded[Any]] = field(default_factory=dict)
    _consistent: bool = False

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
                raise _AlreadyDoneError(stream, done)
            self.reads[stream] = _Known(decider, loaded)
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
                return Transacted({stream: winner.last_version}, conflicts, repeated=True)
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


def _by_stream(writes: Iterable[Writes], reads: Mapping[str, _Known]) -> dict[str, tuple[Event, ...]]:
    """Return the events by stream, in the order that they were decided in."""
    found: dict[str, tuple[Event, ...]] = {}
    for stream, _, events in writes:
        if stream not in reads:
            raise InvalidCommitError(f"a decision writes to streams that it has read, and not to {stream!r}")
        found[stream] = (*found.get(stream, ()), *events)
    return {stream: events for stream, events in found.items() if events}
