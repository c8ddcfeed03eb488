"""Unique keys: which values are the same, what a command claims and releases, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from eventfold import Backoff, Command, CommandHandler, Commit, Decider, Event, Head, Keys, Request, Unique, caseless
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.core.errors import KeyTakenError
from eventfold.core.unique import KeyMove, exact
from eventfold.memory import MemoryEventStore
from eventfold.testing.commits import AT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventfold.aggregates.transactions import Streams, Writes

KEYS = Keys(lambda: b"k" * 32)


class Named(Event, name="Named"):
    name: str | None
    badge: str | None = None


class Member(BaseModel, frozen=True):
    name: str | None = None
    badge: str | None = None


class Name(Command):
    name: str | None
    badge: str | None = None


NAME = Unique[Member]("name", of=lambda one: one.name, fold=caseless)
BADGE = Unique[Member]("badge", of=lambda one: (one.name or "", one.badge) if one.badge else None)
MEMBERS: Decider[Name, Member, Named] = Decider(
    "member",
    Member(),
    lambda command, one: [Named(**command.model_dump())] if command.model_dump() != one.model_dump() else [],
    lambda _, event: Member(**event.model_dump()),
    (Named,),
    unique=(NAME, BADGE),
)


class Store(MemoryEventStore):
    """Counts transactions and plain appends, and lets others write first."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = 0
        self.moves: list[int] = []
        self.before: list[Any] = []

    def append(self, commit: Commit, **more: Any) -> None:
        self.plain += 1
        super().append(commit, **more)

    def append_together(self, commits: Sequence[Commit], **more: Any) -> None:
        if self.before:
            self.before.pop(0)()
        self.moves.append(len(more.get("moves", ())))
        super().append_together(commits, **more)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def members(store: Store) -> CommandHandler[Name, Member, Named]:
    return CommandHandler(store, MEMBERS, keys=KEYS, backoff=Backoff(base=0))


type Members = CommandHandler[Name, Member, Named]


def holder(store: Store, rule: Unique[Any], value: str | tuple[str, ...]) -> str | None:
    key = KEYS.stored("member", rule, value)
    return store.holders([key]).get(key)


def test_what_is_folded_alike_is_one_key() -> None:
    same = [("ADA", "ada"), ("é", "e\u0301"), ("Straße", "STRASSE"), ("ﬁ", "FI"), ("K", "\u212a")]
    assert all(NAME.folded(one) == NAME.folded(other) for one, other in same)
    assert NAME.folded("ada") != NAME.folded("adb")
    plain = Unique[Member]("plain", of=lambda one: one.name)
    assert plain.fold is exact
    assert plain.folded("ADA") != plain.folded("ada")


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert caseless(caseless(text)) == caseless(text)


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
    st.lists(st.text(st.characters(exclude_categories=["Cs"]))),
)
def test_parts_of_a_key_do_not_run_into_each_other(one: list[str], other: list[str]) -> None:
    rule = Unique[Member]("rule", of=lambda _: None)
    same = KEYS.stored("c", rule, tuple(one)) == KEYS.stored("c", rule, tuple(other))
    assert same is (one == other)


def test_a_key_hangs_on_category_name_and_the_hash_s_key() -> None:
    stored = {
        KEYS.stored("member", NAME, "ada"),
        KEYS.stored("other", NAME, "ada"),
        KEYS.stored("member", Unique[Member]("other", of=lambda one: one.name, fold=caseless), "ada"),
        Keys(lambda: b"another key of a hash").stored("member", NAME, "ada"),
    }
    assert len(stored) == 4
    # Pinned: what is stored is found by the same hash for ever.
    assert KEYS.stored("member", NAME, "Ada") == "member.name#gv5DdH9aEcf9TARPeHfxlyixJF_-1tIGeEXM5DdkcfE"


def test_the_hash_s_key_is_asked_for_once_and_shown_nowhere() -> None:
    asked: list[int] = []

    def secret() -> bytes:
        asked.append(1)
        return b"s" * 16

    keys = Keys(secret)
    assert "secret" not in repr(keys)
    assert not asked
    keys.stored("c", NAME, "a")
    keys.stored("c", NAME, "b")
    assert asked == [1]
    with pytest.raises(ValueError, match="16 bytes"):
        Keys(lambda: b"short").stored("c", NAME, "a")


@pytest.mark.parametrize("name", ["", "e-mail", "a#b", "a.b", "é"])
def test_a_key_s_name_is_a_plain_word(name: str) -> None:
    with pytest.raises(ValueError, match="letters"):
        Unique[Member](name, of=lambda one: one.name)


