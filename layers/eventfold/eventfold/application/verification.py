"""Verification of an application's tables: every stream, snapshot, row and counter."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eventfold.operations.claims import ClaimCheck, Sums, stale_claims
from eventfold.operations.verify.counters import CounterCheck, Recount, check_counters
from eventfold.operations.verify.read_models import ReadModelCheck
from eventfold.operations.verify.segment import SegmentVerification, Verified
from eventfold.read_models.target import GenerationName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from eventfold.application.parts import Application
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
    claims: Sums = field(default_factory=Sums)

    def add(self, other: Outcome) -> None:
        """Add another segment's."""
        self.verified += other.verified
        for name, recount in other.recounts.items():
            self.recounts.setdefault(name, Recount()).merge(recount)
        self.claims.merge(other.claims)


def shown_names(app: Application) -> tuple[str, ...]:
    """Return the stored name of each read model's active generation."""
    return tuple(live.active.name for live in app.generations.live(app.targets, max_age=0))


def check_keys(
    app: Application, segment: Segment, found: Callable[[Finding], None], stop: Callable[[], bool] = lambda: False
) -> set[tuple[str, str]]:
    """Look for rows without a stream; return which counters there are, as stored name and row."""
    checks = [ReadModelCheck(target, app.scannable_store, wait=time.sleep) for target in _targets(app, segment.names)]
    counters: set[tuple[str, str]] = set()
    for page in app.key_listing.keys(segment.number, segment.segments, rate=segment.rate):
        counters |= {(key.stored, key.of) for key in page if key.kind == "counter" and key.stored in segment.names}
        for check in checks:
            for finding in check.orphans(page, app.scannable_store):
                found(finding)
        if stop():
            break
    return counters


def check_events(
    app: Application,
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

    claims = ClaimCheck(app.claim_books) if app.has_unique_keys else None
    run = SegmentVerification(
        app.scannable_store,
        app.deciders,
        _targets(app, segment.names),
        segment.number,
        segment.segments,
        rate=segment.rate,
        stop=beat,
        claims=claims,
    )
    for finding in run.findings():
        found(finding)
    recounts = {check.target.name: check.recount for check in run.checks}
    return Outcome(run.verified, recounts, claims.sums if claims else Sums())


def judged(
    app: Application, outcome: Outcome, counters: Iterable[tuple[str, str]], rate: float | None = None
) -> tuple[list[Finding], list[str]]:
    """Return what is wrong with what all segments add up to, counters and claims; and which counters can't be judged.

    `counters` are those that are stored.

    Raises:
        StoreUnavailableError: at every attempt.
    """
    rows: dict[str, set[str]] = {}
    for name, row in counters:
        rows.setdefault(name, set()).add(row)
    checks = [
        CounterCheck(target, app.scannable_store, outcome.recounts[target.name], rows.get(target.name, ()))
        for target in _targets(app, outcome.recounts)
    ]
    check_counters(checks, lambda: app.key_listing.keys(0, 1, consistent=True, rate=rate))
    stale = stale_claims(app.claim_books, outcome.claims) if app.has_unique_keys else ()
    return [*(one for check in checks for one in check.findings), *stale], [
        one for check in checks for one in check.unjudged
    ]


def _targets(app: Application, names: Iterable[str]) -> Sequence[AnyTarget]:
    known = {target.name: target for target in app.targets}
    return [known[one.read_model].at(one.number) for one in map(GenerationName.parse, names)]
