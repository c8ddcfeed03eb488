"""Running a rebuild on AWS: starts the state machine, and shows how far it is until it ends."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import boto3

from eventfold.core.errors import RebuildRefusedError
from eventfold.operations.rebuild.filling import summed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mypy_boto3_stepfunctions import SFNClient
    from rich.console import Console

    from eventfold.operations.rebuild.steps import Rebuild

MAP_WORKERS = 8
"""How many parts the state machine works on at a time: `MaxConcurrency` in template.yaml."""
_POLL_SECONDS = 2.0


def execute(state_machine: str, about: Mapping[str, Any], rebuild: Rebuild, console: Console) -> dict[str, Any]:
    """Start an execution, follow it to its end, and return what it answered. Ctrl-C leaves it running.

    Raises:
        RebuildRefusedError: it failed; says why.
    """
    states: SFNClient = boto3.client("stepfunctions")
    execution = states.start_execution(stateMachineArn=state_machine, input=json.dumps(about))["executionArn"]
    console.print(f"Started {execution}; it goes on without this command.")
    with console.status("Beginning ...") as shown:
        while (found := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
            shown.update(_told(rebuild))
            time.sleep(_POLL_SECONDS)
    if found["status"] != "SUCCEEDED":
        # A map says that too many of its parts have failed, and not why.
        why = rebuild.store.failure(rebuild.name, execution) or _reason(found.get("cause", ""))
        raise RebuildRefusedError(f"The rebuild {found['status'].lower()}: {why}")
    answer: dict[str, Any] = json.loads(found["output"])["next"]
    return answer


def _reason(cause: str) -> str:
    """Return what a function has said: Lambda wraps it in JSON, with a trace that helps nobody here."""
    try:
        said: str = json.loads(cause)["errorMessage"]
    except (ValueError, TypeError, KeyError):
        return cause or "Step Functions says no more"
    return said


def _told(rebuild: Rebuild) -> str:
    generation = rebuild.control().building
    if generation is None:
        return "Beginning ..."
    phase = "fill" if generation.status == "filling" else "verify"
    done = summed(rebuild.progress(generation, phase))  # type: ignore[arg-type] # a conditional forgets literals
    return (
        f"{generation.status.capitalize()} generation {generation.number}: {done.part} of {generation.parts} parts, "
        f"{done.streams:,} streams, {done.events:,} events ..."
    )
