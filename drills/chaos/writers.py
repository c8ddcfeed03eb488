"""The writers of `make chaos`: commands, repeated under their keys, blind appends, stale heads, long streams."""

from __future__ import annotations

import base64
import uuid
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.users.rules import USERS, CreateUser, DeleteUser, UpdateUser, UserUpdated
from drills.chaos.money import Bank
from drills.chaos.world import KEYS, RUSH_COMMANDS
from eventfold import CommandHandler, Commit, Head, Request
from eventfold.core.errors import (
    EventfoldError,
    KeyTakenError,
    RefusedError,
    StoreUnavailableError,
    TooManyConflictsError,
)
from eventfold.dynamodb import DynamoDBEventStore
from eventfold.testing.checker import Finding, Ledger, Wrong
from eventfold.testing.faults import CrashError, Fault, FaultInjector

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.users.rules import UserCommand
    from drills.chaos.world import Users, World
    from eventfold import Outcome

RATES = {
    Fault.THROTTLE: 0.02,
    Fault.ERROR_BEFORE: 0.01,
    Fault.LOST_ANSWER: 0.02,
    Fault.DELAY: 0.02,
    Fault.TRANSACTION_CONFLICT: 0.02,
    Fault.CRASH: 0.002,
}
RETRIES = 6
RACED_FOR = 5
"""Users that many writers want at once."""
LONG = "long"
"""A user whose stream becomes longer than a page of 1 MB, with a commit of 200 KB now and then."""
LONG_COMMITS, LONG_BYTES = 9, 160_000
MONEY = 0.82
"""Above it a command is one of the accounts'."""
AGAIN = 0.2
"""How often a command of theirs is sent once more after its answer."""
EMAILS = 4
"""Of a name: so few that some are wanted by several users."""
RECENT = 40
"""Keyed commands that may come again; fewer than the 100 commits in which a key is recognised for certain."""


@dataclass(frozen=True)
class Sent:
    """A command under its idempotency key."""

    user: str
    command: UserCommand
    key: str


@dataclass(frozen=True)
class Decision:
    """What a handler made of a command: this commit behind version `after`, or nothing to do at it."""

    command: UserCommand
    stream: str
    after: int
    commit: Commit | None
    users: Users
    """The decider that its process had."""


@dataclass
class Book:
    """What the writers share: whom they write to, what they have sent, what they were answered."""

    users: list[str]
    recent: deque[Sent] = field(default_factory=lambda: deque(maxlen=RECENT))
    answers: dict[str, int] = field(default_factory=dict)
    """The version that was answered, by idempotency key."""
    decisions: list[Decision] = field(default_factory=list)


