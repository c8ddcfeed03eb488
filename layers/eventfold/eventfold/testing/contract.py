"""What every event store must do. Whoever writes another adapter runs this against it.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self) -> EventStore:
            return MyStore()

Each test works on a stream of its own, so one store may serve them all.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

import pytest

from eventfold.core.commit import Commit, CommitPlace, CommitRef, Head, Snapshot
from eventfold.core.errors import (
    InvalidCommitError,
    InvalidStreamNameError,
    ItemTooLargeError,
    VersionConflictError,
    VersionOutOfLineError,
)
from eventfold.core.store import EventStore, Item, end_of
from eventfold.operations.scanning import ScannableStore, Scanned, by_stream, place_of
from eventfold.testing.commits import AT, OTHER, SAME, UNREADABLE, commit


class StoreWithScan(EventStore, ScannableStore, Protocol):
    """An event store whose streams can all be read."""


class StoreContract:
    """Subclass it, and give it a `store` fixture."""

    @pytest.fixture
    def store(self) -> EventStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def stream(self) -> str:
        """Return a stream nobody has used."""
        return f"thing-{uuid.uuid4()}"

    def fill(self, store: EventStore, stream: str, *sizes: int) -> list[Commit]:
        """Append commits of these numbers of events."""
        commits: list[Commit] = []
        head = Head(stream, 0)
        for size in sizes:
            commits.append(commit(stream, head.version + 1, size))
            store.append(commits[-1], after=head)
            head = commits[-1].head
        return commits

    def test_an_empty_stream_reads_as_nothing(self, store: EventStore, stream: str) -> None:
        assert list(store.newest_first(stream)) == []
        assert list(store.oldest_first(stream)) == []
        assert end_of(store, stream) == Head(stream, 0)

    def test_commits_come_back_as_they_were_in_both_orders(self, store: EventStore, stream: str) -> None:
        meta = {"correlation_id": "c", "causation_id": "b", "actor": "ä"}
        first = commit(stream, 1, 3, meta=meta, digest="d", snapshot_due=True)
        store.append(first, after=Head(stream, 0))
        second = commit(stream, 4)
        store.append(second, after=first.head)
        assert list(store.oldest_first(stream)) == [first, second]
        assert list(store.newest_first(stream)) == [second, first]
        assert end_of(store, stream) == Head(stream, 4)

    def test_a_taken_version_is_a_conflict_that_names_the_winner(self, store: EventStore, stream: str) -> None:
        (winner,) = self.fill(store, stream, 2)
        with pytest.raises(VersionConflictError) as caught:
            store.append(commit(stream, 1), after=Head(stream, 0))
        assert caught.value.winner == winner
        assert list(store.oldest_first(stream)) == [winner]

    @pytest.mark.parametrize("blind", [False, True])
    def test_a_commit_that_says_the_same_again_is_stored_once(self, store: EventStore, *, blind: bool) -> None:
        for how, change in SAME.items():
            stream, first, second = self.two_commits(store)
            store.append(change(first), after=None if blind else Head(stream, 0))
            assert list(store.oldest_first(stream)) == [first, second], how

    @pytest.mark.parametrize("blind", [False, True])
    def test_one_that_says_anything_else_is_a_conflict(self, store: EventStore, *, blind: bool) -> None:
        for how, change in OTHER.items():
            stream, first, second = self.two_commits(store)
            with pytest.raises(VersionConflictError) as caught:
                store.append(change(first), after=None if blind else Head(stream, 0))
            assert caught.value.winner == first, how
            assert list(store.oldest_first(stream)) == [first, second], how

    def two_commits(self, store: EventStore) -> tuple[str, Commit, Commit]:
        """Return a new stream and the two commits in it: of two events, long enough to be compressed, and of one."""
        stream = f"thing-{uuid.uuid4()}"
        first, second = commit(stream, 1, 2, "long " * 500, meta={"actor": "a"}, digest="d"), commit(stream, 3)
        store.append(first, after=Head(stream, 0))
        store.append(second, after=first.head)
        return stream, first, second

    def test_an_id_again_at_a_later_version_is_another_commit(self, store: EventStore, stream: str) -> None:
        (first,) = self.fill(store, stream, 2)
        later = replace(first, version=3)
        store.append(later, after=first.head)
        assert list(store.oldest_first(stream)) == [first, later]

    def test_a_time_is_kept_in_utc_to_the_millisecond(self, store: EventStore, stream: str) -> None:
        zone = ZoneInfo("Europe/Berlin")  # An hour of this day comes twice, and its times equal none of another zone.
        for version, fold in enumerate((0, 1), start=1):
            at = datetime(2025, 10, 26, 2, 30, 5, 678999, tzinfo=zone, fold=fold)
            one = commit(stream, version, at=at)
            for _ in range(2):
                store.append(one, after=Head(stream, version - 1))
        kept = [datetime(2025, 10, 26, hour, 30, 5, 678000, tzinfo=UTC) for hour in (0, 1)]
        assert [one.at for one in store.oldest_first(stream)] == kept

    def test_a_commit_out_of_line_is_refused(self, store: EventStore, stream: str) -> None:
        (one,) = self.fill(store, stream, 2)
        for version, after in ((2, one.head), (4, one.head), (0, one.head), (3, Head("thing-other", 2))):
            with pytest.raises(VersionOutOfLineError):
                store.append(commit(stream, version), after=after)
        assert list(store.oldest_first(stream)) == [one]

    def test_a_blind_append_neither_overlaps_nor_leaves_a_gap(self, store: EventStore, stream: str) -> None:
        one, two = self.fill(store, stream, 3, 1)
        with pytest.raises(VersionOutOfLineError):
            store.append(commit(stream, 6), after=None)
        for version in (1, 2, 3, 4):
            with pytest.raises(VersionConflictError):
                store.append(commit(stream, version), after=None)
        store.append(one, after=None)
        five = commit(stream, 5)
        store.append(five, after=None)
        store.append(five, after=None)
        assert list(store.oldest_first(stream)) == [one, two, five]

    def test_a_blind_append_starts_a_stream_and_follows_a_snapshot(self, store: EventStore, stream: str) -> None:
        one = commit(stream, 1)
        store.append(one, after=None)
        store.save_snapshot(Snapshot(stream, 1, "s", "{}", AT))
        store.append(commit(stream, 2), after=None)
        store.append(one, after=None)
        assert [c.version for c in store.oldest_first(stream)] == [1, 2]

    @pytest.mark.parametrize("name", ["", "-", "thing-", "-1", "nodash", "thing-\ud800", "thing-" + "x" * 2043])
    def test_an_improper_stream_name_is_refused(self, store: EventStore, name: str) -> None:
        with pytest.raises(InvalidStreamNameError):
            store.append(commit(name, 1), after=Head(name, 0))
        with pytest.raises(InvalidStreamNameError):
            list(store.newest_first(name))

    def test_a_stream_name_of_512_bytes_is_written_and_a_longer_one_only_read(self, store: EventStore) -> None:
        longest = f"thing-{uuid.uuid4()}-".ljust(511, "x") + "\0"
        store.append(commit(longest, 1), after=Head(longest, 0))
        assert [one.stream for one in store.oldest_first(longest)] == [longest]
        longer = longest + "x"
        for after in (Head(longer, 0), None):
            with pytest.raises(InvalidStreamNameError, match="at most 512 bytes"):
                store.append(commit(longer, 1), after=after)
        assert list(store.newest_first(longer)) == list(store.oldest_first(longer)) == []

    def test_what_could_not_be_read_back_is_refused_and_not_quoted(self, store: EventStore, stream: str) -> None:
        for change in UNREADABLE:
            for after in (Head(stream, 0), None):
                with pytest.raises(InvalidCommitError) as caught:
                    store.append(replace(commit(stream, 1), **change), after=after)  # type: ignore[arg-type] # any field
                assert "lone" not in str(caught.value)
        assert end_of(store, stream) == Head(stream, 0)

    def test_a_commit_over_400_kb_is_refused(self, store: EventStore, stream: str) -> None:
        large = commit(stream, 1, text="x" * 410_000)
        with pytest.raises(ItemTooLargeError):
            store.append(large, after=Head(stream, 0))
        assert end_of(store, stream) == Head(stream, 0)

    def test_a_stream_over_1_mb_reads_back_whole(self, store: EventStore, stream: str) -> None:
        text = "x" * 150_000
        head = Head(stream, 0)
        for version in range(1, 13):
            store.append(commit(stream, version, text=text), after=head)
            head = Head(stream, version)
        assert [c.version for c in store.oldest_first(stream)] == list(range(1, 13))
        assert [i.version for i in store.newest_first(stream)] == list(range(12, 0, -1))
        assert [i.version for i in store.newest_first(stream, page_size=2)] == list(range(12, 0, -1))

    def test_reading_can_start_anywhere(self, store: EventStore, stream: str) -> None:
        self.fill(store, stream, 1, 2, 3, 1)
        assert [c.version for c in store.oldest_first(stream, after=3)] == [4, 7]
        assert [c.version for c in store.oldest_first(stream, after=4)] == [7]
        assert [c.version for c in store.oldest_first(stream, after=7)] == []
        assert [c.version for c in store.oldest_first(stream, page_size=1)] == [1, 2, 4, 7]
        assert [c.version for c in store.oldest_first(stream, after=3, page_size=9)] == [4, 7]
        assert [i.version for i in store.newest_first(stream, upto=3)] == [2, 1]
        assert [i.version for i in store.newest_first(stream, upto=4)] == [4, 2, 1]

    def test_a_snapshot_lies_between_what_it_covers_and_what_follows(self, store: EventStore, stream: str) -> None:
        one, two, three = self.fill(store, stream, 1, 2, 1)
        snapshot = Snapshot(stream, 3, "s1", '{"a":1}', AT, (CommitRef("k", 1, "d"),))
        assert store.save_snapshot(snapshot)
        assert list(store.newest_first(stream)) == [three, snapshot, two, one]
        assert list(store.newest_first(stream, upto=3)) == [snapshot, two, one]
        assert list(store.newest_first(stream, upto=2)) == [two, one]
        assert list(store.oldest_first(stream)) == [one, two, three]

    def test_a_snapshot_is_kept_once_for_a_schema_unless_it_is_to_be_replaced(
        self, store: EventStore, stream: str
    ) -> None:
        self.fill(store, stream, 1)
        assert store.save_snapshot(Snapshot(stream, 1, "s1", "1", AT))
        assert not store.save_snapshot(Snapshot(stream, 1, "s1", "2", AT))
        assert store.save_snapshot(Snapshot(stream, 1, "s2", "3", AT))
        assert next(store.newest_first(stream)) == Snapshot(stream, 1, "s2", "3", AT)
        assert store.save_snapshot(Snapshot(stream, 1, "s2", "4", AT), replace=True)
        assert next(store.newest_first(stream)) == Snapshot(stream, 1, "s2", "4", AT)

    def test_of_many_writers_at_one_version_exactly_one_wins(self, store: EventStore, stream: str) -> None:
        commits = [commit(stream, 1) for _ in range(8)]

        def append(one: Commit) -> bool:
            try:
                store.append(one, after=Head(stream, 0))
            except VersionConflictError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            won = [one for one, success in zip(commits, pool.map(append, commits), strict=True) if success]
        assert list(store.oldest_first(stream)) == won
        assert len(won) == 1


class ScanContract:
    """What a store must do besides, whose streams can all be read: subclass it, and give it a `store` fixture."""

    @pytest.fixture
    def store(self) -> StoreWithScan:
        """Return the store under test."""
        raise NotImplementedError

    def streams(self, store: EventStore) -> dict[str, list[Item]]:
        """Fill a few streams, one of them over a page long, and return what each holds."""
        filled: dict[str, list[Item]] = {}
        for size in (1, 2, 3, 4, 5, 6):
            stream, head = f"thing-{uuid.uuid4()}", Head("", 0)
            filled[stream] = []
            for _ in range(size):
                one = commit(stream, head.version + 1, 2, text="x" * (150_000 if size == 6 else 9))
                store.append(one, after=Head(stream, head.version))
                head = one.head
                filled[stream].append(one)
            snapshot = Snapshot(stream, head.version, "s1", "{}", AT)
            store.save_snapshot(snapshot)
            filled[stream].append(snapshot)
        return filled

    def test_segments_together_are_the_whole_table(self, store: StoreWithScan) -> None:
        filled = self.streams(store)
        found: dict[str, list[Scanned]] = {}
        for segment in range(3):
            for stream, items in by_stream(store.scan(segment, 3)):
                if stream in filled:
                    assert stream not in found
                    found[stream] = list(items)
        assert found == filled

    def test_a_scan_goes_on_behind_any_place(self, store: StoreWithScan) -> None:
        self.streams(store)
        whole = [item for page in store.scan(0, 1) for item in page.items]
        for n, item in enumerate(whole):
            rest = [item for page in store.scan(0, 1, after=place_of(item)) for item in page.items]
            assert rest == whole[n + 1 :]

    def test_a_stream_s_items_are_all_that_lies_in_it(self, store: StoreWithScan) -> None:
        for stream, items in self.streams(store).items():
            assert list(store.items(stream)) == items
        assert list(store.items("thing-none")) == []

    def test_the_streams_that_have_begun_are_told_from_others(self, store: StoreWithScan) -> None:
        streams = [f"thing-{n}" for n in range(130)]
        for stream in streams[::2]:
            store.append(commit(stream, 1), after=Head(stream, 0))
        store.save_snapshot(Snapshot("thing-1", 1, "s1", "{}", AT))
        ids = store.commit_ids(CommitPlace(stream, 1) for stream in streams)
        assert [place.stream for place in sorted(ids)] == sorted(streams[::2])
        first = next(iter(store.oldest_first(streams[0])))
        assert ids[CommitPlace(streams[0], 1)] == first.id
        assert store.commit_ids([]) == {}
