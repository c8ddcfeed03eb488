"""What happens to the functions meanwhile: weather, deployments, and redrives, by the schedule and by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drills.chaos.world import NO_ANSWER, RUSH_SECONDS
from eventfold.testing.faults import Fault

if TYPE_CHECKING:
    import random

    from drills.chaos.functions import Functions
    from drills.chaos.world import World

CALLS = ("BatchGetItem", "PutItem", "TransactWriteItems", "UpdateItem")
OUTAGE_SECONDS = 240.0
"""Longer than all retries of a batch."""
SCHEDULE_SECONDS = 300.0
REDRIVES = 5
BUSY_SECONDS = 6.0
"""How long a rush is, about: most troubles come then, since nothing is under way at other times."""


def _in_a_rush(world: World, dice: random.Random, *, within: int) -> bool:
    """Pause until a moment in one of the next rushes; whether there is more to do."""
    rush = world.turns.now // RUSH_SECONDS + dice.randint(1, within)
    return world.pause_until(rush * RUSH_SECONDS + dice.uniform(0, BUSY_SECONDS))


def weather(world: World, functions: Functions) -> None:
    """Throttle, and put tables out of reach: each for moments, and the read models for longer than all retries last."""
    dice, tables = world.dice("weather"), world.tables
    outage = world.seconds * 0.3
    while _in_a_rush(world, dice, within=2):
        if outage and world.turns.now > outage:
            outage, seconds, table = 0.0, OUTAGE_SECONDS, tables.read_models_table
            world.counts["long outages"] += 1
        elif dice.random() < 0.5:  # noqa: PLR2004 - a workload is made of figures
            seconds = dice.uniform(0.5, 5)
            table = dice.choice([tables.read_models_table, tables.parked_table, tables.events_table])
            world.counts["short outages"] += 1
        else:
            world.counts["storms"] += 1
            for operation in CALLS:
                for number in range(1, 20):
                    functions.faults.at(Fault.THROTTLE, operation, number)
            continue
        functions.faults.out_of_reach.add(table)
        world.pause_until(world.turns.now + seconds)
        functions.faults.out_of_reach.clear()


def deployments(world: World, functions: Functions) -> None:
    """Deploy read models with a bug now and then, and soon without it: to all processes, or to some of them first."""
    dice = world.dice("deployments")
    lanes = [
        f"projections, lane {number}" for number in range(functions.pumps["projections"].mapping.parallelization_factor)
    ]
    while _in_a_rush(world, dice, within=1):
        name = dice.choice([target.name for target in functions.targets])
        processes = dice.choice([lanes, dice.sample(lanes, 2), [*lanes, "operator", "schedule", "rebuilds"]])
        functions.bugs |= {(process, name) for process in processes}
        world.counts["deployments of bugs"] += 1
        world.pause_until(world.turns.now + dice.choice([2, 5, 10, 30]))
        functions.bugs.clear()


def correction(world: World, _: Functions) -> None:
    """Deploy the corrected users half-way, to one process after the other."""
    processes = ["snapshots", *(f"writer {number}" for number in range(world.writers))]
    world.dice("correction").shuffle(processes)
    for number, process in enumerate(processes):
        world.pause_until(world.seconds * (0.4 + 0.3 * number / len(processes)))
        world.corrected.add(process)


def schedule(world: World, functions: Functions) -> None:
    """Invoke the redrive function every five minutes."""
    while world.pause_until(world.turns.now + SCHEDULE_SECONDS):
        try:
            functions.redrive()
        except NO_ANSWER:
            functions.counts["redrives that failed"] += 1


def operator(world: World, functions: Functions) -> None:
    """Redrive by hand, in the middle of everything."""
    dice = world.dice("operator")
    while _in_a_rush(world, dice, within=1):
        for _ in range(3):
            world.pause(dice.random())
            try:
                functions.feed().redrive(report=functions.note)
            except NO_ANSWER:
                functions.counts["redrives that failed"] += 1


ALL = (weather, deployments, correction, schedule, operator)


def calm(world: World, functions: Functions) -> None:
    """Correct all code and calm the weather, then redrive until nothing is left to redrive."""
    functions.faults.calm()
    functions.faults.out_of_reach.clear()
    functions.bugs.clear()
    for _ in range(REDRIVES):
        functions.redrive()
        if not any(functions.feed().waiting()) and not functions.left_in_bucket():
            return
        world.pause(SCHEDULE_SECONDS)
