"""The rows of the tables: each peer, and each of its settings that changes what a row means."""

from __future__ import annotations

from dataclasses import dataclass, replace

from local.toolchain import ROOT

TOOLS = ROOT / ".tools" / "bench"
CASTORE = ROOT / "benchmarks" / "castore"


@dataclass(frozen=True)
class Kind:
    """A peer under one setting.

    `made_by` is its module and class in `peers`, `environment` where its libraries are: a folder in .tools/bench,
    `node`, or none for the project's own. `only` are the workloads in which its setting makes a difference; empty: all.
    `before` is how many of the same commands come before the one whose cost is counted: what a process has learnt by
    then it knows. `beside` is the row that its ratios are to, if not plain boto3's. A `nested` one stores events of ten
    fields; over `tls` it talks as to AWS.
    """

    name: str
    made_by: str
    environment: str = ""
    note: str = ""
    only: str = ""
    before: int = 0
    beside: str = ""
    nested: bool = False
    tls: bool = False

    def does(self, key: str) -> bool:
        """Whether it takes part in a workload."""
        return not self.only or key in self.only.split()


PLAIN = Kind("plain boto3", "plain:Plain", note="by hand: an item a commit, default settings")
TRANSACTION = Kind("plain boto3, item an event", "plain:Transaction", note="five events in a transaction", only="C")
PLAIN_EVENTUAL = Kind("plain boto3, eventual", "plain:Eventual", note="reads at half price", only="B D E")
WELL = Kind("plain boto3, well written", "plain:WellWritten", note="by who has measured: see plain.py")
OURS = Kind("eventfold", "ours:Ours", note="a command's first read is eventual, proven by its write")
EVENTUAL = Kind("eventfold, eventual", "ours:OursEventual", note="loads at half price", only="D E")
WARM = Kind("eventfold, warm", "ours:OursWarm", note="the process knows the aggregate", only="B F W", before=1)
DEFAULT = Kind(
    "eventfold, no snapshots",
    "ours:OursDefault",
    note="at the usual interval, and nobody takes them",
    only="B",
    before=5,
)
LONG = Kind("eventfold, long streams", "ours_long:OursLong", only="H L")
LIST = Kind("eventfold, long lists", "ours_long:OursList", only="L")
REBUILDS = (
    Kind("eventfold, small rebuild", "ours_long:OursSmallRebuild", only="R"),
    Kind("eventfold, rebuild", "ours_long:OursRebuild", only="R"),
)
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
    before=1,
)
CASTORE_KIND = Kind("castore", "", "node", "TypeScript on Node.js: its events are typed at compile time, not checked")


def _variant(kind: Kind, suffix: str, only: str, *, nested: bool = False, tls: bool = False) -> Kind:
    name = f"{kind.name}, {suffix}"
    return replace(kind, name=name, note="", only=only, beside=f"{PLAIN.name}, {suffix}", nested=nested, tls=tls)


NESTED = tuple(
    _variant(kind, "nested", only, nested=True)
    for kind, only in ((PLAIN, "A B D"), (WELL, "A B D"), (OURS, "A B D"), (WARM, "B"))
)
TLS = tuple(_variant(kind, "TLS", "A B", tls=True) for kind in (PLAIN, WELL, OURS))
OURS_AND_PLAIN = (
    *(PLAIN, TRANSACTION, PLAIN_EVENTUAL, WELL, OURS, EVENTUAL, WARM, DEFAULT, LONG, LIST, *REBUILDS),
    *NESTED,
    *TLS,
)
KINDS = (*OURS_AND_PLAIN, PYNAMODB, AETT, EVENTSOURCING, EVENTSOURCING_CACHED, CASTORE_KIND)
