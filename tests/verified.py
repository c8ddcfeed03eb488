"""A world to verify: an event table, the read models of the tiny aggregate, and what is found wrong with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eventfold import Commit
from eventfold.core.store import end_of
from eventfold.dynamodb.keys import DynamoDBKeyListing
from eventfold.dynamodb.rows import DynamoDBRowStore
from eventfold.dynamodb.scanning import ScannableDynamoDBEventStore
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.memory import MemoryParkedStore
from eventfold.operations.verify.counters import CounterCheck, Recount, check_counters
from eventfold.operations.verify.finding import Finding
from eventfold.operations.verify.segment import SegmentVerification, Verified
from eventfold.read_models.projections import RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget
from tests.domain import COUNTER, TOTALS, Added, Closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from mypy_boto3_dynamodb import DynamoDBClient


AT = datetime(2026, 1, 1, tzinfo=UTC)
ADDED: Tally[Added | Closed] = Tally("added", "counter", COUNTER.codec, lambda one: [("all", "events", 1)])
DECIDERS = {COUNTER.category: COUNTER}
SEGMENTS = 2
NOT_COUNTED = Finding("", None, "can't be recounted: of 1 streams it has seen, events can't be replayed", "added")


@dataclass
class World:
    """An event table, its rows and its counters, and what a verification of them finds."""

    client: DynamoDBClient
    events: str
    read_models: str
    sleep: Callable[[float], None] = lambda _: None
    verified: Verified = field(default_factory=Verified)
    unjudged: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = ScannableDynamoDBEventStore(self.client, self.events)
        self.rows = RowTarget(TOTALS, DynamoDBRowStore(self.client, self.read_models))
        self.tally = TallyTarget(ADDED, DynamoDBTallyStore(self.client, self.read_models))
        self.keys = DynamoDBKeyListing(self.client, self.read_models, [ADDED.name])
        self.runner = ProjectionRunner(self.store, MemoryParkedStore(), writers=1)

    def append(self, id_: str, *amounts: int, fed: bool = True) -> Commit:
        """Append one commit; let the projections see it unless told."""
        head = end_of(self.store, f"counter-{id_}")
        stored = tuple(COUNTER.codec.encode(Added(amount=amount)) for amount in amounts)
        commit = Commit(head.stream, head.version + 1, stored, f"{id_}/{head.version}", AT, digest="d")
        self.store.append(commit, after=head)
        if fed:
            self.runner.run(self.rows, [commit])
            self.runner.run(self.tally, [commit])
        return commit

    def overwrite(self, item: Any) -> None:
        self.client.put_item(TableName=self.events, Item=item)

    def change_row(self, stream: str, **changes: Any) -> None:
        key = {"key": {"S": f"totals#{stream}"}}
        item = self.client.get_item(TableName=self.read_models, Key=key)["Item"]
        self.client.put_item(TableName=self.read_models, Item={**item, **changes})

    def segment(self, segment: int, recount: Recount) -> list[Finding]:
        targets = (self.rows, self.tally)
        run = SegmentVerification(self.store, DECIDERS, targets, segment, SEGMENTS, tries=3, sleep=self.sleep)
        found = list(run.findings())
        for check in run.checks:
            for page in self.keys.keys(segment, SEGMENTS):
                found += check.orphans(page, self.store)
        recount.merge(run.checks[1].recount)
        self.verified += run.verified
        return found

    def totals(self) -> int:
        return self.tally.totals(["all"])["all"]["events"]

    def findings(self) -> set[Finding]:
        """Verify everything, as its callers do."""
        self.verified = Verified()
        recount = Recount()
        found = [one for segment in range(SEGMENTS) for one in self.segment(segment, recount)]
        check = CounterCheck(self.tally, self.store, recount, ["all"])
        check_counters([check], lambda: self.keys.keys(0, 1, consistent=True))
        found += check.findings
        self.unjudged = check.unjudged
        assert len(found) == len(set(found))
        return set(found)
