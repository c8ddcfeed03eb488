"""A step of a read model's rebuild, as the state machine asks for it: begin, work on a part, close a phase."""

import math
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext

from app import main
from app.telemetry import invocation, logger
from eventfold.application.rebuilds import Part, begin, rebuild_of, work
from eventfold.core.errors import EventfoldError, RebuildRefusedError, StoreUnavailableError
from eventfold.operations.rebuild.steps import Rebuild
from eventfold.read_models.generations import Generation
from eventfold.read_models.parking import reason_of

HOLD_SECONDS = 300
"""Longer than a worker may be silent between two invocations."""
MAX_PARTS = 10_000
"""A state passes on 256 KiB: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html."""
LEFT_MILLISECONDS = 60_000
"""What is left of an invocation when it stops, and its checkpoint is kept."""


@invocation
def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Make one step; `execution` is who runs the rebuild. One that fails says why where the command can read it."""
    rebuild = rebuild_of(main.application, event["projection"], event["execution"], hold_seconds=HOLD_SECONDS)
    try:
        return step(rebuild, event, context)
    except StoreUnavailableError:
        raise  # The state machine comes again.
    except Exception as error:
        rebuild.release(str(error) if isinstance(error, EventfoldError) else reason_of(error))
        raise


def step(rebuild: Rebuild, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Make the step that is asked for."""
    match event["step"]:
        case "begin":
            source, segments = event["source"], event["segments"]
            return following(rebuild, begin(main.application, rebuild, source, segments, at_most=MAX_PARTS))
        case "work":
            return work_on(rebuild, event, context)
        case "close":
            return close(rebuild, event["generation"], event["phase"], promote=event["promote"])
        case unknown:
            raise RebuildRefusedError(f"A rebuild has no step {unknown!r}.")


def work_on(rebuild: Rebuild, event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work on one part until it is done, or the invocation's time is nearly over."""

    def stop() -> bool:
        return context.get_remaining_time_in_millis() < LEFT_MILLISECONDS

    part = Part(event["generation"], event["phase"], event["part"], event["rate"] or None)
    done = work(main.application, rebuild, part, stop)
    keys = {"projection": rebuild.name, "phase": event["phase"], "part": done.part, "done": done.done}
    logger.info("rebuilt", extra=keys | {"streams": done.streams, "events": done.events, "wrong": done.wrong})
    return {"done": done.done, "part": done.part, "streams": done.streams}


def close(rebuild: Rebuild, number: int, phase: str, *, promote: bool) -> dict[str, Any]:
    """Close a phase, and say which one follows; after the last one the generation is shown, unless told otherwise."""
    match phase:
        case "fill":
            return following(rebuild, rebuild.filled(number))
        case "verify":
            if unjudged := rebuild.verified(number).unjudged:
                logger.warning(
                    "counters move too fast to be judged", extra={"projection": rebuild.name, "of": unjudged}
                )
        case "promote":
            pass
        case _:
            raise RebuildRefusedError(f"A rebuild has no phase {phase!r}.")
    if promote and (seconds := rebuild.promote(number)) > 0:
        return {"phase": "promote", "generation": number, "parts": [], "wait": math.ceil(seconds)}
    rebuild.release()
    return {"phase": "done", "generation": number, "promoted": promote}


def following(rebuild: Rebuild, generation: Generation) -> dict[str, Any]:
    """Return the phase that a generation is in, after how many seconds it begins, and its parts."""
    return {
        "phase": "fill" if generation.status == "filling" else "verify",
        "generation": generation.number,
        "parts": list(range(generation.parts)),
        "wait": math.ceil(rebuild.pause(generation)),
    }