def test_keys_are_claimed_moved_and_released_and_plain_commits_stay_plain(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada", badge="7"))
    assert (store.plain, store.moves) == (0, [2])
    assert holder(store, NAME, "ADA") == holder(store, BADGE, ("ada", "7")) == "member-1"
    members.handle("1", Name(name="ADA", badge="7"))  # The same name; another badge, as that is not folded.
    assert store.moves == [2, 2]
    assert holder(store, BADGE, ("ada", "7")) is None
    members.handle("1", Name(name="ADA"))
    members.handle("1", Name(name="Ada"))
    assert (store.plain, store.moves) == (1, [2, 2, 1])
    members.handle("1", Name(name=None))
    assert list(store.listed()) == [[]]
    members.handle("2", Name(name=None, badge=None))
    assert store.plain == 1, "nothing happened"


def test_what_another_has_is_refused_by_name_and_without_its_value(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada"))
    with pytest.raises(KeyTakenError) as caught:
        members.handle("2", Name(name="Ada"))
    assert (caught.value.category, caught.value.name) == ("member", "name")
    assert str(caught.value) == "Another member has this name."
    assert list(store.oldest_first("member-2")) == []
    members.handle("1", Name(name="grace"))
    assert members.handle("2", Name(name="Ada")).version == 1


def test_a_command_that_loses_its_race_claims_what_it_comes_to_then(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada"))
    store.before = [lambda: CommandHandler(store, MEMBERS, keys=KEYS).handle("1", Name(name="rival"))]
    outcome = members.handle("1", Name(name="grace"))
    assert (outcome.version, outcome.conflicts) == (3, 1)
    assert {one.stream for one in next(iter(store.listed()))} == {"member-1"}
    assert holder(store, NAME, "grace") == "member-1"
    assert holder(store, NAME, "rival") is holder(store, NAME, "ada") is None


def test_a_lost_answer_is_recognised(store: Store, members: Members) -> None:
    """The commit is there already, and under the caller's key."""
    request = Request(key="k")
    members.handle("1", Name(name="ada"), request)
    fresh = CommandHandler(store, MEMBERS, keys=KEYS, cached_states=0)
    assert fresh.handle("1", Name(name="ada"), request).repeated
    assert holder(store, NAME, "ada") == "member-1"


def test_an_aggregate_with_keys_asks_for_what_hashes_them(store: Store) -> None:
    with pytest.raises(ValueError, match="unique keys"):
        CommandHandler(store, MEMBERS)
    with pytest.raises(ValueError, match="unique keys"):
        TransactionHandler(store).handle(swap, Swap(first="1", second="2"))


class Swap(Command):
    first: str
    second: str


def swap(command: Swap, streams: Streams) -> Iterable[Writes]:
    """Swap two names: each is the other's until then."""
    first, second = (streams.read(MEMBERS, id_) for id_ in (command.first, command.second))
    return first.then(Named(name=second.state.name or "x")), second.then(Named(name=first.state.name or "y"))


class Same(Swap):
    pass


def same(command: Same, streams: Streams) -> Iterable[Writes]:
    return [streams.read(MEMBERS, id_).then(Named(name="twin")) for id_ in (command.first, command.second)]


def test_two_aggregates_swap_their_keys_in_one_transaction(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada"))
    members.handle("2", Name(name="grace"))
    TransactionHandler(store, keys=KEYS).handle(swap, Swap(first="1", second="2"))
    assert holder(store, NAME, "ada") == "member-2"
    assert holder(store, NAME, "grace") == "member-1"


def test_two_commits_of_a_transaction_do_not_come_to_one_key(store: Store, members: Members) -> None:
    with pytest.raises(KeyTakenError):
        TransactionHandler(store, keys=KEYS).handle(same, Same(first="1", second="2"))
    assert list(store.oldest_first("member-1")) == []
    members.handle("1", Name(name="twin"))
    with pytest.raises(KeyTakenError):
        TransactionHandler(store, keys=KEYS).handle(same, Same(first="2", second="3"))


def test_a_key_that_is_held_is_told_from_a_stream_that_moved(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada"))
    store.before = [lambda: CommandHandler(store, MEMBERS, keys=KEYS).handle("2", Name(name="rival"))]
    with pytest.raises(KeyTakenError):
        members.handle("2", Name(name="ada"))
    assert [one.version for one in store.oldest_first("member-2")] == [1]
    assert holder(store, NAME, "rival") == "member-2"


class Part(Swap):
    pass


def part(command: Part, streams: Streams) -> Iterable[Writes]:
    return [streams.read(MEMBERS, id_).then(Named(name=None)) for id_ in (command.first, command.second)]


def test_two_that_had_one_key_before_it_was_one_release_it_whoever_has_claimed_it(store: Store) -> None:
    for id_ in "12":
        stored = (MEMBERS.codec.encode(Named(name="ada")),)
        store.append(Commit(f"member-{id_}", 1, stored, id_, AT), after=Head(f"member-{id_}", 0))
    key = KEYS.stored("member", NAME, "ada")
    store.append_together([], guards=[Head("member-1", 1)], moves=[KeyMove(key, "member-1", ("member-1",))])
    TransactionHandler(store, keys=KEYS).handle(part, Part(first="1", second="2"))
    assert list(store.listed()) == [[]]


def test_a_commit_that_changes_no_key_asks_for_no_secret(store: Store, members: Members) -> None:
    members.handle("1", Name(name="ada"))
    elsewhere = CommandHandler(store, MEMBERS, keys=Keys(lambda: pytest.fail("no key is hashed")))
    assert elsewhere.handle("1", Name(name="ADA")).version == 2
