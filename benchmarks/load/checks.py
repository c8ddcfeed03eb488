"""After the load: what commands were answered, held against the tables; rows and counters against the events."""

from __future__ import annotations

import time
from copy import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from app.users.directory import DIRECTORY
from app.users.rules import USERS, UserCreated, UserDeleted, UserEvent, UserUpdated
from app.users.stats import STATS, TOTAL
from eventfold import Commit
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.testing.checker import (
    Attempt,
    Finding,
    Word,
    Wrong,
    check_rows,
    check_snapshots,
    check_streams,
    check_tally,
    commits_by_stream,
    read_table,
    recount,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from benchmarks.load.samples import Answer, Sent
    from eventfold.core.store import Item
    from local.stack import Stack

SETTLE_SECONDS = 60
"""How long the read models may take to catch up with the last command."""


def check(deployed: Stack, answers: Iterable[Answer]) -> list[Finding]:
    """Return what is wrong once the read models have caught up."""
    items = list(read_table(deployed.dynamodb, deployed.outputs["EventsTableName"]))
    deadline = time.monotonic() + SETTLE_SECONDS
    while (behind := _read_models(deployed, items)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return [*check_streams(attempts(answers, items), items), *behind, *check_snapshots(USERS, items)]


def _read_models(deployed: Stack, items: Sequence[Item]) -> list[Finding]:
    table = deployed.outputs["ReadModelsTableName"]
    streams = list(commits_by_stream(items))
    rows = DynamoDBRowStore(deployed.dynamodb, table).get(DIRECTORY.name, streams)
    counted = DynamoDBTallyStore(deployed.dynamodb, table).totals(STATS.name, sorted({TOTAL, *recount(STATS, items)}))
    parked = DynamoDBParkedStore(deployed.dynamodb, deployed.outputs["ParkedTableName"]).listed()
    return [
        *check_rows(DIRECTORY, items, rows),
        *check_tally(STATS, items, counted),
        *(
            Finding(one.stream, Wrong.DIFFERING, f"{one.projection} is parked at {one.version}: {one.reason}")
            for one in parked
        ),
    ]


def attempts(answers: Iterable[Answer], items: Sequence[Item]) -> Iterator[Attempt]:
    """Yield each command as an attempt to append, in the checker's terms.

    A commit's id is the command's idempotency key, so a commit that nobody asked for shows, or one made twice.
    """
    streams = commits_by_stream(items)
    by_key = {commit.id: commit for commits in streams.values() for commit in commits}
    for answer in answers:
        if (sent := answer.command) is None:
            continue
        stored = by_key.get(sent.key)
        word = _word(answer)
        if word is not Word.ACKNOWLEDGED:
            if stored is not None:
                yield Attempt(stored, word)
        elif not (stored is None and _changed_nothing(sent, streams)):
            yield Attempt(_acknowledged(sent, stored), word)


def _word(answer: Answer) -> Word:
    if answer.word == "ok":
        return Word.ACKNOWLEDGED
    # 503 and 504 leave open what became of the command, and so does no answer at all.
    return Word.REFUSED if 400 <= answer.status < 500 else Word.UNKNOWN  # noqa: PLR2004


def _changed_nothing(sent: Sent, streams: Mapping[str, list[Commit]]) -> bool:
    """Whether it is right that a command appended nothing: its user had been deleted by another one."""
    commits = streams.get(USERS.stream(sent.id), []) if sent.id else []
    return sent.method == "DELETE" and bool(commits) and commits[-1].events[-1]["type"] == UserDeleted.__name__


def _acknowledged(sent: Sent, stored: Commit | None) -> Commit:
    """Return the commit that a command's answer promises: its version, and the event it asked for."""
    events = (USERS.codec.encode(_event(sent)),)
    stream = USERS.stream(sent.id or "unknown")
    if stored is None:
        return Commit(stream, sent.version or 0, events, sent.key, datetime.now(UTC))
    version = stored.version if sent.version is None else sent.version  # 204 names none
    return replace(stored, stream=stream, version=version, events=events)


def _event(sent: Sent) -> UserEvent:
    match sent.method:
        case "POST":
            return UserCreated.model_validate(sent.body)
        case "PATCH":
            return UserUpdated.model_validate(sent.body)
        case "DELETE":
            return UserDeleted()
