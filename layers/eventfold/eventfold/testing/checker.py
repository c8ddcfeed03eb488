"""A history checker: what writers were told, held against what the tables have.

    ledger = Ledger()
    store = ledger.watch(DynamoDBEventStore(client, table))   # one for each writer
    ...
    findings = check_streams(ledger.attempts, items) + check_rows(...) + check_tally(...)

A writer's word is one of three: acknowledged, refused, or unknown (no answer came). Whatever was acknowledged has to
be in the table exactly once, at its version; what was refused has to be nowhere; the unknown may be either, once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from eventfold.core.commit import Commit, together
from eventfold.core.errors import EventfoldError, StoreUnavailableError
from eventfold.dynamodb.items import item_to_commit_or_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient
    from pydantic import BaseModel

    from eventfold.core.commit import Head
    from eventfold.core.decider import Decider
    from eventfold.core.events import Event
    from eventfold.core.store import EventStore, Item
    from eventfold.core.unique import KeyMove
    from eventfold.read_models.projections import Projection, Row
    from eventfold.read_models.tallies import Counts, Tally


class Word(StrEnum):
    """What a writer was told."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to append a commit."""

    commit: Commit
    word: Word


class Wrong(StrEnum):
    """What can be wrong."""

    LOST = "lost"
    """Acknowledged, and not in the table at its version."""
    DOUBLED = "doubled"
    """In the table more than once."""
    REFUSED_YET_STORED = "refused, yet stored"
    NEVER_ATTEMPTED = "never attempted"
    """In the table, and no writer has sent it."""
    OUT_OF_LINE = "versions not contiguous"
    DIFFERING = "differing"
    """A row, a counter or a snapshot is not what the events say."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong with a stream."""

    stream: str
    wrong: Wrong
    detail: str

    def __str__(self) -> str:
        return f"{self.stream}: {self.wrong}: {self.detail}"


class Ledger:
    """Notes what the writers of stores were told. Safe for threads."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def watch(self, store: EventStore) -> EventStore:
        """Return the store, with each append noted."""
        return _Watched(store, self.attempts)


class _Watched:
    """An event store whose appends are noted."""

    def __init__(self, store: EventStore, attempts: list[Attempt]) -> None:
        self._store = store
        self._attempts = attempts
        self.newest_first = store.newest_first
        self.oldest_first = store.oldest_first
        self.save_snapshot = store.save_snapshot

    def append(self, commit: Commit, *, after: Head | None) -> None:
        """See `EventStore.append`."""
        with self._noted((commit,)):
            self._store.append(commit, after=after)

    def append_together(
        self, commits: Sequence[Commit], *, guards: Sequence[Head] = (), moves: Sequence[KeyMove] = ()
    ) -> None:
        """See `EventStore.append_together`."""
        with self._noted(together(commits, guards)):
            self._store.append_together(commits, guards=guards, moves=moves)

    @contextmanager
    def _noted(self, commits: Iterable[Commit]) -> Iterator[None]:
        word = Word.UNKNOWN
        try:
            yield
            word = Word.ACKNOWLEDGED
        except EventfoldError as error:
            if not isinstance(error, StoreUnavailableError):
                word = Word.REFUSED
            raise
        finally:  # A process that dies here has heard nothing.
            self._attempts += [Attempt(commit, word) for commit in commits]


def read_table(client: DynamoDBClient, table: str) -> Iterator[Item]:
    """Yield every item of an event table, read consistently and past the store, which might be what is wrong."""
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from map(item_to_commit_or_snapshot, page["Items"])


def commits_by_stream(items: Iterable[Item]) -> dict[str, list[Commit]]:
    """Return the commits of each stream, in order."""
    streams: dict[str, list[Commit]] = defaultdict(list)
    for item in items:
        if isinstance(item, Commit):
            streams[item.stream].append(item)
    return {stream: sorted(commits, key=lambda one: one.version) for stream, commits in sorted(streams.items())}


def check_streams(attempts: Iterable[Attempt], items: Iterable[Item]) -> list[Finding]:
    """Hold the event table against what the writers were told."""
    stored = commits_by_stream(items)
    tried: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        tried[attempt.commit.stream].append(attempt)
    findings: list[Finding] = []
    for stream in sorted(stored.keys() | tried.keys()):
        findings += _check_stream(stream, tried[stream], stored.get(stream, []))
    return findings


def _check_stream(stream: str, attempts: Sequence[Attempt], commits: Sequence[Commit]) -> Iterator[Finding]:
    yield from _lost(stream, attempts, {commit.version: commit for commit in commits})
    yield from _not_sent_once(stream, attempts, commits)
    if commits and commits[0].version != 1:
        yield Finding(stream, Wrong.OUT_OF_LINE, f"begins at version {commits[0].version}")
    for before, after in pairwise(commits):
        if after.version != before.last_version + 1:
            yield Finding(stream, Wrong.OUT_OF_LINE, f"version {after.version} follows {before.last_version}")


def _lost(stream: str, attempts: Sequence[Attempt], at: Mapping[int, Commit]) -> Iterator[Finding]:
    for attempt in attempts:
        sent, there = attempt.commit, at.get(attempt.commit.version)
        if attempt.word is Word.ACKNOWLEDGED and there != sent:
            yield Finding(stream, Wrong.LOST, _place(sent))


def _not_sent_once(stream: str, attempts: Sequence[Attempt], commits: Sequence[Commit]) -> Iterator[Finding]:
    words: dict[tuple[int, str], set[Word]] = defaultdict(set)
    for attempt in attempts:
        words[attempt.commit.version, attempt.commit.id].add(attempt.word)
    times = Counter(commit.id for commit in commits)
    for commit in commits:
        heard = words.get((commit.version, commit.id), set())
        if times[commit.id] > 1:
            yield Finding(stream, Wrong.DOUBLED, _place(commit))
        if not heard:
            yield Finding(stream, Wrong.NEVER_ATTEMPTED, _place(commit))
        # One refusal says nothing of a commit that another try, unanswered, may have written.
        elif heard == {Word.REFUSED}:
            yield Finding(stream, Wrong.REFUSED_YET_STORED, _place(commit))


def _place(commit: Commit) -> str:
    return f"version {commit.version}, commit {commit.id}"


def check_rows[R: BaseModel, E: Event](
    projection: Projection[R, E], items: Iterable[Item], rows: Mapping[str, Row]
) -> list[Finding]:
    """Hold a read model's rows, by stream, against the fold of all events."""
    expected = {
        stream: projection.advance(None, (one for commit in commits for one in projection.codec.recorded(commit)))
        for stream, commits in commits_by_stream(items).items()
        if projection.follows(stream)
    }
    return [
        Finding(stream, Wrong.DIFFERING, f"{projection.name} has {_short(rows.get(stream))}, not {_short(row)}")
        for stream in sorted(expected.keys() | rows.keys())
        if (row := expected.get(stream)) != rows.get(stream)
    ]


