"""Checking one stream: versions, events, snapshots. In one pass, however long it is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from eventfold.core.commit import REMEMBERED_COMMITS, Commit, category_of
from eventfold.core.errors import UnreadableStreamError
from eventfold.operations.scanning import Unreadable, whole
from eventfold.operations.verify.finding import Finding
from eventfold.read_models.projector import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from eventfold.core.commit import CommitRef, Snapshot
    from eventfold.core.decider import Decider
    from eventfold.core.events import Recorded
    from eventfold.operations.scanning import Scanned

EVENTS = "events"
SNAPSHOT = "snapshot"

MAX_FINDINGS = 20
"""Of one stream: a long one that can't be decoded is one fault, not a million."""


class StreamCheck:
    """Takes a stream's items in order, and notes what is wrong with them.

    Versions are contiguous from 1, every event decodes, every item is readable, and every snapshot of the state's
    present schema is what a replay up to it gives. One of another schema is counted: it is ignored until retaken.

    `see` is handed the events of each commit that follows the one before, for whoever folds them further. It stops
    at the first event that can't be replayed; from there on nothing can be said of snapshots or read models.
    """

    def __init__(
        self,
        stream: str,
        deciders: Mapping[str, Decider[Any, Any, Any]],
        see: Callable[[Sequence[Recorded[Any]]], None] = lambda _: None,
    ) -> None:
        self.stream = stream
        self.version = 0
        self.first: int | None = None
        """Where its first commit starts; None while it has none."""
        self.commits = 0
        self.events = 0
        self.snapshots = 0
        self.other_schemas = 0
        self.broken = False
        """Whether its events could not be replayed to the end."""
        self.findings: list[Finding] = []
        self._decider = deciders.get(category_of(stream))
        self._state: Any = self._decider.initial if self._decider else None
        self._refs: deque[CommitRef] = deque(maxlen=REMEMBERED_COMMITS)
        self._see = see
        self._end_known = True  # Not behind a commit that can't be read: nobody knows how many events it has.
        if self._decider is None:
            self._break(None, "the code has no aggregate of this category")

    def take_all(self, items: Iterable[Scanned]) -> StreamCheck:
        """Take the whole stream."""
        for item in items:
            self.take(item)
        return self

    def take(self, item: Scanned) -> None:
        """Take the next item."""
        item = whole(item)
        if isinstance(item, Unreadable):
            self._unreadable(item)
        elif isinstance(item, Commit):
            self._commit(item)
        else:
            self._snapshot(item)

    def _unreadable(self, item: Unreadable) -> None:
        if item.snapshot:  # The replay goes on.
            self._note(item.version, item.reason)
            return
        self._break(item.version, item.reason)
        self._end_known = False

    def _commit(self, commit: Commit) -> None:
        self.first = self.first or commit.version
        self.commits += 1
        self.events += len(commit.events)
        if not commit.events:
            self._break(commit.version, "the commit has no events")
        elif commit.version > self.version + 1 and self._end_known:
            self._break(self.version + 1, f"missing, up to version {commit.version - 1}")
        elif commit.version <= self.version:
            self._break(commit.version, f"the commit overlaps the one before, which ends at version {self.version}")
        self.version = max(self.version, commit.last_version)
        self._end_known = True
        try:
            self._replay(commit)
        except UnreadableStreamError as error:
            self._break(error.version, error.reason)
        except Exception as failure:  # noqa: BLE001 - an aggregate is the user's code: it may raise anything
            self._break(commit.version, reason_of(failure))

    def _replay(self, commit: Commit) -> None:
        if self._decider is None:
            return
        recorded = self._decider.codec.recorded(commit)  # Decoded, even where the replay has ended.
        if self.broken:
            return
        if commit.digest:
            self._refs.append(commit.ref)
        evolve = self._decider.evolve
        for one in recorded:
            self._state = self._state if one.retired else evolve(self._state, one.event)
        self._see(recorded)

    def _snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots += 1
        if self._decider is None:
            return
        if snapshot.schema != self._decider.schema:
            self.other_schemas += 1
        elif self.broken:
            pass  # Its stream is a finding already, and there is no replay to hold it against.
        elif snapshot.version != self.version:
            self._note(snapshot.version, f"lies behind no commit that ends there, but behind version {self.version}")
        elif (wrong := self._wrong_in(snapshot, self._decider)) is not None:
            self._note(snapshot.version, wrong)

    def _wrong_in(self, snapshot: Snapshot, decider: Decider[Any, Any, Any]) -> str | None:
        state = decider.restore(snapshot)
        if state is None:
            return "its state can't be read, though it says that it has the present schema"
        if state != self._state:
            return "its state is not what the replay gives"
        if snapshot.refs != tuple(self._refs):
            return "the commits that it remembers for idempotency are not those before it"
        return None

    def _break(self, version: int | None, what: str) -> None:
        self.broken = True
        self._add(Finding(self.stream, version, what, EVENTS))

    def _note(self, version: int, what: str) -> None:
        self._add(Finding(self.stream, version, what, SNAPSHOT))

    def _add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        elif len(self.findings) == MAX_FINDINGS:
            self.findings.append(Finding(self.stream, None, "more is wrong than is listed", finding.where))
