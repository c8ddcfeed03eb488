"""Batches that Lambda gave up on: their streams are brought up to date, or parked, and then the batch is forgotten.

A projection function parks what it can't project, so a batch is given up where it could do neither: every invocation
failed, or the records grew too old meanwhile. The events are in the event table all the same. So a batch only says
which streams to look at, in whatever order it is found, and how often.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventfold.read_models.feed import Feed, Report


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A batch that was given up: where it is kept, and the streams of its records, each once.

    `unreadable` says why it does not tell all of them, without quoting what it holds; None: it does.
    """

    name: str
    streams: tuple[str, ...]
    unreadable: str | None = None


class GivenUpStore(Protocol):
    """The port that batches are kept behind which were given up."""

    def names(self) -> Iterator[str]:
        """Yield where each batch is kept."""
        ...

    def read(self, name: str) -> GivenUp | None:
        """Return a batch; None if it is gone."""
        ...

    def forget(self, name: str) -> None:
        """Delete a batch; nothing happens if it is gone."""
        ...


@dataclass(slots=True)
class Recovered:
    """How many batches are done with, and how many stay: unreadable ones, and those whose streams can't be parked."""

    done: int = 0
    left: int = 0


def recover(
    store: GivenUpStore,
    feed: Feed,
    *,
    report: Report = lambda _: None,
    unreadable: Callable[[GivenUp], None] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> Recovered:
    """Bring the streams of all batches up to date, and forget the batches; safe to run twice at once, or to kill.

    `unreadable` is told of each batch that stays because it makes no sense. `stop` ends it between two batches.

    Raises:
        StoreUnavailableError: the batches can't be read or forgotten.
    """
    counts = Recovered()
    for name in store.names():
        batch = store.read(name)
        if batch is None:
            continue
        failed = feed.project([], batch.streams, report=report)
        if batch.unreadable:
            unreadable(batch)
        if failed or batch.unreadable:
            counts.left += 1
        else:
            store.forget(name)
            counts.done += 1
        if stop():
            break
    return counts
