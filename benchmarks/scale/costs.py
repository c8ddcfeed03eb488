"""Dollars a day of a simulated run, from the capacity it used and the prices in `facts.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.scale import facts
from benchmarks.scale.simulation import Limit

if TYPE_CHECKING:
    from benchmarks.scale.model import Costs, Settings, Workload
    from benchmarks.scale.simulation import Outcome

DAY = 86_400


def dollars_a_day(workload: Workload, settings: Settings, costs: Costs, run: Outcome) -> dict[str, float]:
    """Return the bill by item: queries, storage, backups and traffic are not in it.

    Nothing is paid for a request that API Gateway throttles, but for its line in the access log
    (https://aws.amazon.com/api-gateway/pricing/). A command reads its stream once, eventually consistent, for half a
    read unit; logs are those of LogLevel INFO.
    """
    times = DAY / run.seconds
    refused = run.throttled.get(Limit.STAGE, 0) + run.throttled.get(Limit.GATEWAY, 0)
    commands, appended, projected = run.offered * times, run.appended * times, run.projected * times
    invoked = run.command_seconds / costs.command_seconds(settings) * times
    gigabytes = settings.memory_mb / 1024
    rows = costs.row_units() + costs.index_units() + costs.tally_units(workload.counted)
    cpu = costs.measured.cpu
    logged = commands * facts.ACCESS_LOG_BYTES + invoked * cpu.command_log_bytes + projected * cpu.commit_log_bytes
    batches = run.batches * times
    return {
        "API Gateway": _gateway(commands - refused * times),
        "Lambda, commands": _lambda(invoked, run.command_seconds * times * gigabytes),
        "Lambda, projections": _lambda(batches, run.batch_seconds * times * gigabytes),
        "events": appended * workload.kb * facts.WRITE_UNIT + invoked * 0.5 * facts.READ_UNIT,
        "read models": projected * (rows * facts.WRITE_UNIT + 2 * facts.READ_UNIT),
        "logs": logged / 1024**3 * facts.LOG_GB,
        "traces": (invoked + batches) * facts.TRACED_SHARE * facts.TRACE,
    }


def _gateway(requests: float) -> float:
    first = min(requests, facts.GATEWAY_TIER_A_DAY)
    return first * facts.GATEWAY_REQUEST + (requests - first) * facts.GATEWAY_REQUEST_PAST_300_M


def _lambda(requests: float, gigabyte_seconds: float) -> float:
    return requests * facts.LAMBDA_REQUEST + gigabyte_seconds * facts.LAMBDA_GB_SECOND
