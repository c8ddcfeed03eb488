"""The examples of https://dcb.events/examples, as decisions over several streams: each rule as its page tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from eventfold import Command, Decider, Event, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventfold.aggregates.transactions import Streams, Writes


class NotAllowedError(RefusedError, detail="The rules refuse this."):
    pass


def of[S: BaseModel, E: Event](
    category: str, initial: S, evolve: Callable[[S, E], S], *events: type[E]
) -> Decider[Any, S, E]:
    """Return a kind of stream whose rules are all in decisions over several."""
    return Decider(category, initial, lambda *_: [], evolve, events)


# Course subscriptions: a course has a capacity, and a student takes ten courses at most --------------------------------

MOST_COURSES = 10


class CourseDefined(Event, name="CourseDefined"):
    capacity: int


class StudentSubscribed(Event, name="StudentSubscribed"):
    student: str
    course: str


class Course(BaseModel, frozen=True):
    capacity: int = 0
    students: tuple[str, ...] = ()


class Student(BaseModel, frozen=True):
    courses: tuple[str, ...] = ()


def evolve_course(course: Course, event: CourseDefined | StudentSubscribed) -> Course:
    if isinstance(event, CourseDefined):
        return course.model_copy(update={"capacity": event.capacity})
    return course.model_copy(update={"students": (*course.students, event.student)})


COURSES: Decider[Any, Course, CourseDefined | StudentSubscribed] = of(
    "course", Course(), evolve_course, CourseDefined, StudentSubscribed
)
STUDENTS: Decider[Any, Student, StudentSubscribed] = of(
    "student", Student(), lambda one, event: Student(courses=(*one.courses, event.course)), StudentSubscribed
)


class Subscribe(Command):
    student: str
    course: str


def subscribe(command: Subscribe, streams: Streams) -> Iterable[Writes]:
    course, student = streams.read(COURSES, command.course), streams.read(STUDENTS, command.student)
    full = len(course.state.students) >= course.state.capacity
    if full or command.student in course.state.students or len(student.state.courses) >= MOST_COURSES:
        raise NotAllowedError
    subscribed = StudentSubscribed(student=command.student, course=command.course)
    return course.then(subscribed), student.then(subscribed)


# Unique username: one that an account has is taken, and free again once it is given up --------------------------------


class UsernameChanged(Event, name="UsernameChanged"):
    account: str
    name: str


class Username(BaseModel, frozen=True):
    holder: str = ""


class Account(BaseModel, frozen=True):
    name: str = ""


USERNAMES: Decider[Any, Username, UsernameChanged] = of(
    "username", Username(), lambda _, event: Username(holder=event.account), UsernameChanged
)
ACCOUNTS: Decider[Any, Account, UsernameChanged] = of(
    "account", Account(), lambda _, event: Account(name=event.name), UsernameChanged
)


class ChangeUsername(Command):
    account: str
    name: str


def change_username(command: ChangeUsername, streams: Streams) -> Iterable[Writes]:
    account, wanted = streams.read(ACCOUNTS, command.account), streams.read(USERNAMES, command.name)
    if wanted.state.holder:
        raise NotAllowedError
    changed = UsernameChanged(account=command.account, name=command.name)
    writes = [account.then(changed), wanted.then(changed)]
    if account.state.name:
        released = UsernameChanged(account="", name=account.state.name)
        writes.append(streams.read(USERNAMES, account.state.name).then(released))
    return writes


# Dynamic product price: an order has the price that was shown, if that still holds or did until moments ago -----------

GRACE_SECONDS = 600


class PriceChanged(Event, name="PriceChanged"):
    price: int
    at: int


class Ordered(Event, name="Ordered"):
    product: str
    price: int


class Product(BaseModel, frozen=True):
    price: int = 0
    before: int = 0
    since: int = 0


class Order(BaseModel, frozen=True):
    price: int = 0


PRODUCTS: Decider[Any, Product, PriceChanged] = of(
    "product",
    Product(),
    lambda product, event: Product(price=event.price, before=product.price, since=event.at),
    PriceChanged,
)
ORDERS: Decider[Any, Order, Ordered] = of("order", Order(), lambda _, event: Order(price=event.price), Ordered)


class PlaceOrder(Command):
    order: str
    product: str
    shown_price: int
    at: int


def place_order(command: PlaceOrder, streams: Streams) -> Iterable[Writes]:
    order, product = streams.read(ORDERS, command.order), streams.read(PRODUCTS, command.product)
    valid = {product.state.price}
    if command.at - product.state.since < GRACE_SECONDS:
        valid.add(product.state.before)
    if order.version or command.shown_price not in valid - {0}:
        raise NotAllowedError
    return [order.then(Ordered(product=command.product, price=command.shown_price))]


class ChangePrice(Command):
    product: str
    price: int
    at: int


def change_price(command: ChangePrice, streams: Streams) -> Iterable[Writes]:
    return [streams.read(PRODUCTS, command.product).then(PriceChanged(price=command.price, at=command.at))]


# Opt-in token: a sign-up is confirmed once, with the token that was sent, and before that expires ---------------------

TOKEN_SECONDS = 3_600


class SignUpInitiated(Event, name="SignUpInitiated"):
    email: str
    at: int


class SignUpConfirmed(Event, name="SignUpConfirmed"):
    email: str


class Token(BaseModel, frozen=True):
    email: str = ""
    at: int = 0
    used: bool = False


class Member(BaseModel, frozen=True):
    email: str = ""


def evolve_token(token: Token, event: SignUpInitiated | SignUpConfirmed) -> Token:
    if isinstance(event, SignUpInitiated):
        return Token(email=event.email, at=event.at)
    return token.model_copy(update={"used": True})


TOKENS: Decider[Any, Token, SignUpInitiated | SignUpConfirmed] = of(
    "token", Token(), evolve_token, SignUpInitiated, SignUpConfirmed
)
MEMBERS: Decider[Any, Member, SignUpConfirmed] = of(
    "member", Member(), lambda _, event: Member(email=event.email), SignUpConfirmed
)


class Confirm(Command):
    member: str
    token: str
    at: int


def confirm(command: Confirm, streams: Streams) -> Iterable[Writes]:
    token = streams.read(TOKENS, command.token)
    expired = command.at - token.state.at > TOKEN_SECONDS
    if not token.state.email or token.state.used or expired:
        raise NotAllowedError
    confirmed = SignUpConfirmed(email=token.state.email)
    return token.then(confirmed), streams.read(MEMBERS, command.member).then(confirmed)


# Invoice number: one after the other, without a gap ------------------------------------------------------------------


class InvoiceCreated(Event, name="InvoiceCreated"):
    number: int
    customer: str


class Invoices(BaseModel, frozen=True):
    last: int = 0


class Invoice(BaseModel, frozen=True):
    customer: str = ""


INVOICES: Decider[Any, Invoices, InvoiceCreated] = of(
    "invoices", Invoices(), lambda _, event: Invoices(last=event.number), InvoiceCreated
)
INVOICE: Decider[Any, Invoice, InvoiceCreated] = of(
    "invoice", Invoice(), lambda _, event: Invoice(customer=event.customer), InvoiceCreated
)


class CreateInvoice(Command):
    customer: str


def create_invoice(command: CreateInvoice, streams: Streams) -> Iterable[Writes]:
    all_of_them = streams.read(INVOICES, "all")
    created = InvoiceCreated(number=all_of_them.state.last + 1, customer=command.customer)
    return all_of_them.then(created), streams.read(INVOICE, str(created.number)).then(created)


# Record duplication: an order is placed once for each token that a form was given -------------------------------------


class FormSent(Event, name="FormSent"):
    order: str


class Form(BaseModel, frozen=True):
    order: str = ""


FORMS: Decider[Any, Form, FormSent] = of("form", Form(), lambda _, event: Form(order=event.order), FormSent)


class SendForm(Command):
    form: str
    order: str


def send_form(command: SendForm, streams: Streams) -> Iterable[Writes]:
    form, order = streams.read(FORMS, command.form), streams.read(ORDERS, command.order)
    if form.state.order:
        raise NotAllowedError
    return form.then(FormSent(order=command.order)), order.then(Ordered(product="one", price=1))
