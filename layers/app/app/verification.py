"""Verification of the application's tables: the library's checks on the real ones."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.settings import settings
from app.wiring import DECIDERS, dynamodb, generations, scannable_store, targets
from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.operations.verify.counters import Reading, Recount, read_counters
from eventfold.operations.verify.read_models import ReadModelCheck
from eventfold.operations.verify.segment import SegmentVerification, Verified
from eventfold.read_models.tallies import TallyTarget
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from eventfold.operations.verify.finding import Finding
    from eventfold.read_models.target import AnyTarget

PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Segment:
    """One of `segments` parts of the tables, counted from 0, for the read models stored under `names`.

    `rate` is in read units a second.
    """

    names: tuple[str, ...]
    number: int
    segments: int
    rate: float | None = None


@dataclass
class Outcome:
    """What the events of a segment are, and what they add up to in each read model."""

    verified: Verified = field(default_factory=Verified)
    recounts: dict[str, Recount] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Add another segment's."""
        self.verified += other.verified
        for name, recount in other.recounts.items():
            self.recounts.setdefault(name, Recount()).add(recount.counts, recount.shrinking, recount.uncounted)


def shown_names() -> tuple[str, ...]:
    """Return the stored name of each read model's active generation."""
    return tuple(live.active.name for live in generations().live(targets(), max_age=0))


def check_keys(
    segment: Segment, found: Callable[[Finding], None], stop: Callable[[], bool] = lambda: False
) -> set[tuple[str, str]]:
    """Look for rows without a stream; return which counters there are, as stored name and row."""
    tallies = [one.name for one in targets() if isinstance(one, TallyTarget)]
    listing = DynamoDBKeyListing(dynamodb(), settings().read_models_table, tallies)
    checks = [ReadModelCheck(target, scannable_store(), wait=time.sleep) for target in _targets(segment.names)]
    counters: set[tuple[str, str]] = set()
    for page in listing.keys(segment.number, segment.segments):
        counters |= {(key.stored, key.of) for key in page if key.kind == "counter" and key.stored in segment.names}
        for check in checks:
            for finding in check.orphans(page, scannable_store()):
                found(finding)
        if stop():
            break
    return counters


def check_events(
    segment: Segment,
    found: Callable[[Finding], None],
    progress: Callable[[Verified], None],
    stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Check one segment of the event table, with its snapshots and the read models' rows.

    Raises:
        StoppedError: `stop` said so.
        StoreUnavailableError: at every attempt.
    """
    told = time.monotonic()

    def beat() -> bool:
        nonlocal told
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            progress(run.verified)
        return stop()

    chosen = _targets(segment.names)
    run = SegmentVerification(
        scannable_store(), DECIDERS, chosen, segment.number, segment.segments, rate=segment.rate, stop=beat
    )
    for finding in run.findings():
        found(finding)
    return Outcome(run.verified, {check.target.name: check.recount for check in run.checks})


def totals(names: Iterable[str], counters: Iterable[tuple[str, str]]) -> dict[str, Reading]:
    """Return these counters as stored, by stored name."""
    rows: dict[str, list[str]] = {}
    for name, row in counters:
        rows.setdefault(name, []).append(row)
    return {target.name: read_counters(target, rows.get(target.name, [])) for target in _targets(names)}


def differing(outcome: Outcome, before: Mapping[str, Reading], after: Mapping[str, Reading]) -> Iterator[Finding]:
    """Yield the counters that are not what the events add up to."""
    for name, recount in outcome.recounts.items():
        yield from recount.differing(before.get(name, Reading()), after.get(name, Reading()), name)


def counted(outcome: Outcome) -> set[tuple[str, str]]:
    """Return which counters there should be, as stored name and row."""
    return {(name, row) for name, recount in outcome.recounts.items() for row in recount.counts}


def _targets(names: Iterable[str]) -> Sequence[AnyTarget]:
    known = {target.name: target for target in targets()}
    return [known[one.read_model].at(one.number) for one in map(GenerationName.parse, names)]
