"""Snapshots of any stream put right: taken where one is due, replaced where one is not what the events make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventfold.core.commit import Commit, category_of
from eventfold.operations.scanning import by_stream, lies_between
from eventfold.operations.verify.streams import StreamCheck

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eventfold.core.commit import Snapshot
    from eventfold.core.decider import Decider
    from eventfold.operations.scanning import ScanPage
    from eventfold.operations.verify.read_models import VerifiableStore

    type Deciders = Mapping[str, Decider[Any, Any, Any]]

VOID = "void"
"""The schema of what is put in the place of a snapshot that can't be right: nobody's state has it."""


class Retake:
    """Replays one stream from version 1, whatever snapshots it has, and puts them right.

    A snapshot that differs from the replay is replaced, and where the newest that is right lies before the stream's end
    one more is taken. Where no commit ends at a snapshot's version nothing can be right: it is made void. Snapshots of
    other schemas stay, as no load uses them.
    """

    def __init__(self, store: VerifiableStore, deciders: Deciders, stream: str) -> None:
        self.written: list[Snapshot] = []
        self.check = StreamCheck(stream, deciders)
        """What the stream is like; its snapshots as they were found."""
        self._store = store
        self._newest = 0

    def run(self) -> None:
        """Do it. A stream that can't be replayed is left as it is from there on.

        Raises:
            InvalidCommitError: a state is too large for an item, or its JSON would not give it back.
            StoreUnavailableError: throttled or out of reach; run it again.
        """
        for item in self._store.items(self.check.stream):
            if not isinstance(item, Commit) and lies_between(item) and self.check.wrong_in(item) is not None:
                self._put(item.version)
            self.check.take(item)
        if max(self.check.usable, self._newest) < self.check.version:
            self._put(self.check.version)

    def _put(self, version: int) -> None:
        right = self.check.snapshot()
        if right is None:
            return
        if right.version == version:
            self._newest = version
        else:
            right = right._replace(version=version, schema=VOID, state="", refs=())
        self._store.save_snapshot(right, replace=True)
        self.written.append(right)


def to_retake(pages: Iterable[ScanPage], deciders: Deciders) -> Iterator[str]:
    """Yield the streams that lack a snapshot that was due, or have one that is wrong, or can't be replayed.

    A scan may see a stream in part: `Retake` reads it again, and finds out.
    """
    for stream, items in by_stream(pages):
        check = StreamCheck(stream, deciders).take_all(items)
        if category_of(stream) in deciders and (check.findings or check.usable < check.due):
            yield stream
