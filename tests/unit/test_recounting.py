"""Counters against their recount, while they move."""

from __future__ import annotations

from typing import Any

import pytest

from eventfold import Commit
from eventfold.dynamodb.tallies import DynamoDBTallyStore
from eventfold.operations.verify.counters import Reading, Recount
from eventfold.read_models.tallies import Tally, TallyTarget
from tests.domain import COUNTER, Closed
from tests.verified import AT


@pytest.mark.parametrize(
    ("before", "counted", "after", "shrinking", "found"),
    [
        (5, 5, 5, set(), 0),
        (5, 6, 7, set(), 0),
        (5, 4, 7, set(), 1),
        (5, 8, 7, set(), 1),
        (5, 8, 7, {("row", "n")}, 0),
        (5, 8, 5, {("row", "n")}, 1),
        (5, 0, 5, set(), 1),
    ],
)
def test_a_counter_lies_between_its_readings(
    before: int, counted: int, after: int, shrinking: set[tuple[str, str]], found: int
) -> None:
    one, two, three = ({"row": {"n": amount}} if amount else {} for amount in (before, counted, after))
    assert len(list(Recount(two, shrinking).differing(Reading(dict(one)), Reading(dict(three)), "t"))) == found


def test_a_tally_says_which_counters_shrink() -> None:
    tally: Tally[Any] = Tally("t", "counter", COUNTER.codec, lambda _: [("all", "open", -1), ("all", "ever", 1)])
    commit = Commit("counter-1", 1, (COUNTER.codec.encode(Closed()),), "c", AT)
    target = TallyTarget(tally, DynamoDBTallyStore(None, ""))  # type: ignore[arg-type] # not asked
    assert target.shrinking(COUNTER.codec.recorded(commit)) == {("all", "open")}
