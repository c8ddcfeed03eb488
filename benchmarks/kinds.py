"""The rows of the tables: each peer, and each of its settings that changes what a row means."""

from __future__ import annotations

from dataclasses import dataclass

from local.toolchain import ROOT

TOOLS = ROOT / ".tools" / "bench"
CASTORE = ROOT / "benchmarks" / "castore"


@dataclass(frozen=True)
class Kind:
    """A peer under one setting.

    `made_by` is its module and class in `peers`, `environment` where its libraries are: a folder in .tools/bench,
    `node`, or none for the project's own. `only` are the workloads in which its setting makes a difference; empty: all.
    `warm` ones remember an aggregate from one command to the next.
    """

    name: str
    made_by: str
    environment: str = ""
    note: str = ""
    only: str = ""
    warm: bool = False

    def does(self, key: str) -> bool:
        """Whether it takes part in a workload."""
        return not self.only or key in self.only.split()


PLAIN = Kind("plain boto3", "plain:Plain", note="by hand: an item a commit, default settings")
TRANSACTION = Kind("plain boto3, item an event", "plain:Transaction", note="five events in a transaction", only="C")
PLAIN_EVENTUAL = Kind("plain boto3, eventual", "plain:Eventual", note="reads at half price", only="B D E")
OURS = Kind("eventfold", "ours:Ours", note="a command's first read is eventual, proven by its write")
EVENTUAL = Kind("eventfold, eventual", "ours:OursEventual", note="loads at half price", only="D E")
WARM = Kind("eventfold, warm", "ours:OursWarm", note="the process knows the aggregate", only="B F W", warm=True)
LONG = Kind("eventfold, long streams", "ours_long:OursLong", only="H L")
REBUILD = Kind("eventfold, rebuild", "ours_long:OursRebuild", only="R")
PYNAMODB = Kind("pynamodb", "pynamodb_made:Pynamodb", "pynamodb", "by hand: an item an event, transactions")
AETT = Kind("aett", "aett_dynamodb:Aett", "aett", "an item a commit, two local indexes")
EVENTSOURCING = Kind(
    "eventsourcing-dynamodb",
    "eventsourcing_dynamodb:Eventsourcing",
    "eventsourcing",
    "writes without a condition; all reads eventual; events of its own, not pydantic's",
)
EVENTSOURCING_CACHED = Kind(
    "eventsourcing-dynamodb, warm",
    "eventsourcing_dynamodb:Cached",
    "eventsourcing",
    "its cache of aggregates, not brought up to date before a command",
    only="B F",
    warm=True,
)
CASTORE_KIND = Kind("castore", "", "node", "TypeScript on Node.js: its events are typed at compile time, not checked")

OURS_AND_PLAIN = (PLAIN, TRANSACTION, PLAIN_EVENTUAL, OURS, EVENTUAL, WARM, LONG, REBUILD)
KINDS = (*OURS_AND_PLAIN, PYNAMODB, AETT, EVENTSOURCING, EVENTSOURCING_CACHED, CASTORE_KIND)
