"""The examples of https://dcb.events/examples: each rule, without a store."""

from __future__ import annotations

from eventfold.testing import GivenStreams, past
from tests.boundaries import (
    ACCOUNTS,
    COURSES,
    FORMS,
    GRACE_SECONDS,
    INVOICE,
    INVOICES,
    MEMBERS,
    MOST_COURSES,
    ORDERS,
    PRODUCTS,
    STUDENTS,
    TOKEN_SECONDS,
    TOKENS,
    USERNAMES,
    ChangeUsername,
    Confirm,
    CourseDefined,
    CreateInvoice,
    FormSent,
    InvoiceCreated,
    NotAllowedError,
    Ordered,
    PlaceOrder,
    PriceChanged,
    SendForm,
    SignUpConfirmed,
    SignUpInitiated,
    StudentSubscribed,
    Subscribe,
    UsernameChanged,
    change_username,
    confirm,
    create_invoice,
    place_order,
    send_form,
    subscribe,
)


def test_a_course_has_a_capacity_and_a_student_ten_courses() -> None:
    defined = CourseDefined(capacity=1)
    subscribed = StudentSubscribed(student="ada", course="c")
    empty = GivenStreams(past(COURSES, "c", defined))
    empty.when(subscribe, Subscribe(student="ada", course="c")).then(
        past(COURSES, "c", subscribed), past(STUDENTS, "ada", subscribed)
    )
    full = GivenStreams(past(COURSES, "c", defined, subscribed))
    full.when(subscribe, Subscribe(student="grace", course="c")).then_refused(NotAllowedError)
    many = [StudentSubscribed(student="ada", course=f"{n}") for n in range(MOST_COURSES)]
    busy = GivenStreams(past(COURSES, "c", defined), past(STUDENTS, "ada", *many))
    busy.when(subscribe, Subscribe(student="ada", course="c")).then_refused(NotAllowedError)


def test_a_username_is_taken_until_it_is_given_up() -> None:
    ada = UsernameChanged(account="1", name="ada")
    taken = GivenStreams(past(USERNAMES, "ada", ada), past(ACCOUNTS, "1", ada))
    taken.when(change_username, ChangeUsername(account="2", name="ada")).then_refused(NotAllowedError)
    changed = UsernameChanged(account="1", name="countess")
    released = UsernameChanged(account="", name="ada")
    taken.when(change_username, ChangeUsername(account="1", name="countess")).then(
        past(ACCOUNTS, "1", changed), past(USERNAMES, "countess", changed), past(USERNAMES, "ada", released)
    )
    free = GivenStreams(past(USERNAMES, "ada", ada, released))
    again = UsernameChanged(account="2", name="ada")
    free.when(change_username, ChangeUsername(account="2", name="ada")).then(
        past(ACCOUNTS, "2", again), past(USERNAMES, "ada", again)
    )


def test_an_order_has_a_price_that_holds_or_did_until_moments_ago() -> None:
    streams = GivenStreams(past(PRODUCTS, "p", PriceChanged(price=5, at=0), PriceChanged(price=7, at=1_000)))
    for price, at in ((7, 9_000), (5, 1_000 + GRACE_SECONDS - 1)):
        order = PlaceOrder(order="o", product="p", shown_price=price, at=at)
        streams.when(place_order, order).then(past(ORDERS, "o", Ordered(product="p", price=price)))
    for price, at in ((5, 1_000 + GRACE_SECONDS), (6, 1_000), (0, 1_000)):
        order = PlaceOrder(order="o", product="p", shown_price=price, at=at)
        streams.when(place_order, order).then_refused(NotAllowedError)


def test_a_sign_up_is_confirmed_once_and_in_time() -> None:
    initiated, confirmed = SignUpInitiated(email="ada@example.com", at=0), SignUpConfirmed(email="ada@example.com")
    sent = GivenStreams(past(TOKENS, "t", initiated))
    sent.when(confirm, Confirm(member="m", token="t", at=TOKEN_SECONDS)).then(
        past(TOKENS, "t", confirmed), past(MEMBERS, "m", confirmed)
    )
    for refused in (
        sent.when(confirm, Confirm(member="m", token="t", at=TOKEN_SECONDS + 1)),
        sent.when(confirm, Confirm(member="m", token="u", at=1)),
        GivenStreams(past(TOKENS, "t", initiated, confirmed)).when(confirm, Confirm(member="m", token="t", at=1)),
    ):
        refused.then_refused(NotAllowedError)


def test_invoices_are_numbered_without_a_gap() -> None:
    first, second = (InvoiceCreated(number=n, customer="c") for n in (1, 2))
    GivenStreams().when(create_invoice, CreateInvoice(customer="c")).then(
        past(INVOICES, "all", first), past(INVOICE, "1", first)
    )
    GivenStreams(past(INVOICES, "all", first)).when(create_invoice, CreateInvoice(customer="c")).then(
        past(INVOICES, "all", second), past(INVOICE, "2", second)
    )


def test_a_form_is_sent_once() -> None:
    GivenStreams().when(send_form, SendForm(form="f", order="o")).then(
        past(FORMS, "f", FormSent(order="o")), past(ORDERS, "o", Ordered(product="one", price=1))
    )
    sent = GivenStreams(past(FORMS, "f", FormSent(order="o")))
    sent.when(send_form, SendForm(form="f", order="p")).then_refused(NotAllowedError)
