"""How much a load asks for first: half an interval, and whole streams where the last few loads had to read them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eventfold.aggregates.loading import Loaded
from eventfold.aggregates.pages import FirstPages, first_page
from tests.domain import Counter


def after(*needs: int, interval: int = 50) -> int:
    """Return the first page after loads that have needed so much behind a snapshot."""
    pages = FirstPages(interval)
    for need in needs:
        pages.learn(Loaded("counter-1", 1_000 + need - 1, Counter(), snapshot_version=1_000))
    return pages.size()


def test_a_process_begins_with_half_an_interval() -> None:
    assert after() == first_page(50) == 31
    assert after(interval=10) == 11


def test_streams_without_snapshots_are_asked_for_as_long_as_they_are() -> None:
    assert after(101, 101, 101) == 31, "not before all of the last four needed it"
    assert after(101, 101, 101, 101) == 101 + 12
    assert after(5_000, 101, 300, 250) == 101 + 12


def test_one_load_that_finds_its_snapshot_brings_the_first_page_back() -> None:
    assert after(101, 101, 101, 101, 12) == 31


@given(st.lists(st.integers(1, 10_000)))
def test_one_stream_that_lost_its_snapshot_makes_no_other_read_more(needs: list[int]) -> None:
    others = [need for pair in zip(needs, [3] * len(needs), strict=True) for need in pair]
    assert after(*others) == 31
