"""Every promise, judged by the tables and by what callers were told."""

from __future__ import annotations

from copy import replace
from typing import TYPE_CHECKING, Any

from app import accounts, main
from app.accounts.balances import BALANCES
from app.users.directory import DIRECTORY
from app.users.rules import USERS, UserError
from app.users.stats import STATS, TOTAL
from drills.chaos.money import check_money
from drills.chaos.world import CORRECTED
from eventfold.application import verification
from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.read_models.target import GenerationName
from eventfold.testing.checker import (
    Finding,
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
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_dynamodb import DynamoDBClient

    from drills.chaos.writers import Book, Decision
    from eventfold import Commit
    from eventfold.application import Settings
    from eventfold.read_models.projections import Projection
    from eventfold.testing.checker import Attempt
    from eventfold.testing.pump import GivenUp


def check_events(
    client: DynamoDBClient, tables: Settings, attempts: Iterable[Attempt], book: Book
) -> Iterator[Finding]:
    """Yield what is lost, doubled, out of line, or decided on a wrong state."""
    items = list(read_table(client, tables.events_table))
    streams = commits_by_stream(items)
    yield from check_streams(attempts, items)
    ends = {(commit.id, commit.last_version) for commits in streams.values() for commit in commits}
    for key, version in book.answers.items():
        if (key, version) not in ends:
            yield Finding(key, Wrong.LOST, f"answered with version {version}")
    for decider in (CORRECTED, *accounts.DECIDERS):
        yield from check_snapshots(decider, items)
    yield from check_money(items)
    yield from _decisions(book.decisions, streams)


def check_read_models(client: DynamoDBClient, tables: Settings) -> Iterator[Finding]:
    """Hold every generation that is filled against the events, and look for what is left of those that are gone."""
    items, table = list(read_table(client, tables.events_table)), tables.read_models_table
    rows: dict[str, Projection[Any, Any]] = {DIRECTORY.name: DIRECTORY, BALANCES.name: BALANCES}
    controls = DynamoDBControlStore(client, table).read([*rows, STATS.name])
    fed = {str(GenerationName(name, one.number)): one for name, control in controls.items() for one in control.live}
    streams = list(commits_by_stream(items))
    days = sorted({TOTAL, *recount(STATS, items)})
    for stored in sorted(name for name, one in fed.items() if one.status != "filling"):  # A rebuild may be cut short.
        if projection := rows.get(GenerationName.parse(stored).read_model):
            found = check_rows(projection, items, DynamoDBRowStore(client, table).get(stored, streams))
        else:
            found = check_tally(STATS, items, DynamoDBTallyStore(client, table).totals(stored, days))
        yield from (replace(one, detail=f"generation {stored}: {one.detail}") for one in found)
    for page in client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for key in (item["key"]["S"] for item in page["Items"]):
            stored = key.partition("!")[0].partition("#")[0].partition("@")[0]
            if "!" not in key and stored not in fed:
                yield Finding(key, Wrong.NEVER_ATTEMPTED, f"generation {stored} is gone, and this is left of it")


def left_behind(client: DynamoDBClient, tables: Settings, bucket: Iterable[GivenUp]) -> Iterator[Finding]:
    """Yield what is still parked, or lies in the failures bucket."""
    for one in DynamoDBParkedStore(client, tables.parked_table).listed():
        yield Finding(one.stream, Wrong.DIFFERING, f"{one.projection} still has it parked: {one.reason}")
    for record in (record for given_up in bucket for record in given_up.records):
        keys = record["dynamodb"]["Keys"]
        place = f"version {keys['version']['N']} is left in the failures bucket"
        yield Finding(keys["stream"]["S"], Wrong.DIFFERING, place)


def _decisions(decisions: Sequence[Decision], streams: dict[str, list[Commit]]) -> Iterator[Finding]:
    """Decide again what the corrected code has decided, on the state that the events then made."""
    for one in decisions:
        if one.users is not CORRECTED:
            continue
        commits = streams.get(one.stream, [])
        stored = next((commit for commit in commits if commit.version == one.after + 1), None)
        if one.commit is not None and (stored is None or (stored.id, stored.at) != (one.commit.id, one.commit.at)):
            continue  # It lost its race: to somebody else, or to what the code before has made of the same command.
        before = [commit for commit in commits if commit.last_version <= one.after]
        state = CORRECTED.fold(
            CORRECTED.initial, [each.event for commit in before for each in USERS.codec.recorded(commit)]
        )
        try:
            expected = tuple(map(USERS.codec.encode, USERS.decide(one.command, state)))
        except UserError:
            expected = ()
        written: tuple[Any, ...] = stored.events if stored and one.commit else ()
        if written != expected:
            yield Finding(one.stream, Wrong.DIFFERING, f"{one.command!r} at version {one.after} made {written}")


def verify() -> Iterator[Finding]:
    """Yield what the operator's `verify` finds: it has to agree."""
    app = main.application
    names = verification.shown_names(app)
    found: list[Any] = []
    segment = verification.Segment(names, 0, 1)
    counters = verification.check_keys(app, segment, found.append)
    outcome = verification.check_events(app, segment, found.append, lambda _: None)
    wrong, unjudged = verification.judged(app, outcome, counters)
    for one in unjudged:
        yield Finding("", Wrong.DIFFERING, f"verify: {one}")
    found += wrong
    for one in found:
        yield Finding(one.stream, Wrong.DIFFERING, f"verify: {one}")
