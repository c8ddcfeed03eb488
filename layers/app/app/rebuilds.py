"""Rebuilds of the application's read models: the library's steps on the real tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.settings import settings
from app.wiring import dynamodb, feed, parked_store, rebuild_store, runner, scannable_store, targets
from eventfold.dynamodb.exports import open_export
from eventfold.dynamodb.sweeping import DynamoDBSweeper
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild.filling import HOLD_SECONDS, Filler
from eventfold.operations.rebuild.steps import Rebuild, job
from eventfold.operations.rebuild.verification import Prover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold.operations.reading import Source
    from eventfold.operations.rebuild.progress import Phase, Progress
    from eventfold.read_models.generations import Generation

TABLE = "table"


def rebuild_of(name: str, owner: str, *, hold_seconds: float = HOLD_SECONDS) -> Rebuild:
    """Return the rebuild of a read model, as `owner` runs it.

    Raises:
        UnknownProjectionError: there is no read model of this name.
    """
    feed().check(name)
    (target,) = [one for one in targets() if one.name == name]
    return Rebuild(target, runner(), parked_store(), rebuild_store(), owner, hold_seconds=hold_seconds)


def source_of(name: str, parts: int) -> Source:
    """Return what a generation is filled from: the event table in so many segments, or an export, by its place.

    Raises:
        RebuildRefusedError: there is no export.
    """
    if name != TABLE:
        return open_export(name, settings().aws_endpoint_url)
    return TableSource(scannable_store(), parts)


def begin(rebuild: Rebuild, source: str, segments: int) -> Generation:
    """Begin a generation, or go on with the one that is being built; see `Rebuild.begin`."""
    found = source_of(source, segments)
    return rebuild.begin(found.name, found.parts, as_of=found.as_of)


def work(rebuild: Rebuild, phase: Phase, part: int, *, rate: float | None, stop: Callable[[], bool]) -> Progress:
    """Fill or verify one part of the generation that is being built; return how far it is.

    Raises:
        StoreUnavailableError: at every attempt. What was done is kept.
        RebuildRefusedError: another rebuild has taken over, or none was begun.
    """
    control = rebuild.control()
    generation = control.generation(control.newest)
    source = source_of(generation.source, generation.parts)
    todo = job(rebuild, generation, phase, source=source, progress=rebuild_store(), rate=rate, stop=stop)
    if phase == "fill":
        return Filler(runner()).fill(todo, part)
    return Prover(scannable_store(), runner(), rebuild.shown()).prove(todo, part)


def sweep(stored: str, rate: float | None = None) -> Iterator[int]:
    """Delete a generation's rows; yield how many, page by page."""
    return DynamoDBSweeper(dynamodb(), settings().read_models_table).sweep(stored, rate=rate)


def items_in(source: str) -> int:
    """Return how many items the source has, about: DynamoDB counts a table's every six hours."""
    if source != TABLE:
        return open_export(source, settings().aws_endpoint_url).items
    return dynamodb().describe_table(TableName=settings().events_table)["Table"].get("ItemCount", 0)
