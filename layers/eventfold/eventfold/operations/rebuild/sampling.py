"""Some of what a generation will be made of, to lay it out by before it is filled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventfold.operations.reading import SteadyPages, StreamReading
from eventfold.operations.rebuild.filling import folded_or_none
from eventfold.operations.scanning import by_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventfold.operations.reading import Source
    from eventfold.read_models.target import AnyTarget, Mark


def sampled(target: AnyTarget, source: Source) -> Iterator[Mark]:
    """Yield streams as the target folds them, in the source's order: by hash, which no list is in.

    No more is read than is asked for. A stream that can't be folded is left out.

    Raises:
        StoreUnavailableError: at every attempt.
    """
    for part in range(source.parts):
        for stream, items in by_stream(SteadyPages(source, part, None, rate=None, beat=lambda: False)):
            if target.follows(stream):
                folded = folded_or_none(target, StreamReading(stream, items, target.codec))
                if folded is not None:
                    yield folded
