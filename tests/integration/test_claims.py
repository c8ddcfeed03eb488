"""Claims against states: what `verify` finds and `claims build` mends, on DynamoDB Local, while writers go on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from app.users.rules import EMAIL, USERS, CreateUser, DeleteUser, UpdateUser, UserCreated
from eventfold import Backoff, CommandHandler, Commit, Head, Keys
from eventfold.core.errors import KeyTakenError
from eventfold.core.unique import Claim, KeyMove
from eventfold.dynamodb.claims import DynamoDBClaimStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.operations.claims import ClaimBooks, ClaimBuild, ClaimCheck, Sums, stale_claims
from eventfold.operations.reading import SteadyPages, TableSource
from eventfold.operations.verify.segment import SegmentVerification
from eventfold.testing.commits import AT

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold.operations.verify.finding import Finding

pytestmark = pytest.mark.dynamodb_local
KEYS = Keys(lambda: b"k" * 32)
OTHER_KEYS = Keys(lambda: b"o" * 32)


class World:
    """A store with claims, and users that wrote with or without the rule."""

    def __init__(self, client: DynamoDBClient, events: str, claims: str) -> None:
        self.store = ScannableDynamoDBEventStore(client, events, claims)
        self.claims = DynamoDBClaimStore(client, claims)
        self.books = ClaimBooks(self.store, self.claims, KEYS, {"user": USERS})
        self.users = CommandHandler(self.store, USERS, keys=KEYS, backoff=Backoff(attempts=50, base=0.001, cap=0.02))

    def before_the_rule(self, id_: str, email: str) -> None:
        """Write a user whose email nobody claims."""
        event = USERS.codec.encode(UserCreated(name=id_, email=email))
        stream = f"user-{id_}"
        self.store.append(Commit(stream, 1, (event,), f"old-{id_}", AT), after=Head(stream, 0))

    def holder(self, email: str) -> str | None:
        key = KEYS.stored("user", EMAIL, email)
        return self.claims.holders([key]).get(key)

    def build(self) -> tuple[ClaimBuild, list[Finding]]:
        found: list[Finding] = []
        run = ClaimBuild(self.books, found.append)
        run.run(SteadyPages(TableSource(self.store, 1), 0, None, rate=None, beat=lambda: False))
        return run, found

    def verify(self) -> list[str]:
        """Verify in three segments, as processes do."""
        sums, found = Sums(), list[Any]()
        for number in range(3):
            check = ClaimCheck(self.books)
            found += SegmentVerification(self.store, {"user": USERS}, (), number, 3, claims=check).findings()
            sums.merge(check.sums)
        return [f"{one.stream}: {one.what}" for one in [*found, *stale_claims(self.books, sums)]]


@pytest.fixture
def world(local_client: DynamoDBClient, local_tables: tuple[str, str], local_claims: str) -> World:
    return World(local_client, local_tables[0], local_claims)


def test_what_commands_claim_is_what_states_have(world: World) -> None:
    for number in range(120):
        world.users.handle(str(number), CreateUser(name="A", email=f"{number}@example.com"))
    world.users.handle("0", UpdateUser(email="new@example.com"))
    world.users.handle("1", UpdateUser(email=None))
    world.users.handle("2", DeleteUser())
    assert world.verify() == []
    run, found = world.build()
    assert (run.streams, run.keys, run.claimed, run.released, found) == (120, 118, 0, 0, [])


def test_a_key_that_was_none_before_is_claimed_for_the_events_that_are_there(world: World) -> None:
    world.before_the_rule("1", "ada@example.com")
    world.before_the_rule("2", "grace@example.com")
    world.users.handle("3", CreateUser(name="C", email="c@example.com"))
    assert sorted(world.verify()) == [
        "user-1: nobody has claimed a key that it has: email",
        "user-2: nobody has claimed a key that it has: email",
    ]
    run, found = world.build()
    assert (run.claimed, run.duplicates, found) == (2, 0, [])
    assert world.verify() == []
    with pytest.raises(KeyTakenError):
        world.users.handle("4", CreateUser(name="D", email="ADA@example.com"))


def test_two_that_have_one_key_are_told_and_neither_is_hindered(world: World) -> None:
    world.before_the_rule("1", "ada@example.com")
    world.before_the_rule("2", "Ada@example.com")
    run, found = world.build()
    (told,) = found
    first = world.holder("ada@example.com")
    second = {"user-1": "user-2", "user-2": "user-1"}[first or ""]
    assert str(told) == f"claims: {second}: another stream, {first}, has claimed a key that it has: email"
    assert (run.claimed, run.duplicates) == (1, 1)
    assert len(world.verify()) == 1
    world.users.handle(second.removeprefix("user-"), UpdateUser(name="Still can change its name"))
    world.users.handle(second.removeprefix("user-"), UpdateUser(email="other@example.com"))
    assert world.build()[0].duplicates == 0
    assert world.verify() == []


def test_claims_that_no_state_asks_for_are_found_and_released(world: World) -> None:
    world.users.handle("1", CreateUser(name="A", email="ada@example.com"))
    stale = KEYS.stored("user", EMAIL, "nobody@example.com")
    gone = OTHER_KEYS.stored("user", EMAIL, "ada@example.com")
    world.store.append_together(
        [], guards=[Head("user-1", 1)], moves=[KeyMove(one, "user-1", ("user-1",)) for one in (stale, gone)]
    )
    world.store.append_together([], guards=[Head("user-9", 0)], moves=[KeyMove("user.gone#x", "user-9", ("user-9",))])
    what = "has claimed a key that it does not have"
    assert sorted(world.verify()) == [f"user-1: {what}: email"] * 2 + [f"user-9: {what}: gone"]
    run, _ = world.build()
    assert (run.claimed, run.released, run.keys) == (0, 3, 1)
    assert world.verify() == []


def test_a_claim_that_is_stale_gives_way_to_who_has_the_key(world: World) -> None:
    world.users.handle("1", CreateUser(name="A"))
    world.before_the_rule("2", "ada@example.com")
    key = KEYS.stored("user", EMAIL, "ada@example.com")
    world.store.append_together([], guards=[Head("user-1", 1)], moves=[KeyMove(key, "user-1", ("user-1",))])
    run, found = world.build()
    assert (run.claimed, run.released, found) == (1, 1, [])
    assert world.holder("ada@example.com") == "user-2"


def test_with_another_key_of_the_hash_all_are_claimed_anew(world: World) -> None:
    old = CommandHandler(world.store, USERS, keys=OTHER_KEYS)
    for number in range(5):
        old.handle(str(number), CreateUser(name="A", email=f"{number}@example.com"))
    run, _ = world.build()
    assert (run.claimed, run.released, run.keys) == (5, 5, 5)
    assert world.verify() == []


def test_a_stream_that_can_t_be_replayed_is_told(world: World) -> None:
    event = {"type": "Unknown", "v": 1, "data": {}}
    world.store.append(Commit("user-1", 1, (event,), "c", AT), after=Head("user-1", 0))  # type: ignore[arg-type]
    run, found = world.build()
    assert run.unreadable == 1
    assert [one.stream for one in found] == ["user-1"]


def test_a_build_while_users_change_and_swap_their_emails_ends_right(world: World) -> None:
    """16 writers and a build: what a scan sees is out of date before it is claimed."""
    for number in range(30):
        world.before_the_rule(str(number), f"{number % 25}@example.com")

    def write(writer: int) -> None:
        users = CommandHandler(world.store, USERS, keys=KEYS, backoff=Backoff(attempts=100, base=0.001, cap=0.02))
        for n in range(12):
            id_, email = (writer * 7 + n * 5) % 30, f"{(writer * 3 + n * 11) % 25}@example.com"
            try:
                users.handle(str(id_), UpdateUser(email=email if n % 4 else None))
            except KeyTakenError:
                world.users.handle(str(id_), UpdateUser(email=f"{writer}.{n}@example.com"))

    with ThreadPoolExecutor(17) as pool:
        builds = [pool.submit(world.build)]
        list(pool.map(write, range(16)))
        builds[0].result()
    run, found = world.build()
    states = {n: world.books.now(f"user-{n}") for n in range(30)}
    had = [key for one in states.values() if one for key in one.keys]
    assert run.duplicates == len(found) == len(had) - len(set(had))
    claimed = {claim for page in world.claims.listed() for claim in page}
    assert {claim.key for claim in claimed} == set(had)
    assert all(
        Claim(key, one.head.stream) in claimed or had.count(key) > 1
        for one in states.values()
        if one
        for key in one.keys
    )
