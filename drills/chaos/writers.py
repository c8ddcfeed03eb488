"""The writers of `make chaos`: commands, repeated under their keys, blind appends and stale heads, under faults."""

from __future__ import annotations

import random
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.users.rules import USERS, CreateUser, DeleteUser, UpdateUser, UserError, UserUpdated
from eventfold import Backoff, CommandHandler, Commit, Head, Request
from eventfold.core.errors import EventfoldError, StoreUnavailableError, TooManyConflictsError
from eventfold.dynamodb import DynamoDBEventStore, create_client
from eventfold.testing.checker import Finding, Ledger, Wrong
from eventfold.testing.faults import CrashError, Fault, FaultInjector

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.users.rules import UserCommand
    from eventfold import Outcome
    from eventfold.testing.turns import Turns

RATES = {
    Fault.THROTTLE: 0.02,
    Fault.ERROR_BEFORE: 0.01,
    Fault.LOST_ANSWER: 0.02,
    Fault.DELAY: 0.02,
    Fault.CRASH: 0.002,
}
SNAPSHOT_EVERY = 10
RETRIES = 6
RACED_FOR = 5
"""Users that most writers want at once."""
RECENT = 40
"""Keyed commands that may come again; fewer than the 100 commits in which a key is recognised for certain."""


@dataclass(frozen=True)
class Sent:
    """A command under its idempotency key."""

    user: str
    command: UserCommand
    key: str


@dataclass
class World:
    """What the writers share."""

    turns: Turns
    url: str
    table: str
    users: list[str]
    ledger: Ledger = field(default_factory=Ledger)
    recent: deque[Sent] = field(default_factory=lambda: deque(maxlen=RECENT))
    heads: dict[str, int] = field(default_factory=dict)
    """The last version that anybody was told of, by stream: stale as soon as somebody else writes."""
    answers: dict[str, int] = field(default_factory=dict)
    """The version that was answered, by idempotency key."""
    broken: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def clock(self) -> datetime:
        """Tell the time: each look at it takes twenty seconds, so that a run lasts some days."""
        self.now += timedelta(seconds=20)
        return self.now

    def note(self, sent: Sent, outcome: Outcome | None) -> None:
        """Hold an answer against those that came before under the same key; None: refused."""
        version = outcome.version if outcome and (outcome.appended or outcome.repeated) else None
        before = self.answers.get(sent.key)
        if before is not None and version != before:
            detail = f"key {sent.key} was answered with version {before}, then with {version or 'a refusal'}"
            self.broken.append(Finding(USERS.stream(sent.user), Wrong.DIFFERING, detail))
        if version is not None:
            self.answers[sent.key] = version


