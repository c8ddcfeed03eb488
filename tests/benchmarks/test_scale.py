"""The simulation's laws, cases that can be reckoned by hand, and the one machine that it is checked against."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks.load.figures import Measured
from benchmarks.scale import facts, machine, page
from benchmarks.scale.__main__ import MEASURED, RATES, find
from benchmarks.scale.costs import dollars_a_day
from benchmarks.scale.findings import breaking_point, hot_shard, ladder, minutes_to_grow, sized_for
from benchmarks.scale.model import Costs, Settings, Workload
from benchmarks.scale.report import checks, factor
from benchmarks.scale.shards import LagSamples, Lane
from benchmarks.scale.simulation import Horizon, Limit, projection_limits, simulate
from tests.support import ROOT
from tests.template.declared import TEMPLATE, properties

COSTS = Costs(Measured.model_validate_json(MEASURED.read_text()))
OPEN = Settings(throttling_rate=1e9)
WIDE = replace(sized_for(Workload(1e6), COSTS), events_warm=4_000)
"""Nothing is narrow but the event table."""


# Laws -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [3.0, 700.0, 5_000.0, 200_000.0])
@pytest.mark.parametrize("settings", [Settings(), OPEN, WIDE], ids=["default", "open", "wide"])
@pytest.mark.parametrize("skew", [0.0, 1.0])
@pytest.mark.parametrize("warm", [True, False])
def test_no_command_and_no_commit_goes_missing(rate: float, settings: Settings, skew: float, warm: bool) -> None:  # noqa: FBT001
    run = simulate(Workload(rate, skew=skew), settings, COSTS, Horizon(10, warm=warm))
    assert run.offered == pytest.approx(rate * 10)
    assert run.appended + sum(run.throttled.values()) + run.queued == pytest.approx(run.offered)
    assert run.projected + run.backlog == pytest.approx(run.appended)
    assert run.backlog >= 0
    assert sum(commits for _, commits in run.lags.values) == pytest.approx(run.appended)


@pytest.mark.parametrize("skew", [0.0, 0.8, 1.2])
@pytest.mark.parametrize("kb", [1, 4])
def test_a_partition_never_passes_its_write_units(skew: float, kb: int) -> None:
    run = simulate(Workload(50_000, skew=skew, kb=kb), WIDE, COSTS, Horizon(10))
    assert run.peak_partition_wcu <= facts.PARTITION_WCU * (1 + 1e-9)
    assert run.peak_partition_wcu == pytest.approx(facts.PARTITION_WCU)


@pytest.mark.parametrize(("load", "keeps_up"), [(0.5, True), (0.9, True), (1.1, False), (2.0, False)])
def test_lag_grows_without_bound_only_where_more_arrives_than_is_served(load: float, keeps_up: bool) -> None:  # noqa: FBT001
    settings = replace(WIDE, parallelization=1)
    served = settings.partitions * settings.batch_size / COSTS.batch_seconds(settings.batch_size, settings)
    short, long = (simulate(Workload(load * served, skew=0), settings, COSTS, Horizon(one)) for one in (20, 60))
    assert (short.keeps_up, long.keeps_up) == (keeps_up, keeps_up)
    assert (long.lags.percentile(99) > 2 * short.lags.percentile(99)) is not keeps_up


def test_the_same_seed_is_the_same_run() -> None:
    one, again, other = (simulate(Workload(3_000, skew=0.9), OPEN, COSTS, Horizon(5, seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


# By hand --------------------------------------------------------------------------------------------------------------


def test_the_stage_lets_through_what_it_is_set_to() -> None:
    run = simulate(Workload(1_000), Settings(throttling_rate=400), COSTS, Horizon(10))
    assert run.appended == pytest.approx(4_000)
    assert run.throttled == pytest.approx({Limit.STAGE: 6_000})
    assert run.over is Limit.STAGE


def test_a_table_of_four_partitions_takes_4_000_units_and_a_second_s_worth_waits() -> None:
    run = simulate(Workload(5_000, skew=0), WIDE, COSTS, Horizon(10))
    assert run.appended == pytest.approx(40_000)
    # What a partition can't take is tried again for a second: 4,000 wait, the rest of the surplus is refused.
    assert run.queued == pytest.approx(4_000)
    assert run.throttled == pytest.approx({Limit.EVENTS_WARM: 6_000})


def test_functions_grow_by_1_000_in_10_seconds() -> None:
    took = COSTS.command_seconds(WIDE)
    wide = sized_for(Workload(1e6), COSTS)
    run = simulate(Workload(1e6, skew=0), wide, COSTS, Horizon(20, warm=False))
    assert run.appended == pytest.approx((1_000 / took + 2_000 / took) * 10, rel=0.001)


def test_a_hot_stream_takes_one_commit_in_the_time_of_a_command() -> None:
    run = simulate(Workload(500, streams=1), OPEN, COSTS, Horizon(10))
    assert run.appended == pytest.approx(10 / COSTS.command_seconds(OPEN))
    assert run.over is Limit.STREAM


def test_times_follow_from_what_was_measured() -> None:
    cpu, settings = COSTS.measured.cpu, Settings(memory_mb=1769)
    assert COSTS.command_seconds(settings) == pytest.approx(cpu.update_ms / 1000 + 0.010)
    # One commit: its CPU is shorter than its row (5 ms) and its transaction (10 ms); 100 by 8 writers: 13 turns.
    fixed = cpu.projection.fixed_ms
    assert COSTS.batch_seconds(1, settings) == pytest.approx(fixed / 1000 + 0.010 + 0.015)
    most = max(cpu.projection.per_commit_ms / 1000 * 100, 13 * 0.015)
    assert COSTS.batch_seconds(100, settings) == pytest.approx(fixed / 1000 + 0.010 + most)
    half = Settings(memory_mb=1769 // 2)
    assert COSTS.command_seconds(half) - 0.010 == pytest.approx(2 * cpu.update_ms / 1000, rel=0.01)


def test_what_the_read_models_take_follows_from_their_units() -> None:
    limits = projection_limits(Workload(1), Settings(), COSTS)
    # A row, and a transaction's two units for the checkpoint and, one in five, for a total and a day.
    assert limits[Limit.READ_MODELS_WARM] == pytest.approx(4_000 / (1 + 2 * (1 + 0.2 * 2)))
    assert limits[Limit.READ_MODELS_QUOTA] == pytest.approx(40_000 / 3.8)
    assert limits[Limit.INDEX] == pytest.approx(4 * 1_000 / 2)
    # 8 tries refused in a row 1 % of the time: 56 % of all are refused, so that share of 100 a second is served.
    assert limits[Limit.TALLIES] == pytest.approx(8 * 56.234 / 0.2, rel=1e-4)


@pytest.mark.parametrize("skew", [0.0, 0.5, 1.0, 1.3])
@pytest.mark.parametrize("streams", [1, 10, 30_000])
def test_zipf_s_shares_add_up(streams: int, skew: float) -> None:
    workload = Workload(1, streams=streams, skew=skew)
    assert sum(workload.share(rank) for rank in range(1, streams + 1)) == pytest.approx(1, rel=1e-6)
    if streams > 1:
        assert workload.share(1) / workload.share(2) == pytest.approx(2**skew)


def test_a_lane_s_commits_are_visible_when_their_batch_ends() -> None:
    lane, lags = Lane(1.0, poll_phase=0.0), LagSamples()
    lane.add(0.1, 3)
    lane.add(0.2, 5)
    assert lane.ready(0.1, 0.05, 100, 0) == 0, "no poll before 0.25"
    assert lane.ready(0.2, 0.05, 100, 0) == 8
    lane.take(6, 0.25, 0.5, lags, weight=2)
    assert [lag for lag, _ in lags.values] == pytest.approx([0.65, 0.55])
    assert [commits for _, commits in lags.values] == [6, 6]
    assert lane.ready(0.5, 0.05, 100, 0) == 0, "its batch is under way"
    assert lane.waiting == 2
    assert [lags.percentile(50), lags.percentile(51)] == pytest.approx([0.55, 0.65])


def test_a_lane_waits_for_its_window_unless_the_batch_is_full() -> None:
    lane = Lane(1.0, poll_phase=0.0)
    lane.add(0.0, 50)
    assert lane.ready(0.95, 0.05, 100, 2.0) == 0
    assert lane.ready(2.2, 0.05, 100, 2.0) == 50
    assert lane.ready(0.3, 0.05, 50, 2.0) == 50


def test_the_bill_follows_from_the_prices() -> None:
    workload, settings = Workload(100), Settings()
    run = simulate(workload, settings, COSTS, Horizon(100))
    bill = dollars_a_day(workload, settings, COSTS, run)
    assert bill["API Gateway"] == pytest.approx(8.64), "8.64 million requests"
    assert bill["events"] == pytest.approx(8.64 * (0.625 + 0.5 * 0.125), rel=0.01)
    assert bill["read models"] == pytest.approx(8.64 * (5.8 * 0.625 + 2 * 0.125), rel=0.01)
    gigabyte_seconds = 8.64e6 * COSTS.command_seconds(settings)
    assert bill["Lambda, commands"] == pytest.approx(8.64 * 0.2 + gigabyte_seconds * 0.0000133334)


def test_a_table_doubles_every_half_hour() -> None:
    assert (minutes_to_grow(4_000), minutes_to_grow(8_000), minutes_to_grow(32_000)) == (0, 30, 90)


# Findings -------------------------------------------------------------------------------------------------------------


def test_the_defaults_are_those_of_the_template() -> None:
    parameters = {name: found["Default"] for name, found in TEMPLATE["Parameters"].items()}
    mapping = properties("ProjectionsMapping")
    assert Settings() == Settings(
        throttling_rate=parameters["ThrottlingRate"],
        parallelization=mapping["ParallelizationFactor"],
        batch_size=mapping["BatchSize"],
        batch_window=mapping["MaximumBatchingWindowInSeconds"],
        projection_writers=parameters["ProjectionWriters"],
        list_shards=parameters["ListShards"],
        tally_shards=parameters["TallyShards"],
        memory_mb=TEMPLATE["Globals"]["Function"]["MemorySize"],
        events_warm=parameters["EventsWarmWrites"],
        read_models_warm=parameters["ReadModelsWarmWrites"],
    )
    assert len(properties("EventsTable")["KeySchema"]) == 2, "the model's units are those of this layout"


def test_the_mapping_s_defaults_keep_up_with_a_full_shard_and_one_batch_at_a_time_does_not() -> None:
    assert hot_shard(Settings(), COSTS).keeps_up
    assert not hot_shard(Settings(parallelization=1), COSTS).keeps_up
    assert not hot_shard(Settings(batch_size=10), COSTS).keeps_up


@pytest.mark.parametrize("rate", RATES)
def test_settings_made_for_a_rate_hold_it(rate: float) -> None:
    assert simulate(Workload(rate), sized_for(Workload(rate), COSTS), COSTS).over is None


def test_each_setting_moves_the_point_that_breaks_first() -> None:
    rungs = list(ladder(Workload(1e6), COSTS))
    assert rungs[0].limit is Limit.STAGE
    assert rungs[0].rate == pytest.approx(500, rel=0.03)
    assert rungs[-1].rate > 1e6
    rates = [one.rate for one in rungs]
    assert rates == sorted(rates)
    assert len({one.setting for one in rungs}) == len(rungs)
    first = breaking_point(Workload(1), OPEN, COSTS)
    assert first.limit is Limit.READ_MODELS_WARM
    assert first.rate == pytest.approx(4_000 / 3.8, rel=0.03)


# The one machine ------------------------------------------------------------------------------------------------------


def test_the_machine_of_make_load_comes_out_as_measured() -> None:
    load = COSTS.measured.load
    ran = machine.simulate(COSTS.measured, users=load.users, seconds=load.seconds)
    for name, real, said, allowed in checks(COSTS.measured, ran):
        assert factor(real, said) < allowed, f"{name}: measured {real}, simulated {said}"


def test_one_user_s_throughput_comes_back_out() -> None:
    alone = COSTS.measured.alone
    ran = machine.simulate(COSTS.measured, users=1, seconds=alone.seconds)
    assert factor(ran.requests_a_second, alone.requests_a_second) < 1.25


def test_users_share_the_machine() -> None:
    rates = [machine.simulate(COSTS.measured, users=users, seconds=10).requests_a_second for users in (1, 4, 32, 64)]
    assert rates[1] > 2 * rates[0]
    assert rates[3] == pytest.approx(rates[2], rel=0.1), "past what the machine can do, more users only wait"
    demand = machine.Demand.of_alone(COSTS.measured)
    assert rates[3] < min(1 / demand.emulator, 2 / (demand.client + demand.emulator + demand.functions))


def test_the_page_is_what_the_simulation_says() -> None:
    assert (ROOT / "docs" / "scale.md").read_text() == page.markdown(find(COSTS, 1)), "run make scale"
    assert not math.isnan(COSTS.measured.load.lag_p99_ms)
