"""`make run`: the stack until Ctrl-C, with its functions' logs."""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from local import stack
from local.toolchain import LOCAL, console, main_guard

if TYPE_CHECKING:
    from collections.abc import Iterator

FUNCTIONS = ("commands", "queries", "projections", "snapshots", "redrive", "rebuild")
POLL_SECONDS = 1.0
LATEST_MS = 60_000
"""How much older than the newest a line may be that comes after it."""
_DULL = {
    "level", "location", "message", "timestamp", "service", "cold_start", "function_name", "function_memory_size",
    "function_arn", "function_request_id", "xray_trace_id",
}  # fmt: skip


def main() -> int:
    """Run the whole stack on this machine."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=4566, help="where the emulator listens, on loopback")
    parser.add_argument("--home", type=Path, default=LOCAL, help="where the data and the file api-url are kept")
    arguments = parser.parse_args()
    try:
        with stack.running(arguments.home, arguments.port) as deployed:
            _welcome(deployed.api_url)
            for line in follow(deployed):
                console.print(line, markup=False)
    except KeyboardInterrupt:
        console.print("\nStopped. The data stays: make run goes on with it, make clean forgets it.")
    return 0


def _welcome(url: str) -> None:
    console.print(f"\nThe API is at [bold]{url}[/] (also in .local/api-url). In another terminal:\n")
    console.print("  API=$(cat .local/api-url)", markup=False)
    console.print(
        """  curl -i "$API/users" -H 'content-type: application/json' -d '{"name": "Ada"}'""",
        markup=False,
    )
    console.print('  curl "$API/users?prefix=a"', markup=False)
    console.print('  curl "$API/users/PUT-THE-ID-HERE/events"', markup=False)
    console.print("\nThe functions' logs follow. Ctrl-C stops everything.\n")


def follow(deployed: stack.Stack) -> Iterator[str]:
    """Yield the functions' log lines as they come, for ever."""
    since = int(time.time() * 1000)
    logs = deployed.logs
    groups = {name: deployed.log_group(f"{name.capitalize()}Function") for name in FUNCTIONS}
    seen: set[tuple[int, str]] = set()  # the emulator gives log events no id
    while True:
        for function, group in groups.items():
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
            for event in (event for page in pages for event in page["events"]):
                if (key := (event["timestamp"], event["message"])) not in seen:
                    seen.add(key)
                    if line := readable(function, event["message"]):
                        yield line
        since = max([since, *(timestamp - LATEST_MS for timestamp, _ in seen)])
        seen = {key for key in seen if key[0] >= since}
        time.sleep(POLL_SECONDS)


def readable(function: str, message: str) -> str:
    """Return a function's JSON log line as one for people; empty for metrics and the runtime's own lines."""
    try:
        entry = json.loads(message)
    except ValueError:
        return "" if message.startswith(("START", "END", "REPORT")) else f"{function:11} {message.rstrip()}"
    if not isinstance(entry, dict) or "message" not in entry:
        return ""
    printed = entry.pop("_aws", {})
    counted = {metric["Name"] for one in printed.get("CloudWatchMetrics", []) for metric in one["Metrics"]}
    details = " ".join(f"{key}={value}" for key, value in entry.items() if key not in _DULL | counted)
    at = datetime.fromtimestamp(printed["Timestamp"] / 1000, UTC).isoformat() if printed else entry.get("timestamp", "")
    clock = str(at)[11:19]
    return f"{clock} {function:11} {entry['message']}  {details}"


if __name__ == "__main__":
    main_guard(main)
