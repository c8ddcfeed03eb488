"""Export files: plain or gzip by their name, `-` for stdin and stdout, and never half a file under its name."""

from __future__ import annotations

import gzip
import os
import secrets
import sys
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from eventfold.core.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

STANDARD = "-"


class FileInTheWayError(Exception):
    """The file to write is there already."""


@contextmanager
def written(name: str) -> Iterator[BinaryIO]:
    """Open a file to write to, which its owner alone may read. It has its name once all of it is on the disk.

    What an error or Ctrl-C leaves behind is deleted. Of two that write under one name at once, the first to end has it.

    Raises:
        FileInTheWayError: there is one of this name, before or after.
    """
    if name == STANDARD:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(name)
    if path.exists():
        raise _in_the_way(path)
    part = path.with_name(f".eventfold-{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as raw:
            if _compressed(name):
                # No name and no time in it: the same events make the same file.
                with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=6, mtime=0) as packed:
                    yield cast("BinaryIO", packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        _name(part, path)
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path) -> None:
    """Give a file its name, unless another has it by now: linking never replaces, as renaming does."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        raise _in_the_way(path) from None
    except OSError:  # A file system without hard links.
        if path.exists():
            raise _in_the_way(path) from None
        part.rename(path)


def _in_the_way(path: Path) -> FileInTheWayError:
    return FileInTheWayError(f"{path} exists. Name another file, or delete that one.")


@contextmanager
def lines_of(name: str, read: Callable[[int, int], None]) -> Iterator[Iterator[bytes]]:
    """Open a file to read line by line; `read` hears now and then how many bytes of how many were read, 0 if unknown.

    Raises:
        OSError: it can't be opened or read.
        TransferError: its gzip data is cut off or damaged.
    """
    if name == STANDARD:
        yield iter(sys.stdin.buffer)
        return
    with Path(name).open("rb") as raw:
        size = os.fstat(raw.fileno()).st_size
        source = gzip.GzipFile(fileobj=raw) if _compressed(name) else raw
        yield _told(cast("BinaryIO", source), raw, size, read)


def _told(source: BinaryIO, raw: BinaryIO, size: int, read: Callable[[int, int], None]) -> Iterator[bytes]:
    try:
        for number, line in enumerate(source):
            if number % 500 == 0:
                read(raw.tell(), size)
            yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TransferError(f"The file is cut off or damaged: {error}. What came before is written.") from None


def _compressed(name: str) -> bool:
    return name.endswith(".gz")
