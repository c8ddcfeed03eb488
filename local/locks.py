"""Locks that end with their holder, however it ends: the operating system's, on a file."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class HeldError(Exception):
    """Another process holds the lock."""


@contextmanager
def locked(file: Path, *, wait: bool) -> Iterator[int]:
    """Hold a file's lock until the end of the block; yield its descriptor: a child that inherits it holds the lock too.

    Raises:
        HeldError: another process holds it, and this one does not `wait`.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise HeldError from None
        yield held.fileno()
