"""Sixteen writers race each of the examples of https://dcb.events/examples on DynamoDB Local; no rule is broken."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from eventfold import Backoff, Decider, load
from eventfold.aggregates.transactions import TransactionHandler
from eventfold.dynamodb import DynamoDBEventStore
from tests.boundaries import (
    ACCOUNTS,
    COURSES,
    INVOICE,
    INVOICES,
    MEMBERS,
    MOST_COURSES,
    ORDERS,
    PRODUCTS,
    STUDENTS,
    TOKENS,
    USERNAMES,
    ChangePrice,
    ChangeUsername,
    Confirm,
    CourseDefined,
    CreateInvoice,
    NotAllowedError,
    PlaceOrder,
    PriceChanged,
    SendForm,
    SignUpInitiated,
    Subscribe,
    change_price,
    change_username,
    confirm,
    create_invoice,
    place_order,
    send_form,
    subscribe,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from eventfold import Event
    from eventfold.aggregates.transactions import Streams, Writes

pytestmark = pytest.mark.dynamodb_local
WRITERS = 16
BACKOFF = Backoff(attempts=200, base=0.001, cap=0.05)


class World:
    """A store, with a handler for each writer: as processes of their own."""

    def __init__(self, store: DynamoDBEventStore) -> None:
        self.store = store

    def given(self, decider: Decider[Any, Any, Any], id_: str, *events: Event) -> None:
        def write(_: Any, streams: Streams) -> list[Writes]:
            return [streams.read(decider, id_).then(*events)]

        TransactionHandler(self.store).handle(write, CreateInvoice(customer=""))

    def race(self, commands: Sequence[tuple[Callable[..., Any], Any]]) -> list[bool]:
        """Run all commands side by side; return which were accepted."""

        def run(one: tuple[Callable[..., Any], Any]) -> bool:
            try:
                TransactionHandler(self.store, backoff=BACKOFF).handle(*one)
            except NotAllowedError:
                return False
            return True

        with ThreadPoolExecutor(WRITERS) as pool:
            return list(pool.map(run, commands))

    def state(self, decider: Decider[Any, Any, Any], id_: str) -> Any:
        return load(self.store, decider, decider.stream(id_)).state


@pytest.fixture
def world(local_client: DynamoDBClient, local_tables: tuple[str, str]) -> World:
    return World(DynamoDBEventStore(local_client, local_tables[0]))


def test_no_course_is_overbooked_and_no_student_either(world: World) -> None:
    for course in range(12):
        world.given(COURSES, str(course), CourseDefined(capacity=3))
    for won in (
        world.race([(subscribe, Subscribe(student=str(n), course="0")) for n in range(WRITERS)]),
        world.race([(subscribe, Subscribe(student="ada", course=str(n))) for n in range(12)]),
    ):
        assert won.count(True) in {3, MOST_COURSES}
    assert len(world.state(COURSES, "0").students) == 3
    assert len(world.state(STUDENTS, "ada").courses) == MOST_COURSES


def test_a_username_has_one_holder(world: World) -> None:
    for _ in range(3):
        world.race([(change_username, ChangeUsername(account=str(n), name=f"name-{n % 4}")) for n in range(WRITERS)])
        held = {name: world.state(USERNAMES, name).holder for name in (f"name-{n}" for n in range(4))}
        assert len(set(held.values())) == 4
        assert {world.state(ACCOUNTS, account).name for account in held.values()} == set(held)
        held_by = {account: name for name, account in held.items()}
        world.race([(change_username, ChangeUsername(account=one, name=f"was-{one}-{_}")) for one in held_by])
        assert {world.state(USERNAMES, name).holder for name in held} == {""}


def test_no_order_has_a_price_that_never_held(world: World) -> None:
    world.given(PRODUCTS, "p", PriceChanged(price=1, at=0))
    orders = [
        (place_order, PlaceOrder(order=str(n), product="p", shown_price=1 + n % 3, at=10_000)) for n in range(WRITERS)
    ]
    won = world.race([*orders[:8], (change_price, ChangePrice(product="p", price=2, at=9_999)), *orders[8:]])
    accepted = [one for (_, one), yes in zip([*orders[:8], *orders[8:]], won[:8] + won[9:], strict=True) if yes]
    assert won[8]
    assert {one.shown_price for one in accepted} <= {1, 2}
    assert {one.order for one in accepted if one.shown_price == 1} == {str(n) for n in range(WRITERS) if n % 3 == 0}, (
        "the price before holds for a while"
    )
    assert all(world.state(ORDERS, one.order).price == one.shown_price for one in accepted)


def test_a_sign_up_is_confirmed_once(world: World) -> None:
    world.given(TOKENS, "t", SignUpInitiated(email="ada@example.com", at=0))
    won = world.race([(confirm, Confirm(member=str(n), token="t", at=1)) for n in range(WRITERS)])
    assert won.count(True) == 1
    assert [bool(world.state(MEMBERS, str(n)).email) for n in range(WRITERS)] == won


def test_invoices_have_no_gap(world: World) -> None:
    won = world.race([(create_invoice, CreateInvoice(customer=str(n))) for n in range(WRITERS)])
    assert all(won)
    assert world.state(INVOICES, "all").last == WRITERS
    assert {world.state(INVOICE, str(n + 1)).customer for n in range(WRITERS)} == {str(n) for n in range(WRITERS)}


def test_a_form_makes_one_order(world: World) -> None:
    won = world.race([(send_form, SendForm(form="f", order=str(n))) for n in range(WRITERS)])
    assert won.count(True) == 1
    assert [bool(world.state(ORDERS, str(n)).price) for n in range(WRITERS)] == won
