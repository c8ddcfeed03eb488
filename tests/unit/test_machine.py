"""A store and a projection runner, driven at random: whatever happens, versions stay in line and rows end right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from eventfold import Commit, Head, Recorded, load
from eventfold.aggregates.snapshots import take_snapshot
from eventfold.core.errors import VersionConflictError, VersionOutOfLineError
from eventfold.core.store import end_of
from eventfold.memory import MemoryEventStore, MemoryParkedStore
from eventfold.read_models.projections import Projection, Row, RowTarget
from eventfold.read_models.projector import ProjectionRunner
from eventfold.read_models.tallies import Tally, TallyTarget
from eventfold.read_models.target import AnyTarget
from eventfold.testing.checker import Ledger, check_rows, check_snapshots, check_streams, check_tally
from tests.domain import COUNTER, Added, Closed, Total, project
from tests.stale import StaleRowStore, StaleTallyStore

AT = datetime(2026, 1, 1, tzinfo=UTC)
STREAMS = ["counter-1", "counter-2", "counter-3"]
POISON = 13

streams = st.sampled_from(STREAMS)
amounts = st.lists(st.sampled_from([1, 2, POISON, 0]), min_size=1, max_size=3)
"""The amounts of a commit's events; 0 stands for a `Closed`, which leaves a tombstone."""


