"""Between two rushes, when nothing is on its way: whatever is behind is parked, or lies in the failures bucket."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from app.accounts.balances import BALANCES
from app.users.directory import DIRECTORY
from app.users.rules import USERS
from app.users.stats import STATS
from drills.chaos.money import check_money
from drills.chaos.world import RUSH_SECONDS
from eventfold.core.commit import Commit
from eventfold.dynamodb.controls import DynamoDBControlStore
from eventfold.dynamodb.parked import DynamoDBParkedStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.read_models.parking import all_generations
from eventfold.read_models.target import GenerationName
from eventfold.testing.checker import Finding, Wrong, read_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_dynamodb import DynamoDBClient

    from drills.chaos.functions import Functions
    from drills.chaos.world import World

LULL = 0.6
"""Which part of the time between two rushes is over when it looks."""
_NONE = {"N": "0"}


class Audit:
    """Looks for streams that a read model is behind with and nobody knows of, by the tables alone.

    Its client is not watched, so it sees them all at one moment of the others.
    """

    def __init__(self, world: World, functions: Functions, client: DynamoDBClient) -> None:
        self._world = world
        self._functions = functions
        self._client = client
        self._found: set[tuple[GenerationName, str]] = set()

    def __call__(self) -> None:
        """Look in every lull in which all that was committed has been fed."""
        world, pump = self._world, self._functions.pumps["projections"]
        while world.pause_until((world.turns.now // RUSH_SECONDS + 1 + LULL) * RUSH_SECONDS):
            while (pump.fetch() or pump.waiting) and not world.active:
                world.pause(1)
            if not world.active:
                self._look()

    def _look(self) -> None:
        self._world.counts["audits"] += 1
        parked = DynamoDBParkedStore(self._client, self._world.tables.parked_table).listed()
        known = {(one.projection, one.stream) for one in parked}
        given_up = {
            record["dynamodb"]["Keys"]["stream"]["S"]
            for one in self._functions.left_in_bucket()
            for record in one.records
        }
        self._world.wrong += check_money(read_table(self._client, self._world.tables.events_table))
        for name, stream in sorted(self._behind() - self._found):
            names = {str(name), all_generations(name.read_model)}
            if stream not in given_up and known.isdisjoint((one, stream) for one in names):
                self._found.add((name, stream))
                self._world.wrong.append(Finding(stream, Wrong.DIFFERING, f"{name} is behind, and nobody knows"))

    def _behind(self) -> set[tuple[GenerationName, str]]:
        """Return the streams with commits that a generation has not seen, though it should have."""
        rows = self._world.tables.read_models_table
        heads: dict[tuple[str, str], float] = defaultdict(float)
        for page in ScannableDynamoDBEventStore(self._client, self._world.tables.events_table).scan(0, 1):
            for commit in (item for item in page.items if isinstance(item, Commit)):
                # What counts nothing leaves a tally's checkpoint where it is.
                counted = STATS.follows(commit.stream) and STATS.counts(USERS.codec.recorded(commit))
                for sign in "#@" if counted else "#":
                    heads[commit.stream, sign] = max(heads[commit.stream, sign], commit.version)
        marks = {item["key"]["S"]: float(item.get("version", _NONE)["N"]) for item in self._scan(rows)}
        fed = [
            (GenerationName(model.name, one.number), model, sign)
            for model, sign in ((DIRECTORY, "#"), (BALANCES, "#"), (STATS, "@"))
            for one in DynamoDBControlStore(self._client, rows).read([model.name])[model.name].live
            if one.status != "filling"
        ]
        return {
            (generation, stream)
            for generation, model, sign in fed
            for (stream, of), version in heads.items()
            if of == sign and model.follows(stream) and version > marks.get(f"{generation}{sign}{stream}", 0)
        }

    def _scan(self, table: str) -> Iterator[dict[str, Any]]:
        """Yield the keys of a table's items, and their versions."""
        attributes = {"#key": "key", "#version": "version"}
        pages = self._client.get_paginator("scan").paginate(
            TableName=table,
            ConsistentRead=True,
            ProjectionExpression=", ".join(attributes),
            ExpressionAttributeNames=attributes,
        )
        for page in pages:
            yield from page["Items"]
