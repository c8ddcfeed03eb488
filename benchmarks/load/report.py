"""A run of the load in figures: on the terminal, as benchmarks/load.md, and for the simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from benchmarks.load.samples import milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.load.figures import Measured
    from benchmarks.load.samples import Answer, Samples
    from benchmarks.load.timings import Line

_COLUMNS = ("route", "sent", "/ s", "p50 ms", "p90 ms", "p99 ms", "refused", "errors")


def rows(samples: Samples) -> list[tuple[str, ...]]:
    """Return the table's rows: each route, then all."""
    return [_row(name, some, samples.seconds) for name, some in (*samples.by_route().items(), ("all", samples.mix))]


def _row(name: str, answers: Sequence[Answer], seconds: float) -> tuple[str, ...]:
    taken = [one.seconds for one in answers]
    counts = [sum(one.word == word for one in answers) for word in ("expected", "error")]
    percentiles = [f"{milliseconds(taken, percent):,.0f}" for percent in (50, 90, 99)]
    return (name, f"{len(answers):,}", f"{len(answers) / seconds:.1f}", *percentiles, *(f"{one:,}" for one in counts))


def table(samples: Samples) -> Table:
    """Return the figures for a terminal."""
    found = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in _COLUMNS:
        found.add_column(name, overflow="fold", justify="left" if name == "route" else "right")
    for row in rows(samples):
        found.add_row(*row)
    return found


def refusals(samples: Samples) -> str:
    """Return the expected answers that are no 2xx, counted by route and status."""
    counts: dict[tuple[str, int], int] = {}
    for one in samples.mix:
        if one.word == "expected":
            counts[one.route, one.status] = counts.get((one.route, one.status), 0) + 1
    return (
        ", ".join(f"{count:,} times {status} of {route}" for (route, status), count in sorted(counts.items())) or "none"
    )


def write(folder: Path, samples: Samples, measured: Measured, checked: str) -> None:
    """Write load.md into a folder."""
    (folder / "load.md").write_text(markdown(samples, measured, checked), encoding="utf-8")


def markdown(samples: Samples, measured: Measured, checked: str) -> str:
    """Return the run as a page."""
    load, alone, cpu = measured.load, measured.alone, measured.cpu
    lines = [
        "# Sustained load on one machine",
        "",
        "Written by `make load`; do not edit. The emulator runs API Gateway, DynamoDB, the stream and each Lambda (as",
        "subprocesses) on this one machine, beside the load: the figures compare runs with each other, not with AWS.",
        "",
        f"{load.users} users for {load.seconds:.0f} s, each sending its next request when the last is answered, and a",
        "probe that changes a user twice a second and looks until the read model shows it.",
        "",
        *_table(("machine", ""), list(measured.machine.items())),
        "",
        f"**{load.requests_a_second:.1f} requests a second**, {load.errors} errors; projection lag",
        f"p50 **{load.lag_p50_ms:.0f} ms**, p99 **{load.lag_p99_ms:.0f} ms** ({load.probe_samples} samples). {checked}",
        "",
        *_table(_COLUMNS, rows(samples)),
        "",
        f"Refused as expected, which is no error: {refusals(samples)}. All else that is not 2xx is an error.",
        "",
        "The lag is from an append's answer to the first answer of `GET /users/{id}` that shows its version, without",
        "`min_version`: it holds the latency of that request.",
        "",
        "Queries look slower than commands: they print no log line, and the emulator waits up to 50 ms for one.",
        "",
        "## What the time goes into",
        "",
        *_table(
            ("", "1 user", f"{load.users} users"),
            [
                (name, f"{getattr(alone, field):,.1f}", f"{getattr(load, field):,.1f}")
                for name, field in _PHASE_ROWS.items()
            ],
        ),
        "",
        "CPU of one request is that of the whole machine divided by all requests, so it holds the projections' share.",
        "",
        *_table(
            ("warm, nothing else running; times in ms", ""),
            [
                ("CPU of a create", f"{cpu.create_ms:.2f}"),
                ("CPU of an update of a remembered user", f"{cpu.update_ms:.2f}"),
                ("CPU of a query by id", f"{cpu.query_ms:.2f}"),
                ("CPU of a page of the list", _beside(cpu.list_ms, cpu.query_ms)),
                ("CPU of the figures of the last days", _beside(cpu.stats_ms, cpu.query_ms)),
                ("CPU of a projection's batch of new streams, both read models", _line(cpu.projection)),
                (
                    "CPU of a commit in a batch that has 100 of 10 streams, both read models",
                    _beside(cpu.ten_streams_ms),
                ),
                ("the same batch, wall time on the emulator", _line(measured.emulated_projection)),
                ("log of a command, bytes", f"{cpu.command_log_bytes:,}"),
                ("log of a projected commit, bytes", f"{cpu.commit_log_bytes:,}"),
                ("log of a batch besides, bytes", f"{cpu.batch_log_bytes:,}"),
            ],
        ),
        "",
    ]
    return "\n".join(lines)


_PHASE_ROWS: Mapping[str, str] = {
    "requests a second": "requests_a_second",
    "latency p50, ms": "latency_p50_ms",
    "latency p99, ms": "latency_p99_ms",
    "lag p50, ms": "lag_p50_ms",
    "lag p99, ms": "lag_p99_ms",
    "CPU of a request, emulator, ms": "cpu_emulator_ms",
    "CPU of a request, functions, ms": "cpu_functions_ms",
    "CPU of a request, load tool, ms": "cpu_client_ms",
}


def _beside(found: float | None, query: float = 0) -> str:
    """Return a time, and how many times that of a query by id it is."""
    return "" if found is None else f"{found:.2f}, {found / query:.1f} times that by id" if query else f"{found:.2f}"


def _line(line: Line) -> str:
    return f"{line.fixed_ms:.2f} + {line.per_commit_ms:.2f} a commit"


def _table(columns: Sequence[str], some: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *some)]
