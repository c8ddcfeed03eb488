"""A run's results as a page: benchmarks/results.md."""

from __future__ import annotations

import statistics
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks import costs, machine, prices
from benchmarks.alone import LIST_PAGE
from benchmarks.cold_start import BOTO3
from benchmarks.kinds import KINDS, OURS, PLAIN, WARM, WELL
from benchmarks.payload import payload_bytes
from benchmarks.report import MATRIX, dollar_rows, figure, micros, names, wrongs
from benchmarks.results import ON_THE_STUB, TITLES
from benchmarks.targets import LENGTHS, spread

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from benchmarks.cold_start import ColdStart
    from benchmarks.results import Results
    from benchmarks.targets import Verdict
    from benchmarks.workloads import Measured

OUR_NAME = OURS.name


def write(results: Results, verdicts: Sequence[Verdict], folder: Path) -> Path:
    """Write the page and return it."""
    page = folder / "results.md"
    page.write_text("\n".join(_lines(results, verdicts)) + "\n")
    return page


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield a table and an empty line."""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' if n == 0 else '---:' for n, _ in enumerate(header))} |"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _lines(results: Results, verdicts: Sequence[Verdict]) -> Iterator[str]:
    yield "# Benchmark\n"
    yield "Written by `make bench`; do not edit. CPU is that of the client's process, which is what a Lambda pays for."
    yield f"Each figure is the median of {results.rounds} rounds, in which the peers take turns; a ratio is the"
    flat, nested = payload_bytes(deep=False), payload_bytes(deep=True)
    yield "median of the rounds' ratios to plain boto3 with default settings. One event is"
    yield f"{flat} bytes of JSON, of four fields; nested, {nested} bytes of ten, with decimals, a time and a list of"
    yield "models. It is the same for all, typed by pydantic where nothing else is said, and folded into a state."
    yield "Nested rows are to plain boto3 on nested events, rows over TLS to plain boto3 over TLS.\n"
    yield from table(("machine", ""), machine.machine().items())
    yield from table(("versions", ""), machine.versions().items())
    yield from _matrix(results)
    yield from _lead(results)
    yield from _wrong(results)
    yield "## Targets\n"
    rows = ((one.key, one.measure, one.target, one.found, "met" if one.met else "**missed**") for one in verdicts)
    yield from table(("", "measured", "target", "found", ""), rows)
    for key in (key for key in TITLES if key in results.rows):
        yield from _workload(results, key)
    yield from _alone(results)
    yield from _dollars(results)


def _matrix(results: Results) -> Iterator[str]:
    yield "## CPU, as a ratio to plain boto3\n"
    keys = [key for key in MATRIX if key in results.rows]
    rows = []
    for name in names(results):
        cells = ((key, results.rows[key].get(name)) for key in keys)
        shown = [figure(cell, results.base(key, name)) if cell else "" for key, cell in cells]
        rows.append((f"{name} **(wrong)**" if results.wrong(name) else name, *shown))
    yield from table(("", *keys), rows)
    yield "".join(f"{key}: {TITLES[key]}. " for key in keys) + "C is to the transaction of an item an event.\n"


LEADS = (
    (
        "A",
        OURS,
        "the transport: botocore's own is half of a put. What is left is botocore's: signing, endpoint, headers",
    ),
    ("B", OURS, "the transport, and answers parsed once, which a well-written boto3 does too"),
    ("B", WARM, "the process knows the aggregate: no read, which no setting of boto3's has"),
    (
        "D",
        OURS,
        "answers parsed once. Versions without a gap, snapshots and remembered keys cost more than a plain fold",
    ),
)
"""Where eventfold's lead comes from, and where there is none."""


def _lead(results: Results) -> Iterator[str]:
    yield "Where the lead comes from, and where there is none, flat and nested:\n"
    rows = []
    for key, kind, why in LEADS:
        row = results.rows.get(key, {})
        to = [f"{row[kind.name].ratio(row[base.name]):.2f}" for base in (PLAIN, WELL) if base.name in row]
        nested = [
            f"{row[f'{kind.name}, nested'].ratio(row[f'{base.name}, nested']):.2f}"
            for base in (PLAIN, WELL)
            if f"{base.name}, nested" in row
        ]
        if len(to) == len(nested) == 2:  # noqa: PLR2004 - plain and well written
            shown = [" / ".join(pair) for pair in zip(to, nested, strict=True)]
            rows.append((f"{key}, {kind.name}", *shown, why))
    yield from table(("", "to plain boto3", "to a well-written one", "because"), rows)


def _wrong(results: Results) -> Iterator[str]:
    yield "Each peer's results are checked first, on DynamoDB Local. Who fails is **wrong**: its figures are shown, but"
    yield "are for work that was not done.\n"
    yield from (f"- {one}" for one in wrongs(results) or ["No peer failed."])
    yield ""
    yield from (f"- {name}: not measured, {why}" for name, why in results.absent.items())
    notes = {kind.name: kind.note for kind in KINDS if kind.note}
    yield "Where settings differ:\n"
    yield from (f"- {name}: {notes[name]}" for name in names(results) if name in notes)
    yield ""


def _workload(results: Results, key: str) -> Iterator[str]:
    yield f"## {key}: {TITLES[key]}\n"
    yield "CPU and wall on replayed answers" if key in ON_THE_STUB else "CPU and wall on DynamoDB Local"
    yield "(the server shares the cores); requests and capacity on DynamoDB Local.\n"
    per = results.sizes.writers * results.sizes.commands if key == "F" else 1
    rows = (_row(results, name, one, results.base(key, name), per) for name, one in results.rows[key].items())
    yield from table(("", "CPU", "min .. max", "ratio", "min .. max", "wall", "requests", "RCU", "WCU"), rows)
    yield from _profile(results, key)


