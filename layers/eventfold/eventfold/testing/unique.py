"""The contract of unique keys, whatever the store: claimed, moved and released with the commits that do it."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from copy import replace
from typing import TYPE_CHECKING

import pytest

from eventfold.core.commit import Head
from eventfold.core.errors import InvalidCommitError, KeysHeldError, StreamsMovedError
from eventfold.core.unique import KeyMove
from eventfold.testing.commits import commit

if TYPE_CHECKING:
    from eventfold.core.store import EventStore
    from eventfold.core.unique import ClaimStore

WRITERS = 8


def claim(key: str, stream: str, *others: str) -> KeyMove:
    """Return how a stream comes to a key that is free, its own, or one of these others'."""
    return KeyMove(key, stream, (stream, *others))


def release(key: str, stream: str) -> KeyMove:
    """Return how a stream gives up its key."""
    return KeyMove(key, None, (stream,))


class UniqueKeyContract:
    """Subclass it, and give it the fixtures `store` and `claims`."""

    @pytest.fixture
    def store(self) -> EventStore:
        """Return the store under test."""
        raise NotImplementedError

    @pytest.fixture
    def claims(self) -> ClaimStore:
        """Return where its claims are read."""
        raise NotImplementedError

    @pytest.fixture
    def key(self) -> str:
        """Return a key that nobody has."""
        return f"thing.name#{uuid.uuid4()}"

    def test_a_key_is_claimed_with_its_commit_and_not_without(
        self, store: EventStore, claims: ClaimStore, key: str
    ) -> None:
        first, second = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        store.append_together([first], moves=[claim(key, first.stream)])
        assert claims.holders([key, "thing.name#nobody"]) == {key: first.stream}
        assert list(store.oldest_first(first.stream)) == [first], "one commit alone has no siblings"
        with pytest.raises(KeysHeldError) as caught:
            store.append_together([second], moves=[claim(key, second.stream)])
        assert caught.value.keys == (key,)
        assert key not in str(caught.value)
        assert list(store.oldest_first(second.stream)) == []

    def test_a_stream_that_has_moved_is_told_before_a_key_that_is_held(
        self, store: EventStore, claims: ClaimStore, key: str
    ) -> None:
        holder, there = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        store.append_together([holder], moves=[claim(key, holder.stream)])
        store.append(there, after=Head(there.stream, 0))
        with pytest.raises(StreamsMovedError) as caught:
            store.append_together([replace(there, id="late")], moves=[claim(key, there.stream)])
        assert caught.value.winners == {there.stream: there}
        assert claims.holders([key]) == {key: holder.stream}

    def test_a_key_moves_and_is_released_and_claimed_again(
        self, store: EventStore, claims: ClaimStore, key: str
    ) -> None:
        first, second = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        other = f"{key}-other"
        store.append_together([first], moves=[claim(key, first.stream)])
        moved = commit(first.stream, 2)
        store.append_together([moved], moves=[claim(other, first.stream), release(key, first.stream)])
        assert claims.holders([key, other]) == {other: first.stream}
        store.append_together([second], moves=[claim(key, second.stream)])
        assert claims.holders([key, other]) == {key: second.stream, other: first.stream}

    def test_a_key_goes_from_one_stream_to_another_in_one_transaction(
        self, store: EventStore, claims: ClaimStore, key: str
    ) -> None:
        first, second = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        store.append_together([first], moves=[claim(key, first.stream)])
        both = [commit(first.stream, 2, id="both"), replace(second, id="both")]
        store.append_together(both, moves=[claim(key, second.stream, first.stream)])
        assert claims.holders([key]) == {key: second.stream}

    @pytest.mark.parametrize("others", [True, False])
    def test_the_release_of_a_key_that_is_not_one_s_own_changes_nothing(
        self, store: EventStore, claims: ClaimStore, key: str, *, others: bool
    ) -> None:
        """Of before the key was a key: the stream came to it when nobody claimed any."""
        holder, late = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        if others:
            store.append_together([holder], moves=[claim(key, holder.stream)])
        other = f"{key}-other"
        store.append_together([late], moves=[release(key, late.stream), claim(other, late.stream)])
        assert list(store.oldest_first(late.stream)) == [late]
        assert claims.holders([key, other]) == ({key: holder.stream} if others else {}) | {other: late.stream}

    def test_the_same_again_is_stored_once_whoever_has_the_key_by_now(
        self, store: EventStore, claims: ClaimStore, key: str
    ) -> None:
        first, second = (commit(f"thing-{uuid.uuid4()}", 1) for _ in range(2))
        for _ in range(2):
            store.append_together([first], moves=[claim(key, first.stream)])
        store.append_together([commit(first.stream, 2)], moves=[release(key, first.stream)])
        store.append_together([second], moves=[claim(key, second.stream)])
        store.append_together([first], moves=[claim(key, first.stream)])
        assert claims.holders([key]) == {key: second.stream}

    def test_keys_change_hands_behind_a_guard_alone(self, store: EventStore, claims: ClaimStore, key: str) -> None:
        """What fills in claims of events that are there."""
        first = commit(f"thing-{uuid.uuid4()}", 1)
        store.append(first, after=Head(first.stream, 0))
        with pytest.raises(StreamsMovedError):
            store.append_together([], guards=[Head(first.stream, 0)], moves=[claim(key, first.stream)])
        assert claims.holders([key]) == {}
        store.append_together([], guards=[first.head], moves=[claim(key, first.stream)])
        assert claims.holders([key]) == {key: first.stream}

    def test_too_many_keys_are_refused_before_any_call(self, store: EventStore) -> None:
        one = commit(f"thing-{uuid.uuid4()}", 1)
        with pytest.raises(InvalidCommitError, match="100 streams"):
            store.append_together([one], moves=[claim(f"thing.name#{n}", one.stream) for n in range(100)])
        assert list(store.oldest_first(one.stream)) == []

    def test_every_claim_is_listed(self, store: EventStore, claims: ClaimStore, key: str) -> None:
        one = commit(f"thing-{uuid.uuid4()}", 1)
        keys = {f"{key}-{n}" for n in range(90)}
        store.append_together([one], moves=[claim(each, one.stream) for each in keys])
        listed = {each.key: each.stream for page in claims.listed() for each in page}
        assert listed.items() >= dict.fromkeys(keys, one.stream).items()

    def test_of_many_who_claim_a_key_exactly_one_has_it(self, store: EventStore, claims: ClaimStore, key: str) -> None:
        def write(number: int) -> bool:
            one = commit(f"{key.replace('.', '')}-{number}", 1)
            try:
                store.append_together([one], moves=[claim(key, one.stream)])
            except KeysHeldError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            won = list(pool.map(write, range(WRITERS)))
        assert won.count(True) == 1
        assert claims.holders([key])[key].endswith(f"-{won.index(True)}")
