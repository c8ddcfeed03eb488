"""eventfold: event sourcing on DynamoDB. No HTTP, no Lambda.

Here is what a command needs: events, deciders, commands, snapshots. The rooms `read_models`, `operations`, `dynamodb`
and `memory` are imported by whoever uses them, so that a function starts without the parts it has no use for.
"""

from eventfold.aggregates.handling import CommandHandler, Outcome, Request
from eventfold.aggregates.loading import Loaded, load, load_at, load_version
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.core.backoff import Backoff
from eventfold.core.commit import Commit, CommitRef, Head, Snapshot, stream_name
from eventfold.core.decider import Command, Decider
from eventfold.core.errors import RefusedError
from eventfold.core.events import Codec, Event, Recorded
from eventfold.core.store import EventStore
from eventfold.core.stored import StoredEvent
from eventfold.core.unique import Keys, Unique, caseless
from eventfold.core.upcasting import Data, Upcaster, renamed, retired, split, upcaster

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
    "Keys",
    "Loaded",
    "Outcome",
    "Recorded",
    "RefusedError",
    "Request",
    "Snapshot",
    "StoredEvent",
    "Unique",
    "Upcaster",
    "caseless",
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
