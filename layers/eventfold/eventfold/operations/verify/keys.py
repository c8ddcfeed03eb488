"""What a read-model table holds, by its keys: for whoever looks for what should not be there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True, order=True)
class StoredKey:
    """One key: of a row or a checkpoint of the stream `of`, or of counters in the row `of`.

    `stored` is the name that a generation is stored under. A store of rows alone takes counters for rows. `version` is
    where the stream was seen last, and `step` a checkpoint's; 0 where there is none.
    """

    stored: str
    kind: Literal["row", "checkpoint", "counter"]
    of: str
    version: int = 0
    step: int = 0


class KeyListing(Protocol):
    """A read-model store whose keys can all be read."""

    def keys(
        self, segment: int, segments: int, *, consistent: bool = False, rate: float | None = None
    ) -> Iterator[Sequence[StoredKey]]:
        """Yield one of `segments` parts of the keys, counted from 0, page by page. `rate` is in read units a second.

        Eventually consistent, unless told otherwise: that is twice the price.

        Raises:
            StoreUnavailableError: throttled or out of reach.
        """
        ...
