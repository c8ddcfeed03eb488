"""Snapshots: the state kept beside its events, so that a load replays only the later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from eventfold.aggregates.loading import load
from eventfold.core.commit import Snapshot

if TYPE_CHECKING:
    from eventfold.core.decider import Command, Decider
    from eventfold.core.events import Event
    from eventfold.core.store import EventStore


def crosses_boundary(first: int, last: int, interval: int) -> bool:
    """Whether a commit of versions `first` to `last` holds a multiple of `interval`."""
    return last // interval > (first - 1) // interval


def take_snapshot[C: Command, S: BaseModel, E: Event](
    store: EventStore, decider: Decider[C, S, E], stream: str, due: int
) -> Snapshot | None:
    """Snapshot the stream as it is now, unless one at `due` or later is there.

    Idempotent: a repeated or late call finds the newer snapshot and writes nothing. Returns what it wrote.

    Raises:
        ItemTooLargeError: the state is over DynamoDB's 400 KB.
        UnstableStateError: its JSON would read back as another state.
        UnreadableStreamError: the stream can't be replayed.
    """
    loaded = load(store, decider, stream)
    if loaded.version == 0 or loaded.at is None or loaded.snapshot_version >= due:
        return None
    snapshot = Snapshot(
        stream=stream,
        version=loaded.version,
        schema=decider.schema,
        state=decider.dump(loaded.state),
        at=loaded.at,
        refs=loaded.refs,
    )
    return snapshot if store.save_snapshot(snapshot) else None
