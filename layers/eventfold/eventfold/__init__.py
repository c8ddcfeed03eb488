"""eventfold: event sourcing on DynamoDB. Events, deciders, snapshots and projections; no HTTP, no Lambda."""

from eventfold.commit import Commit, CommitRef, Head, Snapshot, stream_name
from eventfold.decider import Command, Decider
from eventfold.events import Codec, Event, Recorded
from eventfold.handling import Backoff, CommandHandler, Outcome, Request
from eventfold.history import read_events
from eventfold.loading import Loaded, load, load_at, load_version
from eventfold.memory import MemoryEventStore
from eventfold.parking import Parked, ParkedStore
from eventfold.projections import Projection, Row, RowStore, RowTarget
from eventfold.runner import ProjectionRunner, Target
from eventfold.snapshots import take_snapshot
from eventfold.store import EventStore
from eventfold.stored import StoredEvent
from eventfold.tallies import Tally, TallyStore, TallyTarget
from eventfold.upcasting import Data, Upcaster, renamed, retired, split, upcaster

__all__ = [
    "Backoff",
    "Codec",
    "Command",
    "CommandHandler",
    "Commit",
    "CommitRef",
    "Data",
    "Decider",
    "Event",
    "EventStore",
    "Head",
    "Loaded",
    "MemoryEventStore",
    "Outcome",
    "Parked",
    "ParkedStore",
    "Projection",
    "ProjectionRunner",
    "Recorded",
    "Request",
    "Row",
    "RowStore",
    "RowTarget",
    "Snapshot",
    "StoredEvent",
    "Tally",
    "TallyStore",
    "TallyTarget",
    "Target",
    "Upcaster",
    "load",
    "load_at",
    "load_version",
    "read_events",
    "renamed",
    "retired",
    "split",
    "stream_name",
    "take_snapshot",
    "upcaster",
]