class _Patience(Backoff):
    """Lets others go on in the place of a pause."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        object.__setattr__(self, "_turns", turns)

    __slots__ = ("_turns",)
    _turns: Turns

    def wait(self, attempt: int) -> None:
        """Sleep for a turn or two."""
        for _ in range(attempt + 1):
            self._turns.take()


class Writer:
    """One process that writes, with a client and faults of its own."""

    def __init__(self, world: World, number: int, seed: int, commands: int) -> None:
        self._world = world
        self._random = random.Random(f"{seed}/{number}")  # noqa: S311 - a workload, not a secret
        self._number = number
        self._commands = commands
        client = create_client(world.url, read_timeout=20)
        world.turns.watch(client)
        self.faults = FaultInjector(client, seed=seed * 1000 + number, sleep=world.turns.take)
        for fault, probability in RATES.items():
            self.faults.rate(fault, probability)
        self._store = world.ledger.watch(DynamoDBEventStore(client, world.table))
        self._handler = CommandHandler(
            self._store, USERS, snapshot_every=SNAPSHOT_EVERY, backoff=_Patience(world.turns), clock=world.clock
        )

    def __call__(self) -> None:
        """Send the commands, one after the other."""
        with self.faults:
            for number in range(self._commands):
                self._world.counts["commands"] += 1
                if self._random.random() < 0.01:  # noqa: PLR2004 - a workload is made of figures
                    self._bad_minute()
                self._one(number)

    def _bad_minute(self) -> None:
        """Let the next writes fail at every try that the client makes."""
        fault = self._random.choice([Fault.THROTTLE, Fault.ERROR_BEFORE, Fault.LOST_ANSWER])
        for number in range(1, 4):
            self.faults.at(fault, "PutItem", number)

    def _one(self, number: int) -> None:
        dice = self._random.random()
        if dice < 0.06 and self._world.recent:  # noqa: PLR2004 - as above
            self._world.counts["repeated commands"] += 1
            self._send_keyed(self._random.choice(self._world.recent))
        elif dice < 0.1:  # noqa: PLR2004 - as above
            self._append(blind=dice < 0.08)  # noqa: PLR2004 - as above
        elif dice < 0.55:  # noqa: PLR2004 - as above
            user, command = self._new()
            sent = Sent(user, command, f"key-{self._number}-{number}")
            self._world.recent.append(sent)
            self._send_keyed(sent)
        else:
            user, command = self._new()
            self._try(lambda: self._handler.handle(user, command))

    def _new(self) -> tuple[str, UserCommand]:
        users = self._world.users
        raced_for = self._random.random() < 0.4  # noqa: PLR2004 - as above
        user = self._random.choice(users[:RACED_FOR] if raced_for else users[RACED_FOR:])
        dice = self._random.random()
        known = USERS.stream(user) in self._world.heads
        if dice < (0.02 if known else 0.8):
            return user, CreateUser(name=self._name())
        if dice < 0.028 and not raced_for:  # noqa: PLR2004 - as above
            return user, DeleteUser()
        if dice < 0.5:  # noqa: PLR2004 - as above
            return user, UpdateUser(email=f"{self._name()}@example.com")
        return user, UpdateUser(name=self._name())

    def _name(self) -> str:
        return f"name{self._random.randrange(50)}"

    def _send_keyed(self, sent: Sent) -> None:
        """Send a command until it is answered: that is what its key is for."""
        request = Request(key=sent.key, caller="writer")
        for _ in range(RETRIES):
            word, outcome = self._try(lambda: self._handler.handle(sent.user, sent.command, request))
            if word in {"answered", "refused"}:
                self._world.note(sent, outcome)
            if word in {"answered", "refused", "race lost"}:
                return
            self._world.counts["sent again after no answer"] += 1

    def _append(self, *, blind: bool) -> None:
        """Append without a load: blind, or behind a head that may be long past."""
        stream = USERS.stream(self._random.choice(self._world.users))
        known = self._world.heads.get(stream)
        if known is None:
            return
        event = USERS.codec.encode(UserUpdated(name=self._name()))
        commit = Commit(stream, known + 1, (event,), str(uuid.uuid4()), self._world.clock())
        self._world.counts["blind appends" if blind else "appends behind a stale head"] += 1
        for _ in range(RETRIES):
            word, _ = self._try(lambda: self._store.append(commit, after=None if blind else Head(stream, known)))
            if word != "no answer":
                return

    def _try(self, run: Callable[[], Outcome | None]) -> tuple[str, Outcome | None]:
        """Run, and name what came of it."""
        outcome: Outcome | None = None
        try:
            outcome = run()
            word = "answered"
        except (StoreUnavailableError, CrashError):
            word = "no answer"
        except TooManyConflictsError as lost:
            self._world.counts["conflicts"] += lost.attempts
            word = "race lost"
        except (EventfoldError, UserError):
            word = "refused"
        self._world.counts[word] += 1
        self._world.counts["conflicts"] += outcome.conflicts if outcome else 0
        for attempt in self._world.ledger.attempts[-1:]:
            self._world.heads[attempt.commit.stream] = max(
                self._world.heads.get(attempt.commit.stream, 0),
                attempt.commit.last_version if attempt.word == "acknowledged" else 0,
            )
        return word, outcome
