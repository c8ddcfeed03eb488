"""What the workers of `make chaos` share: a time of their own, a plan, and what is wrong so far."""

from __future__ import annotations

import random
from collections import Counter
from copy import replace
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from app.users.rules import USERS, UserUpdated, evolve
from eventfold import Keys
from eventfold.core.errors import StoreUnavailableError
from eventfold.dynamodb import create_client
from eventfold.testing.faults import CrashError
from eventfold.testing.turns import Turns

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from app.users.rules import User, UserCommand, UserEvent
    from eventfold import Decider
    from eventfold.application import Settings
    from eventfold.testing.checker import Finding

    type Users = Decider[UserCommand, User, UserEvent]

START = datetime(2026, 1, 1, 23, 50, tzinfo=UTC)
RUSH_SECONDS = 30.0
"""From one rush to the next. In a rush every writer sends some commands in a row, and then rests until the next one."""
RUSH_COMMANDS = 5
CORRECTED: Users = replace(USERS, state_version=USERS.state_version + 1)
NO_ANSWER = (StoreUnavailableError, CrashError)
"""What a caller sees of weather: it was not told what became of its request."""


def forgetful(user: User, event: UserEvent) -> User:
    """Evolve as the code did before it was corrected: a changed name got lost."""
    after = evolve(user, event)
    return after.model_copy(update={"name": user.name}) if isinstance(event, UserUpdated) else after


FORGETFUL: Users = replace(USERS, evolve=forgetful)
KEYS = Keys(lambda: b"what keys the hash of the claims")


@dataclass
class World:
    """What every worker knows."""

    url: str
    tables: Settings
    seed: int
    commands: int
    writers: int
    wrong: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    corrected: set[str] = field(default_factory=set)
    """The processes to which the corrected users are deployed, by name."""
    heads: dict[str, int] = field(default_factory=dict)
    """The last version that anybody was told of, by stream: stale as soon as somebody else writes."""
    active: int = 0
    """Writers in the middle of a rush."""
    ended: int = 0
    """Writers that have sent all."""

    def __post_init__(self) -> None:
        self.turns = Turns(self.seed)
        self.pause = self.turns.take

    def dice(self, name: str) -> random.Random:
        """Return a worker's own source of chance."""
        return random.Random(f"{self.seed}/{name}")  # noqa: S311 - a workload, not a secret

    def client(self) -> DynamoDBClient:
        """Return a client that waits as long as a busy machine may take: a time-out would be no fault of the seed's."""
        return create_client(self.url, connect_timeout=60, read_timeout=60)

    def clock(self) -> datetime:
        """Tell the time, in UTC."""
        return START + timedelta(seconds=self.turns.now)

    @property
    def seconds(self) -> float:
        """How long the writers take."""
        return self.commands / self.writers / RUSH_COMMANDS * RUSH_SECONDS

    def is_over(self) -> bool:
        """Whether the writers have sent all."""
        return self.ended == self.writers

    def pause_until(self, moment: float) -> bool:
        """Let others go on until then, or until the writers have sent all; whether there is more to do."""
        while self.turns.now < moment and not self.is_over():
            self.pause(min(moment - self.turns.now, RUSH_SECONDS))
        return not self.is_over()

    def rest(self) -> None:
        """Let others go on until the next rush."""
        self.pause(RUSH_SECONDS - self.turns.now % RUSH_SECONDS)

    def poll(self, seconds: float) -> None:
        """Pause as who reads a stream that has nothing new does; longer while no writer is at work."""
        if self.active or self.is_over():
            self.pause(2 * seconds)
        else:
            self.rest()

    def users_of(self, process: str) -> Users:
        """Return the users' decider as the code of a process has it."""
        return CORRECTED if process in self.corrected else FORGETFUL
