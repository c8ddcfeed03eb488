"""The contract of `append_together`, whatever the store: commits of several streams, all or none."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from typing import TYPE_CHECKING

import pytest

from eventfold.core.commit import Commit, CommitPlace, Head, together
from eventfold.core.errors import InvalidCommitError, StreamsMovedError, VersionConflictError
from eventfold.core.store import end_of
from eventfold.testing.commits import commit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold.core.store import EventStore

WRITERS = 8


class TransactionContract:
    """Subclass it, and give it a `store` fixture."""

    @pytest.fixture
    def store(self) -> EventStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def pair(self) -> tuple[Commit, Commit]:
        """Return two commits that may be written together, to streams that nobody has used."""
        first = commit(f"thing-{uuid.uuid4()}", 1, 2, meta={"actor": "a"}, digest="d")
        return first, commit(f"thing-{uuid.uuid4()}", 1, id=first.id)

    def stored(self, store: EventStore, *streams: str) -> list[Commit]:
        """Return all commits of these streams."""
        return [one for stream in streams for one in store.oldest_first(stream)]

    def test_commits_are_written_together_and_know_each_other(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        first, second = pair
        store.append_together(pair)
        assert self.stored(store, first.stream, second.stream) == list(together(pair))
        (one,) = store.oldest_first(first.stream)
        assert one.siblings == (CommitPlace(second.stream, 1),)
        assert one.id == first.id
        assert end_of(store, first.stream) == Head(first.stream, 2)

    def test_one_commit_alone_is_written_as_ever(self, store: EventStore, pair: tuple[Commit, Commit]) -> None:
        store.append_together(pair[:1])
        assert self.stored(store, pair[0].stream) == [pair[0]]
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together([replace(pair[0], id="another")])
        assert caught.value.winners == {pair[0].stream: pair[0]}

    def test_nothing_is_written_where_one_version_is_taken(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        there = commit(pair[1].stream, 1)
        store.append(there, after=Head(there.stream, 0))
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together(pair)
        assert caught.value.winners == {there.stream: there}
        assert self.stored(store, pair[0].stream, pair[1].stream) == [there]

    def test_every_stream_that_has_moved_is_named_with_what_came_first(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        rivals = [replace(one, id="rival", digest="") for one in pair]
        for one in rivals:
            store.append(one, after=Head(one.stream, 0))
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together(pair)
        assert caught.value.winners == {one.stream: one for one in rivals}

    @pytest.mark.parametrize("version", [0, 3])
    def test_a_guard_holds_while_nobody_writes_behind_it(
        self, store: EventStore, pair: tuple[Commit, Commit], version: int
    ) -> None:
        stream = f"thing-{uuid.uuid4()}"
        if version:
            store.append(commit(stream, 1, version), after=Head(stream, 0))
        store.append_together(pair, guards=[Head(stream, version)])
        assert len(self.stored(store, pair[0].stream, pair[1].stream)) == 2
        behind = commit(stream, version + 1)
        store.append(behind, after=Head(stream, version))
        later = [replace(one, version=one.last_version + 1, id="later") for one in pair]
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together(later, guards=[Head(stream, version)])
        assert caught.value.winners == {stream: behind}
        assert len(self.stored(store, pair[0].stream, pair[1].stream)) == 2
        store.append_together(later, guards=[behind.head])
        assert len(self.stored(store, pair[0].stream, pair[1].stream)) == 4

    def test_one_commit_behind_a_guard_is_a_transaction_too(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        first, guarded = pair
        store.append_together([first], guards=[Head(guarded.stream, 0)])
        assert self.stored(store, first.stream) == [first]
        store.append(guarded, after=Head(guarded.stream, 0))
        with pytest.raises(StreamsMovedError):
            store.append_together([replace(first, version=3)], guards=[Head(guarded.stream, 0)])
        assert self.stored(store, first.stream) == [first]

    def test_guards_alone_show_that_streams_stood_so_together(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        first, second = pair
        heads = [Head(first.stream, 0), Head(second.stream, 0)]
        store.append_together([], guards=heads)
        store.append_together([], guards=heads[:1])
        store.append(second, after=heads[1])
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together([], guards=heads)
        assert caught.value.winners == {second.stream: second}

    def test_the_same_again_is_stored_once_whatever_has_come_since(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        guard = Head(f"thing-{uuid.uuid4()}", 0)
        store.append_together(pair, guards=[guard])
        store.append(commit(guard.stream, 1), after=guard)
        store.append(commit(pair[1].stream, 2), after=pair[1].head)
        store.append_together(pair, guards=[guard])
        assert len(self.stored(store, pair[0].stream)) == 1
        assert len(self.stored(store, pair[1].stream)) == 2

    def test_the_same_commits_with_others_are_not_the_same_again(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        store.append_together(pair)
        third = commit(f"thing-{uuid.uuid4()}", 1, id=pair[0].id)
        with pytest.raises(StreamsMovedError):
            store.append_together([*pair, third])
        assert self.stored(store, third.stream) == []
        with pytest.raises(VersionConflictError):
            store.append(pair[0], after=Head(pair[0].stream, 0))

    @pytest.mark.parametrize(
        "fault", ["nothing", "twice", "guarded twice", "ids", "version", "guard", "too many", "large"]
    )
    def test_what_can_t_be_written_together_is_refused_by_name(
        self, store: EventStore, pair: tuple[Commit, Commit], fault: str
    ) -> None:
        first, second = pair
        commits: Sequence[Commit] = pair
        guards = [Head("thing-g", 0)]
        match fault:
            case "nothing":
                commits, guards = [], []
            case "twice":
                commits = [first, replace(first, version=3)]
            case "guarded twice":
                guards = [Head(first.stream, 0)]
            case "ids":
                commits = [first, replace(second, id="another")]
            case "version":
                commits = [first, replace(second, version=0)]
            case "guard":
                guards = [Head("thing-g", -1)]
            case "too many":
                guards = [Head(f"thing-{n}", 0) for n in range(99)]
            case "large":
                commits = [commit(f"thing-{n}", 1, text="x" * 380_000, id="large") for n in range(12)]
        with pytest.raises(InvalidCommitError):
            store.append_together(commits, guards=guards)
        assert self.stored(store, first.stream, second.stream) == []

    def test_a_hundred_streams_are_written_together(self, store: EventStore) -> None:
        mark = uuid.uuid4()
        store.append_together([commit(f"thing-{mark}-{n}", 1, id="id") for n in range(100)])
        (last,) = store.oldest_first(f"thing-{mark}-99")
        assert len(last.siblings) == 99

    def test_of_writers_that_cross_each_other_each_wins_whole_or_not_at_all(
        self, store: EventStore, pair: tuple[Commit, Commit]
    ) -> None:
        streams = (pair[0].stream, pair[1].stream)

        def write(number: int) -> bool:
            order = streams if number % 2 else streams[::-1]
            try:
                store.append_together([commit(stream, 1, id=f"writer-{number}") for stream in order])
            except StreamsMovedError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(write, range(WRITERS)))
        assert won.count(True) == 1
        assert {one.id for one in self.stored(store, *streams)} == {f"writer-{won.index(True)}"}