class Machine(RuleBasedStateMachine):
    """The real store and runner, beside a list of what was accepted."""

    @initialize()
    def start(self) -> None:
        self.inner = MemoryEventStore()
        self.ledger = Ledger()
        self.store = self.ledger.watch(self.inner)
        self.rows, self.tallies, self.parked = StaleRowStore(), StaleTallyStore(), MemoryParkedStore()
        self.poisonous = True
        self.projection = Projection("totals", "counter", COUNTER.codec, Total, self.project)
        self.tally = Tally("adds", "counter", COUNTER.codec, self.count)
        self.targets: tuple[AnyTarget, ...] = (
            RowTarget(self.projection, self.rows),
            TallyTarget(self.tally, self.tallies),
        )
        self.runner = ProjectionRunner(self.store, self.parked)
        self.model: dict[str, list[Commit]] = {stream: [] for stream in STREAMS}
        self.heads: list[Head] = [Head(stream, 0) for stream in STREAMS]
        self.undelivered: list[Commit] = []
        self.delivered: list[Commit] = []
        self.dropped: set[str] = set()
        self.number = 0

    def project(self, row: Total | None, recorded: Recorded[Added | Closed]) -> Total | None:
        if self.poisonous and isinstance(recorded.event, Added) and recorded.event.amount == POISON:
            raise ZeroDivisionError
        return project(row, recorded)

    def count(self, recorded: Recorded[Added | Closed]) -> list[tuple[str, str, int]]:
        if self.poisonous and isinstance(recorded.event, Added) and recorded.event.amount == POISON:
            raise ZeroDivisionError
        return [("total", type(recorded.event).__name__, 1)]

    def commit(self, stream: str, version: int, amounts: list[int]) -> Commit:
        self.number += 1
        events = [COUNTER.codec.encode(Added(amount=amount) if amount else Closed()) for amount in amounts]
        return Commit(stream, version, tuple(events), f"commit-{self.number}", AT + timedelta(seconds=self.number))

    def accept(self, commit: Commit) -> None:
        self.model[commit.stream].append(commit)
        self.heads.append(commit.head)
        self.undelivered.append(commit)

    def end(self, stream: str) -> int:
        return self.model[stream][-1].last_version if self.model[stream] else 0

    @rule(stream=streams, amounts=amounts)
    def append(self, stream: str, amounts: list[int]) -> None:
        head = end_of(self.store, stream)
        assert head == Head(stream, self.end(stream))
        commit = self.commit(stream, head.version + 1, amounts)
        self.store.append(commit, after=head)
        self.accept(commit)

    @rule(data=st.data(), amounts=amounts)
    def append_behind_a_head_of_long_ago(self, data: st.DataObject, amounts: list[int]) -> None:
        head = data.draw(st.sampled_from(self.heads))
        commit = self.commit(head.stream, head.version + 1, amounts)
        if head.version == self.end(head.stream):
            self.store.append(commit, after=head)
            self.accept(commit)
        else:
            with pytest.raises(VersionConflictError) as conflict:
                self.store.append(commit, after=head)
            assert conflict.value.winner in self.model[head.stream]

    @rule(stream=streams, version=st.integers(1, 12), amounts=amounts)
    def append_blind(self, stream: str, version: int, amounts: list[int]) -> None:
        commit, end = self.commit(stream, version, amounts), self.end(stream)
        if version == end + 1:
            self.store.append(commit, after=None)
            self.accept(commit)
        else:
            with pytest.raises(VersionConflictError if version <= end else VersionOutOfLineError):
                self.store.append(commit, after=None)

    @precondition(lambda self: any(self.model.values()))
    @rule(data=st.data(), blind=st.booleans())
    def append_the_same_again(self, data: st.DataObject, blind: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        commit = data.draw(st.sampled_from([commit for commits in self.model.values() for commit in commits]))
        self.store.append(commit, after=None if blind else Head(commit.stream, commit.version - 1))

    @rule(stream=streams, due=st.integers(1, 20))
    def snapshot(self, stream: str, due: int) -> None:
        taken = take_snapshot(self.store, COUNTER, stream, due)
        assert taken is None or taken.version == self.end(stream)

    @precondition(lambda self: self.undelivered)
    @rule(data=st.data(), size=st.integers(1, 6))
    def project_a_batch_in_any_order(self, data: st.DataObject, size: int) -> None:
        batch = data.draw(st.permutations(self.undelivered))[:size]
        for commit in batch:
            self.undelivered.remove(commit)
        self.delivered += batch
        self.deliver(batch)

    @precondition(lambda self: self.delivered)
    @rule(data=st.data(), size=st.integers(1, 6))
    def project_duplicates(self, data: st.DataObject, size: int) -> None:
        self.deliver(data.draw(st.permutations(self.delivered))[:size] * 2)

    @precondition(lambda self: self.undelivered)
    @rule(data=st.data())
    def drop_a_record(self, data: st.DataObject) -> None:
        commit = data.draw(st.sampled_from(self.undelivered))
        self.undelivered.remove(commit)
        self.dropped.add(commit.id)

    @rule()
    def redrive(self) -> None:
        for target in self.targets:
            self.runner.redrive(target, [one.stream for one in self.parked.listed(target.name)])

    @rule(poisonous=st.booleans())
    def fix_or_break_the_projection(self, poisonous: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        self.poisonous = poisonous

    def deliver(self, batch: list[Commit]) -> None:
        for target in self.targets:
            result = self.runner.run(target, batch)
            streams = {commit.stream for commit in batch}
            assert result.parked.keys() <= streams
            if not self.poisonous:
                assert not result.parked

    @invariant()
    def versions_are_in_line_and_nothing_is_lost(self) -> None:
        for stream, commits in self.model.items():
            assert list(self.store.oldest_first(stream)) == commits
        assert check_streams(self.ledger.attempts, self.items()) == []

    @invariant()
    def state_is_the_fold_with_a_snapshot_and_without(self) -> None:
        for stream, commits in self.model.items():
            events = [one.event for commit in commits for one in COUNTER.codec.recorded(commit)]
            loaded = load(self.store, COUNTER, stream)
            assert (loaded.version, loaded.state) == (self.end(stream), COUNTER.fold(COUNTER.initial, events))
        snapshots = [item for stream in STREAMS for item in self.store.newest_first(stream)]
        assert check_snapshots(COUNTER, snapshots) == []

    @invariant()
    def each_row_is_the_fold_up_to_its_version(self) -> None:
        poisonous, self.poisonous = self.poisonous, False
        for stream, row in self.rows.get("totals", STREAMS).items():
            seen = [commit for commit in self.model[stream] if commit.last_version <= row.version]
            assert seen
            assert check_rows(self.projection, seen, {stream: row}) == []
        marks = self.tallies.checkpoints("adds", STREAMS)
        seen = [
            commit
            for stream, mark in marks.items()
            for commit in self.model[stream]
            if commit.last_version <= mark.version
        ]
        assert check_tally(self.tally, seen, self.tallies.totals("adds", ["total"])) == []
        self.poisonous = poisonous

    @invariant()
    def who_is_behind_is_parked_or_has_a_record_to_come(self) -> None:
        for target in self.targets:
            marks = target.read(STREAMS)
            parked = {one.stream for one in self.parked.listed(target.name)}
            for stream, commits in self.model.items():
                seen = marks[stream].version if stream in marks else 0
                behind = [commit for commit in commits if commit.last_version > seen]
                to_come = [commit for commit in behind if commit in self.undelivered or commit.id in self.dropped]
                assert not behind or stream in parked or to_come

    def items(self) -> list[Commit]:
        return [commit for commits in self.model.values() for commit in commits]

    def teardown(self) -> None:
        """Fix the projection, deliver what is left, redrive: nothing differs in the end."""
        if not hasattr(self, "model"):
            return
        self.poisonous = False
        self.deliver(self.undelivered)
        self.redrive()
        for target in self.targets:
            self.runner.redrive(target, STREAMS)  # whose last record was dropped, nobody knows of
        rows: dict[str, Row] = self.rows.get("totals", STREAMS)
        assert check_rows(self.projection, self.items(), rows) == []
        assert check_tally(self.tally, self.items(), self.tallies.totals("adds", ["total"])) == []
        assert list(self.parked.listed()) == []


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestMachine = Machine.TestCase
