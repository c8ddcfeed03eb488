"""Checking one stream: versions, events, snapshots. In one pass, however long it is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from eventfold.core.commit import REMEMBERED_COMMITS, Commit, Snapshot, category_of
from eventfold.core.errors import UnreadableStreamError
from eventfold.core.stored import NotJsonError, written_again
from eventfold.operations.scanning import Unreadable, readable
from eventfold.operations.verify.finding import EVENTS, Finding
from eventfold.read_models.parking import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from eventfold.core.commit import CommitRef
    from eventfold.core.decider import Decider
    from eventfold.core.events import Recorded
    from eventfold.operations.scanning import Scanned

SNAPSHOT = "snapshot"

MAX_FINDINGS = 20
"""Of one stream: a long one that can't be decoded is one fault, not a million."""


class StreamCheck:
    """Takes a stream's items in order, and notes what is wrong with them.

    Versions are contiguous from 1, time never runs backwards, every event decodes, every item is readable, and every
    snapshot of the state's present schema is what a replay up to it gives. One of another schema is counted: it is
    ignored until retaken.

    `see` is handed the events of each commit that follows the one before, for whoever folds them further. It stops
    at the first event that can't be replayed; from there on nothing can be said of snapshots or read models. `linked`
    is handed every commit that was written together with others.
    """

    def __init__(
        self,
        stream: str,
        deciders: Mapping[str, Decider[Any, Any, Any]],
        see: Callable[[Sequence[Recorded[Any]]], None] = lambda _: None,
        linked: Callable[[Commit], None] = lambda _: None,
    ) -> None:
        self.stream = stream
        self.version = 0
        self.first: int | None = None
        """Where its first commit starts; None while it has none."""
        self.commits = 0
        self.events = 0
        self.snapshots = 0
        self.other_schemas = 0
        self.due = 0
        """The version that a snapshot was last due at."""
        self.usable = 0
        """The version of the newest snapshot that has the present schema and is right."""
        self.broken = False
        """Whether its events could not be replayed to the end."""
        self.findings: list[Finding] = []
        self._decider = deciders.get(category_of(stream))
        self._state: Any = self._decider.initial if self._decider else None
        self._at: datetime | None = None
        self._refs: deque[CommitRef] = deque(maxlen=REMEMBERED_COMMITS)
        self._see = see
        self._linked = linked
        self._end_known = True  # Not behind a commit that can't be read: nobody knows how many events it has.
        if self._decider is None:
            self._break(None, "the code has no aggregate of this category")

    @property
    def state(self) -> Any:
        """What the replay has come to."""
        return self._state

    def take_all(self, items: Iterable[Scanned]) -> StreamCheck:
        """Take the whole stream."""
        for item in items:
            self.take(item)
        return self

    def take(self, item: Scanned) -> None:
        """Take the next item."""
        match readable(item):
            case Commit() as commit:
                self._commit(commit)
            case Snapshot() | Unreadable(snapshot=True) as between:
                self._snapshot(between)
            case unreadable:
                self._break(unreadable.version, unreadable.reason)
                self._end_known = False

    def snapshot(self) -> Snapshot | None:
        """Return what a snapshot of here has to be; None where there is nothing to keep, or the replay has ended.

        Raises:
            UnstableStateError: its JSON would read back as another state.
        """
        if self._decider is None or self.broken or self._at is None:
            return None
        state, schema = self._decider.dump(self._state), self._decider.schema
        return Snapshot(self.stream, self.version, schema, state, self._at, tuple(self._refs))

    def wrong_in(self, item: Snapshot | Unreadable) -> str | None:
        """Return what is wrong with the next item, a snapshot or what lies in the place of one; None if nothing is."""
        if isinstance(item, Unreadable):
            return item.reason
        if self._decider is None or item.schema != self._decider.schema or self.broken:
            return None  # Where the stream is broken, that is a finding already, and there is nothing to compare with.
        if item.version != self.version:
            return f"lies behind no commit that ends there, but behind version {self.version}"
        state = self._decider.restore(item)
        if state is None:
            return "its state can't be read, though it says that it has the present schema"
        if state != self._state:
            return "its state is not what the replay gives"
        same = item.refs == tuple(self._refs)
        return None if same else "the commits that it remembers for idempotency are not those before it"

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
        if self._at is not None and commit.at < self._at:
            self._add(Finding(self.stream, commit.version, "its time is before that of the commit before it", EVENTS))
        try:
            written_again(commit.events)
        except NotJsonError as error:  # From before such events were refused.
            self._add(Finding(self.stream, commit.version, f"holds {error.reason}: no export can carry it", EVENTS))
        self._at = max(commit.at, self._at or commit.at)
        self.version = max(self.version, commit.last_version)
        self.due = commit.last_version if commit.snapshot_due else self.due
        self._end_known = True
        if commit.siblings:
            self._linked(commit)
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

    def _snapshot(self, item: Snapshot | Unreadable) -> None:
        wrong = self.wrong_in(item)
        if wrong is not None:
            self._add(Finding(self.stream, item.version, wrong, SNAPSHOT))
        if isinstance(item, Snapshot):
            self.snapshots += 1
            if self._decider is not None and item.schema != self._decider.schema:
                self.other_schemas += 1
            elif wrong is None:
                self.usable = item.version

    def _break(self, version: int | None, what: str) -> None:
        self.broken = True
        self._add(Finding(self.stream, version, what, EVENTS))

    def _add(self, finding: Finding) -> None:
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        elif len(self.findings) == MAX_FINDINGS:
            self.findings.append(Finding(self.stream, None, "more is wrong than is listed", finding.where))
