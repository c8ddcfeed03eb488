"""Importing commits: each behind the one before, as if it was just committed; what is there already is passed over.

A stream's commits are written in order by one thread; different streams side by side.
"""

from __future__ import annotations

import zlib
from queue import Queue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING

from eventfold.core.commit import Commit, Head
from eventfold.core.errors import EventfoldError, StoreUnavailableError, TransferError, VersionConflictError
from eventfold.core.store import end_of
from eventfold.operations.rebuild.filling import patiently
from eventfold.operations.transfer.exporting import Moved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from eventfold.core.store import EventStore

_QUEUED = 100
_OPEN_STREAMS = 100
_REPORT_EVERY = 500

type Numbered = tuple[int, Commit]


class Importer:
    """Writes commits into a store, `writers` streams at the same time. It can be run again from the start.

    A second run finds what the first has written by one read a stream, and writes the rest.
    """

    def __init__(
        self, store: EventStore, *, writers: int = 8, report: Callable[[Moved], None] = lambda _: None
    ) -> None:
        self.moved = Moved()
        self._store = store
        self._report = report
        self._lock = Lock()
        self._failed = Event()
        self._failure: tuple[int, Exception] | None = None
        self._queues: list[Queue[Numbered | None]] = [Queue(_QUEUED) for _ in range(writers)]

    def run(self, commits: Iterable[Numbered]) -> Moved:
        """Write all commits; return how much was written.

        Raises:
            TransferError: a line is malformed, does not follow what the table has, or differs from it. Of its stream,
                nothing behind that line is written.
            StoreUnavailableError: at every attempt. What is written stays; run it again.
        """
        threads = [Thread(target=self._work, args=(queue,), daemon=True) for queue in self._queues]
        for thread in threads:
            thread.start()
        try:
            for number, commit in commits:
                self._queues[zlib.crc32(commit.stream.encode()) % len(self._queues)].put((number, commit))
                if self._failed.is_set():
                    break
        except TransferError:
            self._end(threads)
            raise
        except BaseException:
            self._failed.set()
            self._end(threads)
            raise
        self._end(threads)
        self._report(self.moved)
        return self.moved

    def _end(self, threads: list[Thread]) -> None:
        for queue in self._queues:
            queue.put(None)
        for thread in threads:
            thread.join()
        if self._failure:
            raise self._failure[1]

    def _work(self, queue: Queue[Numbered | None]) -> None:
        """Write what comes; after a failure, here or elsewhere, take it and write nothing."""
        streams: dict[str, _Stream] = {}
        while (one := queue.get()) is not None:
            number, commit = one
            if self._failed.is_set():
                continue
            try:
                self._write(streams, commit)
            except Exception as error:  # noqa: BLE001 - handed to whoever runs the import
                self._fail(number, _named(number, error))

    def _write(self, streams: dict[str, _Stream], commit: Commit) -> None:
        stream = streams.pop(commit.stream, None)
        begun = stream is None
        if stream is None or commit.version <= stream.version:
            stream = _Stream(self._store, commit)
        written = stream.write(commit)
        streams[commit.stream] = stream  # Last in the dict: the one that has rested longest goes first.
        if len(streams) > _OPEN_STREAMS:
            del streams[next(iter(streams))]
        with self._lock:
            now = self.moved
            now.streams += begun
            now.commits += written
            now.events += len(commit.events) if written else 0
            now.there += not written
            if (now.commits + now.there) % _REPORT_EVERY == 0:
                self._report(now)

    def _fail(self, number: int, error: Exception) -> None:
        with self._lock:
            if self._failure is None or number < self._failure[0]:
                self._failure = (number, error)
            self._failed.set()


class _Stream:
    """Where one stream of the table stands beside the commits that come: what it has from there on, then its end."""

    def __init__(self, store: EventStore, first: Commit) -> None:
        self._store = store
        self._there: Iterator[Commit] = store.oldest_first(first.stream, after=first.version - 1)
        self._head: Head | None = None if first.version > 1 else Head(first.stream, 0)
        self._ended = False
        self.version = 0
        """The version of the last commit that came."""

    def write(self, commit: Commit) -> bool:
        """Write the next commit; False if it is there.

        Raises:
            VersionConflictError: another commit has its version.
            VersionOutOfLineError: it does not follow the table's last one.
        """
        there = None if self._ended else next(self._there, None)
        if there is None:
            self._ended = True
            if self._head is None:
                self._head = end_of(self._store, commit.stream)
            patiently(lambda: self._store.append(commit, after=self._head))
        elif there != commit:
            raise VersionConflictError(commit.stream, min(commit.version, there.version), there)
        self._head = commit.head
        self.version = commit.last_version
        return there is None


def _named(number: int, error: Exception) -> Exception:
    """Say which line it was, where it is the line's fault."""
    match error:
        case StoreUnavailableError():
            return error
        case VersionConflictError():
            what = f"stream {error.stream!r}, version {error.version}: the table has another commit there"
            return TransferError(f"Line {number}: {what}")
        case EventfoldError():
            return TransferError(f"Line {number}: {error}")
        case _:
            return error
