"""A recount on its way through the store: in pages, since neither a tally's rows nor its streams fit one item."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from eventfold.operations.verify.counters import Recount

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE_BYTES = 250_000
"""About what a page has before it is compressed: it may compress badly, and an item takes 400 KB."""
_ENTRY_BYTES = 24
_RECOUNTS = TypeAdapter(Recount)


def to_pages(recount: Recount) -> Iterator[bytes]:
    """Yield a recount in pages; none if nothing was counted."""
    page, size = Recount(), 0
    for row, counters in recount.counts.items():
        for counter, amount in counters.items():
            page.counts.setdefault(row, {})[counter] = amount
            size += len(row.encode()) + len(counter.encode()) + _ENTRY_BYTES
            if size > PAGE_BYTES:
                yield _packed(page)
                page, size = Recount(), 0
    for stream, version in recount.seen.items():
        page.seen[stream] = version
        size += len(stream.encode()) + _ENTRY_BYTES
        if size > PAGE_BYTES:
            yield _packed(page)
            page, size = Recount(), 0
    if size:
        yield _packed(page)


def from_page(page: bytes) -> Recount:
    """Read a page back."""
    return _RECOUNTS.validate_json(zlib.decompress(page))


def _packed(page: Recount) -> bytes:
    return zlib.compress(_RECOUNTS.dump_json(page))
