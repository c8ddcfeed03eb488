"""eventfold: event sourcing on DynamoDB. No HTTP, no Lambda.

Here is what a command needs: events, deciders, commands, snapshots. Read models are in `eventfold.projections`,
`tallies` and `runner`, the stores in `eventfold.dynamodb` and `memory`: who does not use them does not wait for them
when a process starts.
"""

from eventfold.commit import Commit, CommitRef, Head, Snapshot, stream_name
from eventfold.decider import Command, Decider
from eventfold.events import Codec, Event, Recorded
from eventfold.handling import Backoff, CommandHandler, Outcome, Request
from eventfold.loading import Loaded, load, load_at, load_version
from eventfold.snapshots import take_snapshot
from eventfold.store import EventStore
from eventfold.stored import StoredEvent
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
    "Outcome",
    "Recorded",
    "Request",
    "Snapshot",
    "StoredEvent",
    "Upcaster",
    "load",
    "load_at",
    "load_version",
    "renamed",
    "retired",
    "split",
    "stream_name",
    "take_snapshot",
    "upcaster",
]
