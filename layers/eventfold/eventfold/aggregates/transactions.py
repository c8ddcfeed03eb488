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
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

from eventfold.aggregates.caching import CACHED_STATES, StateCache
from eventfold.aggregates.handling import RACES_BEFORE_READING, Request, new_ref, next_commit, utc_now
from eventfold.aggregates.loading import Loaded, follow, load_sized
from eventfold.aggregates.pages import DEFAULT_INTERVAL, FirstPages
from eventfold.aggregates.reads import (
    AlreadyDoneError,
    Decision,
    Read,
    Run,
    Streams,
    Transacted,
    Writes,
    by_stream,
    with_copies,
)
from eventfold.core.backoff import Backoff
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    InvalidCommitError,
    KeysHeldError,
    KeyTakenError,
    StoreUnavailableError,
    StreamsMovedError,
    UnreadableStreamError,
)
from eventfold.core.unique import Change, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from eventfold.core.commit import Commit
    from eventfold.core.decider import Command, Decider
    from eventfold.core.events import Event
    from eventfold.core.store import EventStore
    from eventfold.core.unique import KeyMove, Keys

__all__ = ["Decision", "Read", "Streams", "Transacted", "TransactionHandler", "Writes"]


class TransactionHandler:
    """Runs decisions over several streams.

    States that this process knows cost nothing, others a read at half price. What is accepted is proven by the
    transaction: one request, 2 WCU a KB of each commit, 2 a guard. A decision that has read one stream alone costs
    what a command on one costs. What is refused is decided again on consistent reads, and where it has read several
    streams a transaction of guards shows that they stood so together. A lost race is decided again on what came first.
    """

    def __init__(  # noqa: PLR0913 - settings by name, each with its default
        self,
        store: EventStore,
        *,
        snapshot_every: int = DEFAULT_INTERVAL,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = utc_now,
        cached_states: int = CACHED_STATES,
        keys: Keys | None = None,
    ) -> None:
        """Take `keys` where aggregates have unique keys."""
        self._store = store
        self._keys = keys
        self._snapshot_every = snapshot_every
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._cache: StateCache[Any] = StateCache(cached_states)
        self._pages: defaultdict[str, FirstPages] = defaultdict(partial(FirstPages, snapshot_every))

    def handle[C: Command](self, decide: Decision[C], command: C, request: Request | None = None) -> Transacted:
        """Run one command.

        `request.expected_version` is that of the first stream read. A command with a key writes to that stream: there
        it is recognised when it comes again.

        Raises:
            InvalidCommitError: it writes to a stream that it has not read, or has a key and leaves out its first.
            KeyTakenError: another aggregate has a unique key that one of these comes to.
            PreconditionFailedError, IdempotencyKeyReusedError, TooManyConflictsError, UnreadableStreamError,
                StoreUnavailableError: see there.
            Exception: whatever the decision raises to refuse the command.
        """
        request = request or Request()
        run = Run(command, request, new_ref(command, request), self._load, self._cache)
        conflicts = 0
        while True:
            try:
                answer = self._attempt(decide, run)
            except StreamsMovedError as moved:
                conflicts += 1
                if conflicts >= self._backoff.attempts or time.monotonic() >= request.deadline:
                    return run.lost(moved, conflicts)
                self._backoff.wait(conflicts - 1)
                run.catch_up(moved.winners, fold=conflicts <= RACES_BEFORE_READING)
            else:
                if answer is not None:
                    return answer._replace(conflicts=conflicts)

    def _attempt[C: Command](self, decide: Decision[C], run: Run[C]) -> Transacted | None:
        """Decide and write; None where a refusal is to be proven first."""
        run.begin()
        try:
            writes = by_stream(decide(run.command, run), run.reads)
        except AlreadyDoneError as done:
            return Transacted(run.versions | {done.stream: done.ref.version}, repeated=True)
        except (IdempotencyKeyReusedError, StoreUnavailableError, UnreadableStreamError):
            raise  # Not a refusal on a state.
        except Exception:
            if not run.prove(self._store):
                return None
            raise
        if not writes:
            return Transacted(run.versions) if run.prove(self._store) else None
        return self._write(run, writes)

    def _write[C: Command](self, run: Run[C], writes: Mapping[str, tuple[Event, ...]]) -> Transacted | None:
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
        commits = with_copies(commits, writes)
        guarded = [one.loaded for stream, one in run.reads.items() if stream not in writes]
        try:
            moves = self._moves(run, after)
        except KeyTakenError:
            if not run.prove(self._store):
                return None
            raise
        try:
            self._store.append_together(commits, guards=[one.head for one in guarded], moves=moves)
        except KeysHeldError as held:
            raise taken(held.keys[0]) from held
        for one in (*after, *guarded):
            self._cache.put(one)
        appended = sum(len(commit.events) for commit in commits)
        return Transacted(run.versions | {one.stream: one.version for one in after}, appended)

    def _moves(self, run: Run[Any], after: Iterable[Loaded[Any]]) -> tuple[KeyMove, ...]:
        """Return the unique keys that change hands."""
        changes = [
            Change(known.decider, one.stream, known.loaded.state, one.state)
            for one in after
            if (known := run.reads[one.stream]).decider.unique
        ]
        if changes and self._keys is None:
            raise ValueError(f"{changes[0].stream!r} has unique keys: name what hashes them, as keys=")
        return self._keys.moves(changes) if self._keys else ()

    def _load(self, decider: Decider[Any, Any, Any], stream: str, *, consistent: bool) -> Loaded[Any]:
        return load_sized(self._store, decider, stream, self._pages[decider.category], consistent=consistent)
