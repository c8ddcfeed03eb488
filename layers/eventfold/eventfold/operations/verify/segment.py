"""Verification: that the event table is whole, and that snapshots and read models are what it makes them.

Read in segments, side by side, while writers go on. A scan is eventually consistent and may see half of what is
written, so whatever looks broken is read again, consistently, before it is a finding.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from itertools import batched
from typing import TYPE_CHECKING, Any

from eventfold.operations.reading import SteadyPages, StoppedError, TableSource
from eventfold.operations.scanning import by_stream
from eventfold.operations.verify.read_models import Fold, ReadModelCheck
from eventfold.operations.verify.streams import StreamCheck
from eventfold.operations.verify.transactions import TransactionCheck

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from eventfold.core.decider import Decider
    from eventfold.core.events import Recorded
    from eventfold.operations.claims import ClaimCheck
    from eventfold.operations.scanning import Scanned, ScanPage
    from eventfold.operations.verify.finding import Finding
    from eventfold.operations.verify.read_models import VerifiableStore
    from eventfold.read_models.target import AnyTarget

_CHUNK = 100


@dataclass(slots=True)
class Verified:
    """What was read. `other_schemas` are the snapshots that are ignored because the state's schema has changed."""

    streams: int = 0
    commits: int = 0
    events: int = 0
    snapshots: int = 0
    other_schemas: int = 0

    def __add__(self, other: Verified) -> Verified:
        """Return what both have read."""
        return Verified(
            self.streams + other.streams,
            self.commits + other.commits,
            self.events + other.events,
            self.snapshots + other.snapshots,
            self.other_schemas + other.other_schemas,
        )


@dataclass
class SegmentVerification:
    """Checks one segment of the event table, and every read model of the streams in it.

    `rate` is in read units a second. `stop` is asked at least once a second. The `checks` have each read model's
    recount once `findings` has come to its end, and `claims`, where aggregates have unique keys, the sums of all keys.
    """

    store: VerifiableStore
    deciders: Mapping[str, Decider[Any, Any, Any]]
    targets: Sequence[AnyTarget]
    segment: int
    segments: int
    rate: float | None = None
    stop: Callable[[], bool] = lambda: False
    tries: int = 10
    sleep: Callable[[float], None] = time.sleep
    verified: Verified = field(default_factory=Verified)
    claims: ClaimCheck | None = None

    def __post_init__(self) -> None:
        self.transactions = TransactionCheck(self.store)
        self.checks = [ReadModelCheck(one, self.store, wait=self._wait, tries=self.tries) for one in self.targets]

    def findings(self) -> Iterator[Finding]:
        """Yield what is wrong, as it is found. Memory does not grow with the table, nor with a stream.

        Raises:
            StoppedError: it was told to stop.
            StoreUnavailableError: at every attempt.
        """
        source = TableSource(self.store, self.segments)
        pages = SteadyPages(source, self.segment, None, rate=self.rate, beat=self.stop)
        for some in batched(self._streams(pages), _CHUNK, strict=False):
            for found, _ in some:
                yield from found
            yield from self.transactions.findings()
            yield from self.claims.findings() if self.claims else ()
            for number, check in enumerate(self.checks):
                yield from check.check([folds[number] for _, folds in some if number in folds])
        for check in self.checks:
            yield from check.recheck()

    def _streams(self, pages: Iterable[ScanPage]) -> Iterator[tuple[list[Finding], Mapping[int, Fold]]]:
        for stream, items in by_stream(pages):
            check, folds = self._checked(stream, items)
            if check.findings:
                seen = check
                check, folds = self._checked(stream, self.store.items(stream))
                if seen.first != 1 and check.first == 1:
                    folds = {}  # A later part of a stream that was cut in two: the other part counts it.
            if self.claims:
                self.claims.see(check)
            now = self.verified
            now.streams += 1
            now.commits += check.commits
            now.events += check.events
            now.snapshots += check.snapshots
            now.other_schemas += check.other_schemas
            yield check.findings, folds

    def _checked(self, stream: str, items: Iterable[Scanned]) -> tuple[StreamCheck, Mapping[int, Fold]]:
        folds = {n: Fold(target, stream) for n, target in enumerate(self.targets) if target.follows(stream)}

        def see(recorded: Sequence[Recorded[Any]]) -> None:
            for fold in folds.values():
                fold.see(recorded)

        check = StreamCheck(stream, self.deciders, see, self.transactions.see).take_all(items)
        for fold in folds.values():
            fold.folded()
            fold.complete = not check.broken
        return check, folds

    def _wait(self, seconds: float) -> None:
        if self.stop():
            raise StoppedError
        self.sleep(seconds)
