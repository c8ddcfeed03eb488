"""What a read-model table holds, by its keys: for whoever looks for what should not be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, order=True)
class StoredKey:
    """One key: of a row or a checkpoint of the stream `of`, or of counters in the row `of`.

    `stored` is the name that a generation is stored under. A store of rows alone takes counters for rows.
    """

    stored: str
    kind: Literal["row", "checkpoint", "counter"]
    of: str


class KeyListing(Protocol):
    """A read-model store whose keys can all be read."""

    def keys(self, segment: int, segments: int) -> Iterator[Sequence[StoredKey]]:
        """Yield one of `segments` parts of the keys, counted from 0, page by page. Eventually consistent.

        Raises:
            StoreUnavailableError: throttled or out of reach.
        """
        ...
