"""What the queries of all read models with rows share: one row, as new as asked for, and a list by pages."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from app import main
from eventfold import RefusedError

if TYPE_CHECKING:
    from eventfold.read_models.projections import Projection, Row

MAX_SORT_CHARACTERS = 200
"""Keeps a sort key within DynamoDB's 1,024 bytes: case folding can make a text longer."""
MAX_SORT_BYTES = 1000
"""What 200 characters and an id take at the most, and less than DynamoDB's 1,024 bytes."""


class InvalidCursorError(RefusedError, kind="malformed", detail="The cursor does not belong to this query."):
    """The cursor was not made by a query with this prefix."""


class VersionNotReachedError(RefusedError, kind="conflict", detail="It has not come to this version yet."):
    """It has not come to the version asked for."""


def folded(text: str) -> str:
    """Return a text as lists order and search it: without regard to case."""
    return text.casefold()[:MAX_SORT_CHARACTERS]


def place(text: str, stream: str) -> str:
    """Return a row's place in a list that is ordered by a text.

    The stream behind the text makes each sort key unique, so that a cursor always names one place in the list.
    """
    return f"{folded(text)}\0{stream}"


@dataclass(frozen=True)
class RowQueries[V: BaseModel]:
    """Answers queries from a projection's rows, and from the events where a row is behind.

    `view` is what is shown of a row: its fields, and `version`. `missing` is the refusal where there is no row yet, and
    `gone` where there is none any more.
    """

    projection: Projection[Any, Any]
    view: type[V]
    missing: type[RefusedError]
    gone: type[RefusedError]

    def get(self, id_: str, min_version: int = 0) -> V:
        """Return one row, never older than `min_version`. One request; one more where the row is behind.

        Raises:
            RefusedError: nothing has this id, or its first event is not projected yet; it is gone; or it has not come
                to that version.
        """
        app, stream = main.application, f"{self.projection.category}-{id_}"
        row = app.row_store.get_active(self.projection.name, [stream]).get(stream)
        if min_version > (row.version if row else 0):
            row = self.projection.catch_up(app.event_store, stream, row)
        if row is None:
            raise self.missing
        if row.data is None:
            raise self.gone  # Whatever the version asked for: it comes to no other.
        if row.version < min_version:
            raise VersionNotReachedError
        return self._shown(row, row.data)

    def find(self, prefix: str, limit: int, cursor: str | None) -> tuple[list[V], str | None]:
        """Return rows whose text begins with `prefix`, in order, at most `limit`, and the cursor of what follows.

        Raises:
            InvalidCursorError: the cursor is not from a query with this prefix.
        """
        prefix = folded(prefix)
        after = self._read_cursor(cursor, prefix) if cursor else None
        shown = main.application.generations.shown(self.projection.name)
        rows = main.application.row_store.listed(shown, prefix=prefix, after=after, limit=limit + 1)
        found = [self._shown(row, row.data) for row in rows[:limit] if row.data is not None]
        return found, _cursor(rows[limit - 1].sort) if len(rows) > limit else None

    def _shown(self, row: Row, data: str) -> V:
        fields = self.projection.row.model_validate_json(data).model_dump()
        return self.view(version=row.version, **fields)

    def _read_cursor(self, cursor: str, prefix: str) -> str:
        try:
            after = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError) as error:
            raise InvalidCursorError from error
        # All that a cursor can do is to name a place within the list that its caller may read anyway.
        mine = after.startswith(prefix) and f"\0{self.projection.category}-" in after
        if not mine or len(after.encode()) > MAX_SORT_BYTES:
            raise InvalidCursorError
        return after


def _cursor(sort: str | None) -> str | None:
    return base64.urlsafe_b64encode(sort.encode()).decode().rstrip("=") if sort else None