def recount[E: Event](tally: Tally[E], items: Iterable[Item]) -> Counts:
    """Return a tally's counters as all events give them."""
    return tally.counts(
        one
        for stream, commits in commits_by_stream(items).items()
        if tally.follows(stream)
        for commit in commits
        for one in tally.codec.recorded(commit)
    )


def check_tally[E: Event](tally: Tally[E], items: Iterable[Item], counted: Counts) -> list[Finding]:
    """Hold a tally's counters against the recount of all events. The finding's stream is the counter's row."""
    expected = recount(tally, items)
    return [
        Finding(row, Wrong.DIFFERING, f"{tally.name} {name} is {is_}, not {should}")
        for row in sorted(expected.keys() | counted.keys())
        for name in sorted(expected.get(row, {}).keys() | counted.get(row, {}).keys())
        if (is_ := counted.get(row, {}).get(name, 0)) != (should := expected.get(row, {}).get(name, 0))
    ]


def check_snapshots(decider: Decider[Any, Any, Any], items: Iterable[Item]) -> list[Finding]:
    """Hold each snapshot that a load uses against the replay of the events that it covers."""
    items = list(items)
    streams = commits_by_stream(items)
    snapshots = [item for item in items if not isinstance(item, Commit) and item.schema == decider.schema]
    findings: list[Finding] = []
    for snapshot in snapshots:
        covered = [one for one in streams.get(snapshot.stream, []) if one.last_version <= snapshot.version]
        events = [one.event for commit in covered for one in decider.codec.recorded(commit) if not one.retired]
        state = decider.fold(decider.initial, events)
        last = covered[-1].last_version if covered else 0
        if last != snapshot.version or decider.restore(snapshot) != state:
            findings.append(Finding(snapshot.stream, Wrong.DIFFERING, f"the snapshot of version {snapshot.version}"))
    return findings


def _short(row: Row | None) -> str:
    return f"version {row.version}: {row.data}" if row else "no row"
