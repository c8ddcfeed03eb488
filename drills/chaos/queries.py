"""Whoever asks, all the time: no answer is older than one before it, or than the version that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app import main
from app.accounts.balances import ACCOUNTS_LISTED
from app.accounts.rules import ACCOUNTS
from app.lists import RowQueries, VersionNotReachedError
from app.users.directory import DIRECTORY, USERS_LISTED
from app.users.rules import USERS, UserDeletedError
from app.users.stats import STATS, TOTAL
from drills.chaos.world import NO_ANSWER
from eventfold.core.commit import category_of
from eventfold.testing.checker import Finding, Wrong

if TYPE_CHECKING:
    from drills.chaos.world import World

SECONDS = 5.0
LISTED: dict[str, RowQueries[Any]] = {USERS.category: USERS_LISTED, ACCOUNTS.category: ACCOUNTS_LISTED}


class Queries:
    """Reads rows and counters of the active generations, and remembers what it has seen."""

    def __init__(self, world: World, streams: list[str]) -> None:
        self._world = world
        self._dice = world.dice("queries")
        self._streams = streams
        self._seen: dict[str, int] = {}
        self._counted: dict[str, int] = {}

    def __call__(self) -> None:
        """Ask every few seconds, until the writers have sent all."""
        while self._world.pause_until(self._world.turns.now + SECONDS):
            self.look()
            self._read_own_write()

    def look(self) -> None:
        """Ask for some users and for the counters."""
        streams = self._dice.sample(self._streams, min(20, len(self._streams)))
        seen, counted = dict(self._seen), dict(self._counted)  # Before the question: answers may overtake each other.
        try:
            rows = main.application.row_store.get_active(DIRECTORY.name, streams)
            totals = main.application.tally_store.totals_active(STATS.name, [TOTAL]).get(TOTAL, {})
        except NO_ANSWER:
            return
        self._world.counts["queries"] += 1
        versions = {stream: rows[stream].version if stream in rows else 0 for stream in streams}
        for what, now, before in (("row", versions, seen), ("counter", totals, counted)):
            for name, version in before.items():
                if now.get(name, version if what == "row" else 0) < version:
                    self._wrong(name, f"a query was shown {what} {now.get(name)} after {version}")
        for now, known in ((versions, self._seen), (totals, self._counted)):
            known.update({name: max(value, known.get(name, 0)) for name, value in now.items()})

    def _read_own_write(self) -> None:
        """Ask for a user or an account at the version that a command was answered with."""
        streams = [stream for stream in self._world.heads if category_of(stream) in LISTED]
        if not streams:
            return
        stream = self._dice.choice(streams)
        version = self._world.heads[stream]
        try:
            found = LISTED[category_of(stream)].get(stream.partition("-")[2], version).version
        except UserDeletedError:
            return
        except NO_ANSWER:
            return
        except VersionNotReachedError:
            found = 0
        if found < version:
            self._wrong(stream, f"a query for version {version} was shown {found}")

    def _wrong(self, name: str, detail: str) -> None:
        self._world.wrong.append(Finding(name, Wrong.DIFFERING, detail))
