"""Stores whose reads, unless asked to be consistent or `behind` is off, bring what was before the last write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventfold.memory import MemoryRowStore, MemoryTallyStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventfold.read_models.generations import ControlStore
    from eventfold.read_models.projections import Row
    from eventfold.read_models.tallies import Checkpoint, Counts, Moved


class StaleRowStore(MemoryRowStore):
    """Rows, one write behind."""

    behind = True

    def __init__(self, controls: ControlStore | None = None) -> None:
        super().__init__(controls)
        self._before: dict[tuple[str, str], dict[str, Row]] = {}

    def get(self, projection: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Row]:
        found = super().get(projection, streams)
        for stream in streams if self.behind and not consistent else ():
            found.pop(stream, None)
            found |= self._before.get((projection, stream), {})
        return found

    def put(self, projection: str, row: Row, *, replaces: int) -> None:
        before = super().get(projection, [row.stream])
        super().put(projection, row, replaces=replaces)
        self._before[projection, row.stream] = before


class StaleTallyStore(MemoryTallyStore):
    """Checkpoints, one write behind."""

    behind = True

    def __init__(self, controls: ControlStore | None = None) -> None:
        super().__init__(controls)
        self._before: dict[tuple[str, str], Checkpoint | None] = {}

    def checkpoints(self, tally: str, streams: Sequence[str], *, consistent: bool = True) -> dict[str, Checkpoint]:
        if consistent or not self.behind:
            return super().checkpoints(tally, streams)
        return {stream: before for stream in streams if (before := self._before.get((tally, stream)))}

    def add(self, tally: str, counts: Counts, moved: Moved) -> None:
        super().add(tally, counts, moved)
        self._before |= {(tally, checkpoint.stream): before for checkpoint, before in moved.items()}