class Writer:
    """One process that writes, with a client and faults of its own."""

    def __init__(self, world: World, book: Book, number: int, commands: int) -> None:
        self._world = world
        self._book = book
        self.name = f"writer {number}"
        self._random = world.dice(self.name)
        self._commands = commands
        self._long = max(1, commands // LONG_COMMITS) if number == 0 else 0
        client = world.client()
        world.turns.watch(client)
        self.faults = FaultInjector(client, seed=world.seed * 1000 + number, sleep=world.pause)
        for fault, probability in RATES.items():
            self.faults.rate(fault, probability)
        self.ledger = Ledger()
        self._store = self.ledger.watch(
            DynamoDBEventStore(client, world.tables.events_table, world.tables.claims_table)
        )
        self._start()

    def _start(self) -> None:
        """Begin as a process does: with the code that is deployed, and without a cache."""
        self._users = self._world.users_of(self.name)
        every = self._world.tables.snapshot_every
        self._handler = CommandHandler(
            self._store, self._users, snapshot_every=every, clock=self._world.clock, keys=KEYS
        )
        self._bank = Bank(self._world, self._store, self._random)

    def __call__(self) -> None:
        """Send the commands, rush by rush."""
        with self.faults:
            for number in range(self._commands):
                if number % RUSH_COMMANDS == 0:
                    self._world.rest()
                    self._world.active += 1
                self._world.counts["commands"] += 1
                if self._random.random() < 0.01:  # noqa: PLR2004 - a workload is made of figures
                    self._bad_minute()
                if self._users is not self._world.users_of(self.name):
                    self._start()
                self._one(number)
                self._world.pause(self._random.random() / 2)
                if number % RUSH_COMMANDS == RUSH_COMMANDS - 1:
                    self._world.active -= 1
        self._world.active -= self._commands % RUSH_COMMANDS > 0
        self._world.ended += 1

    def _bad_minute(self) -> None:
        """Let the next writes fail at every try that the client makes."""
        fault = self._random.choice([Fault.THROTTLE, Fault.ERROR_BEFORE, Fault.LOST_ANSWER])
        for operation in ("PutItem", "TransactWriteItems"):
            for number in range(1, 4):
                self.faults.at(fault, operation, number)

    def _one(self, number: int) -> None:
        dice = self._random.random()
        if self._long and number % self._long == 0:
            self._grow()
        elif dice > MONEY:
            self._move_money(number)
        elif dice < 0.06 and self._book.recent:  # noqa: PLR2004 - as above
            self._world.counts["repeated commands"] += 1
            self._send(self._random.choice(self._book.recent))
        elif dice < 0.1:  # noqa: PLR2004 - as above
            self._append(self._random.choice(self._book.users), self._name(), blind=dice < 0.08)  # noqa: PLR2004 - as above
        elif dice < 0.55:  # noqa: PLR2004 - as above
            sent = Sent(*self._new(), f"{self.name}, {number}")
            self._book.recent.append(sent)
            self._send(sent)
        else:
            self._handle(*self._new())

    def _new(self) -> tuple[str, UserCommand]:
        users = self._book.users
        raced_for = self._random.random() < 0.3  # noqa: PLR2004 - as above
        user = self._random.choice(users[:RACED_FOR] if raced_for else users[RACED_FOR:])
        dice = self._random.random()
        known = USERS.stream(user) in self._world.heads
        if dice < (0.02 if known else 0.8):
            return user, CreateUser(name=self._name())
        if dice < 0.028 and not raced_for:  # noqa: PLR2004 - as above
            return user, DeleteUser()
        if dice < 0.1:  # noqa: PLR2004 - as above
            return user, UpdateUser(name=self._name(), email=None)
        if dice < 0.5:  # noqa: PLR2004 - as above
            return user, UpdateUser(email=f"{self._name()}@{self._random.randrange(EMAILS)}.example.com")
        return user, UpdateUser(name=self._name())

    def _name(self) -> str:
        return f"name{self._random.randrange(10)}"

    def _send(self, sent: Sent) -> None:
        """Send a command until it is answered: that is what its key is for."""
        request = Request(key=sent.key, caller="writer")
        for _ in range(RETRIES):
            word, outcome = self._handle(sent.user, sent.command, request)
            if word in {"answered", "refused"}:
                self._note(sent, outcome)
            if word in {"answered", "refused", "race lost"}:
                return
            self._world.counts["sent again after no answer"] += 1

    def _handle(self, user: str, command: UserCommand, request: Request | None = None) -> tuple[str, Outcome | None]:
        stream, tried, users = USERS.stream(user), len(self.ledger.attempts), self._users
        word, outcome = self._try(lambda: self._handler.handle(user, command, request or Request()))
        for commit in (attempt.commit for attempt in self.ledger.attempts[tried:]):
            self._book.decisions.append(Decision(command, stream, commit.version - 1, commit, users))
        if outcome and not outcome.appended and not outcome.repeated:
            self._book.decisions.append(Decision(command, stream, outcome.version, None, users))
        return word, outcome

    def _move_money(self, number: int) -> None:
        """Send a command of the accounts until it is answered, and after that, now and then, once more."""
        sent = self._bank.command(f"{self.name}, money {number}")
        word, answer = "no answer", None
        for _ in range(RETRIES):
            if word == "no answer":
                word, answer = self._try(sent.run)
        if answer and sent.keyed and self._random.random() < AGAIN:
            _, again = self._try(sent.run)
            if again and again.version != answer.version and answer.appended:
                detail = f"money {number} was answered with version {answer.version}, then with {again.version}"
                self._world.wrong.append(Finding(self.name, Wrong.DIFFERING, detail))

    def _note(self, sent: Sent, outcome: Outcome | None) -> None:
        """Hold an answer against those that came before under the same key; None: refused."""
        version = outcome.version if outcome and (outcome.appended or outcome.repeated) else None
        before = self._book.answers.get(sent.key)
        if before is not None and version != before:
            detail = f"key {sent.key!r} was answered with version {before}, then with {version or 'a refusal'}"
            self._world.wrong.append(Finding(USERS.stream(sent.user), Wrong.DIFFERING, detail))
        if version is not None:
            self._book.answers[sent.key] = version

    def _grow(self) -> None:
        """Make the long stream longer."""
        if USERS.stream(LONG) not in self._world.heads:
            self._handle(LONG, CreateUser(name=LONG))
        self._world.counts["long commits"] += 1
        self._append(LONG, base64.b85encode(self._random.randbytes(LONG_BYTES)).decode(), blind=False)

    def _append(self, user: str, name: str, *, blind: bool) -> None:
        """Append without a load: blind, or behind a head that may be long past."""
        stream = USERS.stream(user)
        known = self._world.heads.get(stream)
        if known is None:
            return
        commit = Commit(
            stream, known + 1, (USERS.codec.encode(UserUpdated(name=name)),), str(uuid.uuid4()), self._world.clock()
        )
        self._world.counts["blind appends" if blind else "appends behind a stale head"] += 1
        for _ in range(RETRIES):
            word, _ = self._try(lambda: self._store.append(commit, after=None if blind else Head(stream, known)))
            if word != "no answer":
                return

    def _try(self, run: Callable[[], Outcome | None]) -> tuple[str, Outcome | None]:
        """Run, and name what came of it."""
        outcome: Outcome | None = None
        tried = len(self.ledger.attempts)
        try:
            outcome = run()
            word = "answered"
        except StoreUnavailableError:
            word = "no answer"
        except CrashError:
            word = "no answer"
            self._start()
        except TooManyConflictsError as lost:
            self._world.counts["conflicts"] += lost.attempts
            word = "race lost"
        except KeyTakenError:
            self._world.counts["emails that others have"] += 1
            word = "refused"
        except (EventfoldError, RefusedError):
            word = "refused"
        self._world.counts[word] += 1
        self._world.counts["conflicts"] += outcome.conflicts if outcome else 0
        for attempt in self.ledger.attempts[tried:]:
            if attempt.word == "acknowledged":
                stream, version = attempt.commit.stream, attempt.commit.last_version
                self._world.heads[stream] = max(self._world.heads.get(stream, 0), version)
        return word, outcome
