"""Sorting more lines than memory holds: sorted runs in unnamed files on disk, compressed, then merged.

An external merge sort: Knuth, The Art of Computer Programming, vol. 3, 5.4.
"""

from __future__ import annotations

import heapq
import tempfile
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

RUN_BYTES = 32 * 2**20
"""How much of the lines is held at a time: twice as much with keys and objects. A run more costs 0.1 MB to read."""
_GZIP = zlib.MAX_WBITS | 16
_PIECE_BYTES = 2**12
"""How much of each run is read at a time."""
_UNZIPPED_BYTES = 2**14


class _Comparable(Protocol):
    def __lt__(self, other: Self, /) -> bool: ...


class SortedLines[K: _Comparable]:
    """Lines by their key. Held in memory: one run while lines are added, then a line of each run."""

    def __init__(self, key: Callable[[bytes], K], *, run_bytes: int = RUN_BYTES) -> None:
        self._key = key
        self._run_bytes = run_bytes
        self._held: list[tuple[K, bytes]] = []
        self._bytes = 0
        self._runs: list[IO[bytes]] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the runs."""
        for run in self._runs:
            run.close()

    def add(self, line: bytes) -> bool:
        """Add a line; return whether that filled a run.

        Raises:
            OSError: the disk is full.
        """
        self._held.append((self._key(line), line))
        self._bytes += len(line)
        if self._bytes < self._run_bytes:
            return False
        self._held.sort(key=lambda one: one[0])
        run = tempfile.TemporaryFile()  # noqa: SIM115 - closed with all others
        self._runs.append(run)
        zipped = zlib.compressobj(1, wbits=_GZIP)
        run.writelines(zipped.compress(line + b"\n") for _, line in self._held)
        run.write(zipped.flush())
        self._held, self._bytes = [], 0
        return True

    def __iter__(self) -> Iterator[tuple[K, bytes]]:
        """Yield the lines with their keys, in order. Each line has to be added before."""
        self._held.sort(key=lambda one: one[0])
        return heapq.merge(*map(self._read, self._runs), self._held, key=lambda one: one[0])

    def _read(self, run: IO[bytes]) -> Iterator[tuple[K, bytes]]:
        run.seek(0)
        for line in lines_of(unzipped(iter(partial(run.read, _PIECE_BYTES), b""))):
            yield self._key(line), line


def unzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Unzip in pieces of a bounded size, of as many gzip members as there are.

    Raises:
        zlib.error: it is not gzip.
    """
    unzip = zlib.decompressobj(_GZIP)
    for chunk in chunks:
        rest = chunk
        while rest:
            yield unzip.decompress(rest, _UNZIPPED_BYTES)
            rest = unzip.unconsumed_tail
            if unzip.eof:
                rest = unzip.unused_data
                unzip = zlib.decompressobj(_GZIP)


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines that come in pieces."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest
