"""Rebuilds of an application's read models: the steps on its tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventfold.core.errors import RebuildRefusedError
from eventfold.dynamodb.exports import open_export
from eventfold.dynamodb.sweeping import DynamoDBSweeper
from eventfold.operations.reading import TableSource
from eventfold.operations.rebuild.filling import HOLD_SECONDS, Filler
from eventfold.operations.rebuild.sampling import sampled
from eventfold.operations.rebuild.steps import Rebuild, job
from eventfold.operations.rebuild.verification import Prover
from eventfold.read_models.feed import UnknownProjectionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold.application.parts import Application
    from eventfold.operations.reading import Source
    from eventfold.operations.rebuild.progress import Phase, Progress
    from eventfold.read_models.generations import Generation

TABLE = "table"


def rebuild_of(app: Application, name: str, owner: str, *, hold_seconds: float = HOLD_SECONDS) -> Rebuild:
    """Return the rebuild of a read model, as `owner` runs it.

    Raises:
        UnknownProjectionError: there is no read model of this name.
    """
    target = next((one for one in app.targets if one.name == name), None)
    if target is None:
        names = ", ".join(sorted(one.name for one in app.targets))
        raise UnknownProjectionError(f"There is no projection {name!r}; there are: {names}.")
    return Rebuild(
        target,
        app.runner,
        app.scannable_store,
        app.key_listing,
        app.parked_store,
        app.rebuild_store,
        owner,
        hold_seconds=hold_seconds,
    )


def source_of(app: Application, name: str, parts: int) -> Source:
    """Return what a generation is filled from: the event table in so many segments, or an export, by its place.

    Raises:
        RebuildRefusedError: there is no export.
    """
    if name != TABLE:
        return open_export(name, app.settings.aws_endpoint_url)
    return TableSource(app.scannable_store, parts)


def begin(app: Application, rebuild: Rebuild, source: str, segments: int, *, at_most: int | None = None) -> Generation:
    """Begin a generation, or go on with the one that is being built; see `Rebuild.begin`.

    Raises:
        RebuildRefusedError: that, or the source has more parts than `at_most`.
    """
    found = source_of(app, source, segments)
    if at_most is not None and found.parts > at_most:
        raise RebuildRefusedError(f"{found.name} has {found.parts} parts, and {at_most} are the most: use --here.")
    return rebuild.begin(found.name, found.parts, as_of=found.as_of, sample=sampled(rebuild.target, found))


@dataclass(frozen=True)
class Part:
    """One part of a phase of a generation's rebuild. `rate` is in read units a second."""

    generation: int
    phase: Phase
    number: int
    rate: float | None = None


def work(app: Application, rebuild: Rebuild, part: Part, stop: Callable[[], bool]) -> Progress:
    """Fill or verify one part of a generation that is being built; return how far it is.

    Raises:
        StoreUnavailableError: at every attempt. What was done is kept.
        RebuildRefusedError: another rebuild has taken over, or the generation is in no such phase.
    """
    generation = rebuild.control().generation(part.generation)
    source = source_of(app, generation.source, generation.parts)
    todo = job(rebuild, generation, part.phase, source, rate=part.rate, stop=stop)
    if part.phase == "fill":
        return Filler(app.runner).fill(todo, part.number)
    return Prover(app.scannable_store, app.runner, rebuild.shown()).prove(todo, part.number)


def sweep(app: Application, stored: str, rate: float | None = None) -> Iterator[int]:
    """Delete a generation's rows; yield how many, page by page."""
    return DynamoDBSweeper(app.dynamodb, app.settings.read_models_table).sweep(stored, rate=rate)


def items_in(app: Application, source: str) -> int:
    """Return how many items the source has, about: DynamoDB counts a table's every six hours."""
    if source != TABLE:
        return open_export(source, app.settings.aws_endpoint_url).items
    return app.dynamodb.describe_table(TableName=app.settings.events_table)["Table"].get("ItemCount", 0)
