"""Cold start of what is deployed: the built layers and the command function, in a new process each time."""

from __future__ import annotations

import compileall
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import boto3

from benchmarks.runners import environment
from local.build import local_build
from local.toolchain import ROOT, StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.runners import Field

MIB = 2**20
FUNCTIONS = {
    "command function": ("Commands", "commands/create-user-jwt.json"),
    "query function": ("Queries", "queries/get-user.json"),
    "projection function": ("Projections", "projections/user-created.json"),
}
"""By name its folder in the build, and its first event. The user has no email: a unique key asks for a secret too."""
COMMANDS, BOTO3 = "command function", "boto3 and one put_item"
TABLE = "cold-events"
KEYS = {TABLE: ("stream", "version"), "cold-rows": ("key",), "cold-parked": ("projection", "stream")}
PACKAGES = (
    *("annotated_types", "app", "aws_lambda_powertools", "botocore", "dateutil", "eventfold", "handler", "jmespath"),
    *("orjson", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection", "urllib3"),
)
KINDS: tuple[Literal["HASH", "RANGE"], ...] = ("HASH", "RANGE")


@dataclass
class ColdStart:
    """CPU and wall seconds of each new process, interpreter included, and the dependencies layer's size unzipped."""

    cpu: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*FUNCTIONS, BOTO3)})
    wall: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in (*FUNCTIONS, BOTO3)})
    layer_mib: float = 0
    imports: dict[str, float] = field(default_factory=dict)
    """Seconds of the command function's imports by package, largest first. Watching them makes them slower."""

    def ratio(self, function: str) -> float:
        """Return the median of the rounds' ratios: a function to the least."""
        return statistics.median(a / b for a, b in zip(self.cpu[function], self.cpu[BOTO3], strict=True))


def measure(where: Field, starts: int, found: ColdStart) -> Iterator[str]:
    """Start them in turn, often; yield what is being done. The first of each warms the disk cache: not counted."""
    build = local_build()
    layer = build / "DependenciesLayer" / "python"
    found.layer_mib = sum(one.stat().st_size for one in layer.rglob("*") if one.is_file()) / MIB
    for table, names in KEYS.items():
        where.store.create_table(
            TableName=table,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind in zip(names, KINDS, strict=False)],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "N" if name == "version" else "S"} for name in names
            ],
        )
    layers = [build / name / "python" for name in ("DependenciesLayer", "EventfoldLayer", "AppLayer")]
    starting = {
        name: ["handler", str(ROOT / "events" / event), str(build / f"{folder}Function"), *map(str, layers)]
        for name, (folder, event) in FUNCTIONS.items()
    } | {BOTO3: ["boto3", TABLE, str(_installed())]}
    found.imports = _imports(where.store_url, starting[COMMANDS])
    for number in range(-1, starts):
        yield f"cold start {max(number, 0) + 1} of {starts}"
        for name in list(starting)[:: 1 if number % 2 else -1]:
            cpu, wall = _start(where.store_url, starting[name])
            if number >= 0:
                found.cpu[name].append(cpu)
                found.wall[name].append(wall)


def _installed() -> Path:
    """Return where boto3 is as pip installs it, with bytecode, as Lambda's own has."""
    packages = Path(boto3.__file__).parents[1]
    for name in ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "urllib3"):
        compileall.compile_dir(packages / name, quiet=2)
    return packages


def _imports(endpoint: str, arguments: list[str]) -> dict[str, float]:
    spent: Counter[str] = Counter()
    for line in _run(endpoint, arguments, "-X", "importtime"):
        if match := re.match(r"import time:\s+(\d+) \|\s+\d+ \|\s+([^.\s]+)", line):
            spent[match[2] if match[2] in PACKAGES else "standard library"] += int(match[1])
    return {package: micros / 1e6 for package, micros in spent.most_common()}


def _start(endpoint: str, arguments: list[str]) -> tuple[float, float]:
    wall = time.perf_counter()
    *_, cpu = _run(endpoint, arguments)
    return float(cpu), time.perf_counter() - wall


def _run(endpoint: str, arguments: list[str], *flags: str) -> list[str]:
    """Run one process to its end; return what it said."""
    settings = dict(zip(("EVENTS_TABLE", "READ_MODELS_TABLE", "PARKED_TABLE"), KEYS, strict=True))
    powertools = {"POWERTOOLS_SERVICE_NAME": "cold", "POWERTOOLS_METRICS_NAMESPACE": "eventfold"}
    kept = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    child = ROOT / "benchmarks" / "cold_child.py"
    # -I and -S: no site-packages and no user's settings. Bytecode is there already, as in the deployed artifact.
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", *flags, str(child), *arguments],
        env=kept | settings | powertools | {"AWS_ENDPOINT_URL": endpoint},
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    if done.returncode != 0:
        raise StepError(f"the cold start of {arguments[2]} failed:\n{done.stderr[-2000:]}{done.stdout[-500:]}")
    return done.stderr.splitlines()
