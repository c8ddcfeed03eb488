"""The model of scale: cases that can be reckoned by hand, and the page that is made of it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta

import pytest

from app.users.stats import _place
from benchmarks.load.figures import Measured
from benchmarks.scale import facts, queries
from benchmarks.scale.__main__ import MEASURED, PAGE
from benchmarks.scale.model import Model, Settings, Workload, hours_to_grow
from benchmarks.scale.page import ALARMS, METRICS, RATES, keeps_up, markdown, million
from eventfold.dynamodb.transactions import _BACKOFF
from tests.support import ROOT
from tests.template.declared import TEMPLATE, of_type, properties

SOURCES = [file.read_text() for folder in ("layers/app", "functions") for file in (ROOT / folder).rglob("*.py")]
MODEL = Model(Measured.model_validate_json(MEASURED.read_text()))


def limits(workload: Workload, settings: Settings) -> dict[str, float]:
    return {limit.name: limit.rate for limit in MODEL.limits(workload, settings)}


def test_times_follow_from_what_was_measured() -> None:
    cpu, settings = MODEL.measured.cpu, Settings(memory_mb=1769)
    assert MODEL.command_seconds(settings) == pytest.approx(cpu.update_ms / 1000 + 0.010)
    # One commit: its CPU is shorter than its row (5 ms) and its transaction (10 ms); 100 by 8 writers: 13 turns.
    fixed = cpu.projection.fixed_ms
    assert MODEL.batch_seconds(1, settings) == pytest.approx(fixed / 1000 + 0.010 + 0.015)
    most = max(cpu.projection.per_commit_ms / 1000 * 100, 13 * 0.015)
    assert MODEL.batch_seconds(100, settings) == pytest.approx(fixed / 1000 + 0.010 + most)
    half = Settings(memory_mb=1769 // 2)
    assert MODEL.command_seconds(half) - 0.010 == pytest.approx(2 * cpu.update_ms / 1000, rel=0.01)


def test_each_limit_is_its_capacity_by_what_a_command_needs_of_it() -> None:
    found = limits(Workload(1, kb=2), Settings())
    assert (found["event table, warm"], found["event table, quota"]) == (2_000, 20_000)
    # A row, and for one in five a transaction's two units for checkpoint, total and month.
    assert found["read models, warm"] == pytest.approx(4_000 / (1 + 0.2 * 2 * 3))
    assert found["read models, quota"] == pytest.approx(40_000 / 2.2)
    # An entry written, and two in five moved.
    assert found["index by_sort"] == pytest.approx(1_000 / 1.4)
    # Four items, one commit a batch. 8 tries refused in a row 1 % of the time: 56 % of all are refused, so that share of 100 a second is served.
    assert found["counters"] == pytest.approx(4 * 56.234 / 0.2, rel=1e-4)
    # Four shards with four lanes, each 100 commits a batch.
    assert found["stream mapping"] == pytest.approx(16 * 100 / MODEL.batch_seconds(100, Settings()))
    running = (1_000 - 16) / MODEL.command_seconds(Settings())
    assert found["Lambda's concurrency"] == pytest.approx(running)


@pytest.mark.parametrize("rate", RATES)
def test_settings_made_for_a_rate_hold_it(rate: float) -> None:
    workload = Workload(rate)
    assert MODEL.accepted(workload, MODEL.sized_for(workload)) == rate
    assert MODEL.accepted(workload, Settings()) == 500


def test_each_setting_moves_the_point_that_breaks_first() -> None:
    rungs = list(MODEL.ladder(Workload(1e6)))
    assert rungs[0].limit.name == "ThrottlingRate"
    names = [(one.limit.name, one.limit.setting) for one in rungs[1:3]]
    assert names == [("index by_sort", "list_shards"), ("read models, warm", "read_models_warm")]
    assert [one.limit.rate for one in rungs[1:3]] == pytest.approx([1_000 / 1.4, 4_000 / 2.2])
    rates = [one.limit.rate for one in rungs]
    assert rates == sorted(rates)
    assert rates[-1] > 1e6
    assert len({one.limit.setting for one in rungs[:-1]}) == len(rungs) - 1


def test_a_batch_is_what_comes_between_two_polls_or_while_the_last_one_runs() -> None:
    settings = replace(Settings(), events_warm=1_000, parallelization=1)
    assert MODEL.batch(2, settings) == 1
    assert MODEL.batch(40, settings) == pytest.approx(10)
    assert MODEL.batch(10_000, settings) == 100
    waits, most = MODEL.lag(2, settings)
    assert (waits, most) == pytest.approx((0.125 + MODEL.batch_seconds(1, settings), waits + 0.125))


def test_the_mapping_s_defaults_keep_up_with_a_full_shard_and_one_batch_at_a_time_does_not() -> None:
    assert keeps_up(MODEL, Settings())[1]
    assert not keeps_up(MODEL, Settings(parallelization=1))[1]
    assert not keeps_up(MODEL, Settings(batch_size=10))[1]


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 1.3])
@pytest.mark.parametrize("streams", [1, 10, 30_000])
def test_zipf_s_shares_add_up(streams: int, skew: float) -> None:
    workload = Workload(1, streams=streams, skew=skew)
    assert sum(workload.share(rank) for rank in range(1, streams + 1)) == pytest.approx(1, rel=1e-6)
    if streams > 1:
        assert workload.share(1) / workload.share(2) == pytest.approx(2**skew)


def test_the_bill_follows_from_the_prices() -> None:
    workload, settings = Workload(10), Settings()
    bill = MODEL.dollars_a_day(workload, settings)
    assert bill["API Gateway"] == pytest.approx(0.864), "0.864 million requests"
    assert bill["events"] == pytest.approx(0.864 * (0.625 + 0.5 * 0.125))
    assert bill["read models"] == pytest.approx(0.864 * ((2.2 + 1.4) * 0.625 + (0.6 + 0.1 * (1 + 2)) * 0.125))
    gigabyte_seconds = 0.864e6 * MODEL.command_seconds(settings)
    assert bill["Lambda, commands"] == pytest.approx(0.864 * 0.2 + gigabyte_seconds * 0.0000133334)


def test_commits_of_one_batch_share_transactions() -> None:
    workload = Workload(1, counted=0.2)
    assert MODEL.transactions(workload, 1, shards=1) == pytest.approx(0.2)
    assert MODEL.transactions(workload, 2, shards=1) == pytest.approx((1 - 0.8**2) / 2), "unless neither counts"
    assert MODEL.transactions(workload, 2, shards=4) == pytest.approx((1 - 0.95**2) * 4 / 2), "each shard by itself"
    assert MODEL.transactions(workload, 1_000, shards=1) == pytest.approx(200 / 25 / 1_000)
    assert MODEL.read_model_units(workload, 1) == pytest.approx(1 + 2 * 3 * 0.2)
    assert MODEL.read_model_units(workload, 1_000) == pytest.approx(1 + 2 * (200 + 2 * 8) / 1_000)


def test_a_line_of_the_access_log_is_as_long_as_reckoned() -> None:
    values = {
        "requestId": "JKJaXmPLvHcESHA=",
        "routeKey": "DELETE /{proxy+}",
        "status": "204",
        "responseLatency": "21",
        "identity.sourceIp": "203.0.113.123",
        "error.responseType": "-",
    }
    line: str = properties("HttpApi")["AccessLogSettings"]["Format"]
    for name, value in values.items():
        line = line.replace(f"$context.{name}", value)
    assert "$" not in line
    assert abs(len(line) - facts.ACCESS_LOG_BYTES) <= 10


def test_what_the_page_counts_is_what_the_template_has() -> None:
    assert len(of_type("AWS::CloudWatch::Alarm")) == ALARMS
    printed = {metric for source in SOURCES for metric in re.findall(r'_(?:metric|count)\("(\w+)"', source)}
    shown = re.findall(
        r'"(ThrottledRequests|CommitsAppended|ColdStart)"', properties("Dashboard")["DashboardBody"]["Fn::Sub"][0]
    )
    assert len(printed | set(shown)) == METRICS


def test_a_million_commands_cost_no_more_than_promised() -> None:
    """All that the stack is billed by use: at a thousand commands a second, and at one."""
    for rate, most in ((1_000, 4.50), (1, 5.50)):
        assert sum(million(MODEL, Workload(rate)).values()) <= most


def test_unique_emails_cost_what_the_requests_that_change_one_cost() -> None:
    """tests/integration/test_transaction_costs.py: 4 units to create or delete, 6 to change; 1 without the key."""
    events, claims = MODEL.unique_key_units(Workload(1, counted=0.2))
    assert events + claims == pytest.approx(0.2 * (4 - 1) + 0.4 * (6 - 1))


def test_what_queries_ask_for_follows_from_what_they_read() -> None:
    assert queries.by_id() == queries.Asked(1, 2)
    assert queries.listed(21, 195) == queries.Asked(1, 0.5)  # 4,095 bytes
    assert queries.listed(101, 250) == queries.Asked(1, 3.5)
    assert queries.listed_by_hash(21, 250, 4) == queries.Asked(4, 4)
    assert queries.stats(2, 8) == queries.Asked(1, 2 + 3 * 8)
    assert queries.stats(13, 7) == queries.Asked(1, 100)
    assert queries.stats(13, 8) == queries.Asked(2, 114)
    assert queries.stats(13, 64).waits(0.005) == pytest.approx(0.010)  # 9 requests, 8 of them at a time.
    assert queries.stats(2, 8).dollars_a_million == pytest.approx(3.25)


def test_spans_lie_in_as_many_months_as_reckoned() -> None:
    last = date(2026, 7, 15)
    for span, months in queries.SPANS.items():
        days = int(span.split()[0])
        assert len({_place(last - timedelta(n))[0] for n in range(days)}) == months
    assert len({_place(date(2026, 3, 1) - timedelta(n))[0] for n in range(30)}) == 3


def test_functions_grow_by_1_000_in_10_seconds_and_tables_double_in_30_minutes() -> None:
    workload = Workload(1e6)
    took = MODEL.command_seconds(Settings())
    expected = sum(1_000 * n / took for n in range(1, 7)) / 6 / 1e6
    assert MODEL.first_minute(workload, Settings()) == pytest.approx(expected)
    assert (hours_to_grow(4_000), hours_to_grow(8_000), hours_to_grow(32_000)) == (0, 0.5, 1.5)


def test_the_defaults_are_those_of_the_template_and_of_the_code() -> None:
    parameters = {name: found["Default"] for name, found in TEMPLATE["Parameters"].items()}
    mapping = properties("ProjectionsMapping")
    assert Settings() == Settings(
        throttling_rate=parameters["ThrottlingRate"],
        parallelization=parameters["BatchesPerShard"],
        batch_size=mapping["BatchSize"],
        projection_writers=parameters["ProjectionWriters"],
        list_shards=1,  # Nothing is laid out in a new stack.
        tally_shards=parameters["TallyShards"],
        memory_mb=TEMPLATE["Globals"]["Function"]["MemorySize"],
        events_warm=parameters["EventsWarmWrites"],
        read_models_warm=parameters["ReadModelsWarmWrites"],
    )
    assert len(properties("EventsTable")["KeySchema"]) == 2, "the model's units are those of this layout"
    assert _BACKOFF.attempts == 8, "the model's counters try as often"


def test_the_page_is_what_the_model_says() -> None:
    assert PAGE.read_text() == markdown(MODEL), "run make scale"