def _profile(results: Results, key: str) -> Iterator[str]:
    """Yield where eventfold's CPU goes, also as ratios to plain boto3's whole: what is left if a part were free."""
    base = results.base(key)
    if key in results.profiles and base:
        yield f"Where {OUR_NAME}'s goes (cProfile):\n"
        ratio = results.rows[key][OUR_NAME].ratio(base)
        shares = results.profiles[key].items()
        yield from table(
            ("", "share", f"of the {ratio:.2f}"), ((part, f"{one:.0%}", f"{one * ratio:.2f}") for part, one in shares)
        )


def _row(results: Results, name: str, one: Measured, base: Measured | None, per: int) -> tuple[str, ...]:
    shown = f"{name} **(wrong)**" if results.wrong(name) else name
    if one.missing:
        return (shown, one.missing, *[""] * 7)
    ratios = one.ratios(base) if base else []
    counts = Counter(one.cost.requests)
    requests = ", ".join(f"{count / per:,.4g} {request}" for request, count in counts.items())
    return (
        shown,
        micros(statistics.median(one.cpu)),
        f"{micros(min(one.cpu))} .. {micros(max(one.cpu))}",
        f"{statistics.median(ratios):.3f}" if ratios else "",
        f"{min(ratios):.3f} .. {max(ratios):.3f}" if ratios else "",
        micros(statistics.median(one.wall)),
        requests,
        f"{one.cost.read / per:,.4g}",
        f"{one.cost.written / per:,.4g}",
    )


def _alone(results: Results) -> Iterator[str]:
    if results.lengths:
        yield "## Cost against length\n"
        yield "A process that knows nothing; a snapshot ten events back. CPU on replayed answers. The event is in the"
        yield "middle of the stream, the version the last but one, the moment in the middle of the older part. A list's"
        ranges = ", ".join(f"{number:,} rows in {ranges:,}" for number, ranges in results.sizes.lists)
        yield f"page has {LIST_PAGE} rows, the first of a range in the middle; it was laid out in ranges, at most:"
        yield f"{ranges}.\n"
        yield from table(("", "CPU", "requests", "RCU", "WCU"), _length_rows(results))
    if results.rebuild:
        yield "## Rebuild\n"
        yield from table(("", "CPU", "an event", "most memory held", "requests"), _rebuild_rows(results))
    if results.cold:
        yield "## Cold start\n"
        starts = len(results.cold.cpu[BOTO3])
        yield f"{starts} new processes of each, interpreter included, on the built layers with their bytecode: import"
        yield "a function and handle its first event (`POST /users`, `GET /users/{id}`, a commit of a new stream); and"
        yield "the least there is: `import boto3` as pip installs it, a client, one `put_item`.\n"
        yield from table(("", "CPU", "min .. max", "wall", "ratio", "quartiles"), _cold_rows(results.cold))
        yield "The command function's imports by package, each slowed by being watched (-X importtime):\n"
        imports = results.cold.imports.items()
        yield from table(("", "its own"), ((name, f"{1000 * seconds:.1f} ms") for name, seconds in imports))
        yield f"The dependencies layer is {results.cold.layer_mib:.1f} MiB unzipped.\n"


def _length_rows(results: Results) -> Iterator[tuple[object, ...]]:
    for method, name in LENGTHS.items():
        for version, one in results.lengths[method].items():
            cost = one.cost
            cpu = micros(statistics.median(one.cpu)) if one.cpu else ""
            yield (
                f"{name}, {'rows' if method == 'list_page' else 'version'} {version:,}",
                cpu,
                len(cost.requests),
                cost.read,
                cost.written,
            )


def _rebuild_rows(results: Results) -> Iterator[tuple[object, ...]]:
    for one in results.rebuild:
        cpu, requests = statistics.median(one.measured.cpu), len(one.measured.cost.requests)
        memory = f"{one.peak_bytes / 2**20:.1f} MiB"
        yield f"{one.events:,} events", f"{cpu:.3f} s", micros(cpu / one.events), memory, requests


def _cold_rows(cold: ColdStart) -> Iterator[tuple[object, ...]]:
    for name, cpu in cold.cpu.items():
        least, middle, most = (1000 * one for one in spread(cpu))
        wall = 1000 * statistics.median(cold.wall[name])
        ratios = [mine / its for mine, its in zip(cpu, cold.cpu[BOTO3], strict=True)]
        low, _, high = statistics.quantiles(ratios)
        shown = (f"{middle:.0f} ms", f"{least:.0f} .. {most:.0f} ms", f"{wall:.0f} ms", f"{cold.ratio(name):.2f}")
        yield (name, *shown, f"{low:.2f} .. {high:.2f}")


def _dollars(results: Results) -> Iterator[str]:
    columns, rows = dollar_rows(results)
    if not columns:
        return
    yield "## Dollars for a million\n"
    write, read = prices.WRITE_UNIT * costs.MILLION, prices.READ_UNIT * costs.MILLION
    yield f"Capacity as measured above, on demand in us-east-1: ${write:.3f} a million write units,"
    yield f"${read:.3f} a million read units. Storage and Lambda are not in it.\n"
    yield from table(("", *columns), rows)
