"""Command handling: load, decide, append; again, a bounded number of times, when a race is lost."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from contextlib import suppress
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import to_json

from eventfold.aggregates.caching import CACHED_STATES, StateCache
from eventfold.aggregates.loading import Loaded, apply, follow, load_sized
from eventfold.aggregates.pages import DEFAULT_INTERVAL, FirstPages
from eventfold.aggregates.snapshots import crosses_boundary
from eventfold.core.backoff import Backoff
from eventfold.core.commit import Commit, CommitRef
from eventfold.core.errors import (
    IdempotencyKeyReusedError,
    InvalidCommitError,
    KeysHeldError,
    PreconditionFailedError,
    StreamsMovedError,
    TooManyConflictsError,
    VersionConflictError,
)
from eventfold.core.events import Event
from eventfold.core.shape import in_order
from eventfold.core.unique import Change, taken

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventfold.core.decider import Command, Decider
    from eventfold.core.store import EventStore
    from eventfold.core.stored import StoredEvent
    from eventfold.core.unique import Keys

RACES_BEFORE_READING = 2
"""Lost races whose winners are folded in; behind them one read saves several lost writes."""


@dataclass(frozen=True, slots=True)
class Request:
    """What comes with a command besides the command.

    `key` is the caller's idempotency key, `caller` whose it is. `expected_version` runs the command at that version
    or not at all. `meta` is stored with the commit: correlation id, causation id, actor. After `deadline`, in
    seconds of `time.monotonic`, a lost race is not run again. `new` says that the aggregate's id was made for this
    command: without a key to look for there is nothing to read, and the write would find what is there all the same.
    """

    key: str | None = None
    caller: str = ""
    expected_version: int | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    deadline: float = math.inf
    new: bool = False


_PLAIN = Request()


class Outcome(NamedTuple):
    """What became of a command.

    `version` is the aggregate's version after it. `appended` counts its new events, 0 when there was
    nothing to do or when this is a repeat. `conflicts` counts the races lost on the way.
    """

    version: int
    appended: int = 0
    conflicts: int = 0
    repeated: bool = False


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)


class _View[S: BaseModel](NamedTuple):
    """An aggregate as a command sees it; `proven` if a consistent read found it so after the command came."""

    loaded: Loaded[S]
    proven: bool = False


def new_commit_id() -> str:
    """Return an id for a commit whose command has no key: 96 random bits in 16 characters, as every read pays for it.

    It tells one commit from another at the same version of the same stream, and no more.
    """
    return secrets.token_urlsafe(12)


class CommandHandler[C: Command, S: BaseModel, E: Event]:
    """Runs commands against one kind of aggregate.

    An aggregate that this process knows, or that is new, costs one write; any other costs a read at half price before
    it. What is accepted is proven by the conditional write, and what is refused is decided again on a consistent read:
    a stale state may cost a retry, never a wrong answer. A lost race costs one write more: the commit that won comes
    back with the refusal, is folded in, and the command is decided again.
    """

    def __init__(  # noqa: PLR0913 - settings by name, each with its default
        self,
        store: EventStore,
        decider: Decider[C, S, E],
        *,
        snapshot_every: int = DEFAULT_INTERVAL,
        backoff: Backoff | None = None,
        clock: Callable[[], datetime] = utc_now,
        cached_states: int = CACHED_STATES,
        keys: Keys | None = None,
    ) -> None:
        """Take `keys` where the aggregate has unique keys.

        Raises:
            ValueError: it has, and there are none.
        """
        if decider.unique and keys is None:
            raise ValueError(f"the aggregate {decider.category!r} has unique keys: name what hashes them, as keys=")
        self._store = store
        self._decider = decider
        self._keys = keys
        self._snapshot_every = snapshot_every
        self._pages = FirstPages(snapshot_every)
        self._backoff = backoff or Backoff()
        self._clock = clock
        self._cache: StateCache[S] = StateCache(cached_states)

    def handle(self, id_: str, command: C, request: Request = _PLAIN) -> Outcome:
        """Run one command on one aggregate.

        Raises:
            PreconditionFailedError: the aggregate is not at the expected version.
            IdempotencyKeyReusedError: the key belongs to another command.
            TooManyConflictsError: each attempt lost its race.
            KeyTakenError: another aggregate has a unique key that this one comes to.
            InvalidCommitError, UnreadableStreamError, StoreUnavailableError: see there.
            Exception: whatever the domain's `decide` raises to refuse the command.
        """
        ref = new_ref(command, request)
        stream = self._decider.stream(id_)
        view = _View(self._first(stream, request))
        for attempt in range(self._backoff.attempts):
            view, answer = self._answer(view, command, ref, request)
            if isinstance(answer, Outcome):
                return replace(answer, conflicts=attempt)
            stored, events = self._decider.codec.encode_all(answer)
            commit = next_commit(
                view.loaded, stored, ref, request, now=self._clock(), snapshot_every=self._snapshot_every
            )
            # Folded in before it is written: what can't be replayed must not be stored.
            after = follow(self._decider, view.loaded, commit, events)
            try:
                self._append(commit, view.loaded, after)
            except VersionConflictError as conflict:
                if attempt + 1 == self._backoff.attempts or time.monotonic() >= request.deadline:
                    return self._lost(view.loaded, conflict, ref, attempt + 1)
                self._backoff.wait(attempt)
                view = self._catch_up(view, conflict, attempt)
            else:
                self._cache.put(after)
                return Outcome(commit.last_version, len(commit.events), conflicts=attempt)
        raise AssertionError("attempts is at least 1")

    def _append(self, commit: Commit, before: Loaded[S], after: Loaded[S]) -> None:
        """Write the commit: by itself, where no unique key changes hands with it.

        Raises:
            VersionConflictError: another commit has its version.
            KeyTakenError: nobody has, and another aggregate has a key.
        """
        change = Change(self._decider, commit.stream, before.state, after.state)
        moves = self._keys.moves([change]) if self._keys and self._decider.unique else ()
        if not moves:
            self._store.append(commit, after=before.head)
            return
        try:
            self._store.append_together([commit], moves=moves)
        except StreamsMovedError as moved:
            raise VersionConflictError(commit.stream, commit.version, moved.winners[commit.stream]) from moved
        except KeysHeldError as held:
            raise taken(held.keys[0]) from held

    def _lost(self, loaded: Loaded[S], conflict: VersionConflictError, ref: CommitRef, attempts: int) -> Outcome:
        """Give up, unless the winner is what this very command wrote when it was sent before, under its key."""
        if conflict.winner is not None:
            earlier = past_commit(apply(self._decider, loaded, conflict.winner), ref)
            if earlier is not None:
                return Outcome(earlier.version, conflicts=attempts, repeated=True)
        raise TooManyConflictsError(loaded.stream, attempts) from conflict

    def _first(self, stream: str, request: Request) -> Loaded[S]:
        """Return the aggregate as cheaply as it can be had; it may be stale."""
        if request.new and request.key is None:
            return Loaded(stream, 0, self._decider.initial)
        return self._cache.get(stream) or self._load(stream, consistent=False)

    def _answer(
        self, view: _View[S], command: C, ref: CommitRef, request: Request
    ) -> tuple[_View[S], Outcome | Sequence[E]]:
        """Decide; again on a consistent read before anything is refused or found to be done."""
        if not view.proven:
            with suppress(Exception):  # A refusal is whatever the domain raises.
                answer = self._decide(view.loaded, command, ref, request)
                if not isinstance(answer, Outcome) or answer.repeated:
                    return view, answer
            view = _View(self._load(view.loaded.stream, consistent=True), proven=True)
            self._cache.put(view.loaded)
        return view, self._decide(view.loaded, command, ref, request)

    def _decide(self, loaded: Loaded[S], command: C, ref: CommitRef, request: Request) -> Outcome | Sequence[E]:
        """Return what happens; or what became of it, where nothing does or the key has made its commit before."""
        if (earlier := past_commit(loaded, ref)) is not None:
            return Outcome(earlier.version, repeated=True)
        if request.expected_version not in (None, loaded.version):
            raise PreconditionFailedError(loaded.stream, request.expected_version, loaded.version)
        return self._decider.decide(command, loaded.state) or Outcome(loaded.version)

    def _load(self, stream: str, *, consistent: bool) -> Loaded[S]:
        return load_sized(self._store, self._decider, stream, self._pages, consistent=consistent)

    def _catch_up(self, view: _View[S], conflict: VersionConflictError, attempt: int) -> _View[S]:
        """Fold in the winner; from the third lost race on, whatever else came: one read saves several lost writes."""
        if conflict.winner is not None and attempt < RACES_BEFORE_READING:
            return replace(view, loaded=apply(self._decider, view.loaded, conflict.winner))
        loaded = view.loaded
        for commit in self._store.oldest_first(loaded.stream, after=loaded.version):
            loaded = apply(self._decider, loaded, commit)
        return _View(loaded, proven=True)


def new_ref(command: Command, request: Request) -> CommitRef:
    """Name the commit: by the caller's key, with a digest of what was asked for and by whom.

    A field that was left out is no part of it: that is another request than one that says null.

    Raises:
        InvalidCommitError: there is a key, and the command or its caller has no form as text.
    """
    if request.key is None:
        return CommitRef(new_commit_id(), 0, "")
    try:
        data, given = (command.model_dump(mode=mode, exclude_unset=True, warnings=False) for mode in ("json", "python"))
        asked = b"\n".join((type(command).__name__.encode(), request.caller.encode(), to_json(in_order(data, given))))
    except Exception as error:  # noqa: BLE001 - a serializer may be the user's code, and its words quote the command
        what = f"{type(command).__name__} or its caller has no form as text: {type(error).__name__}"
        raise InvalidCommitError(what) from None
    return CommitRef(request.key, 0, hashlib.sha256(asked).hexdigest()[:16])


def next_commit(  # noqa: PLR0913 - what a commit is made of
    loaded: Loaded[Any],
    events: tuple[StoredEvent, ...],
    ref: CommitRef,
    request: Request,
    *,
    now: datetime,
    snapshot_every: int,
) -> Commit:
    """Return the commit that follows an aggregate as it was loaded."""
    first, last = loaded.version + 1, loaded.version + len(events)
    return Commit(
        stream=loaded.stream,
        version=first,
        events=events,
        id=ref.id,
        # Clocks of two writers differ; a stream's own time never runs backwards.
        at=max(now, loaded.at) if loaded.at else now,
        meta=request.meta,
        digest=ref.digest,
        snapshot_due=crosses_boundary(first, last, snapshot_every),
    )


def past_commit[S: BaseModel](loaded: Loaded[S], ref: CommitRef) -> CommitRef | None:
    """Return the commit that this key made before, if it did.

    Raises:
        IdempotencyKeyReusedError: it was made by another command.
    """
    earlier = next((known for known in loaded.refs if known.id == ref.id), None)
    if earlier is not None and earlier.digest != ref.digest:
        raise IdempotencyKeyReusedError(loaded.stream)
    return earlier
