"""Running a rebuild from this machine: the parts in processes, a progress bar from what they keep in the table."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from eventfold.application.rebuilds import Part, items_in, rebuild_of, work
from eventfold.cli.parallel import uninterrupted
from eventfold.core.errors import RebuildRefusedError
from eventfold.operations.rebuild.filling import summed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from multiprocessing.synchronize import Event

    from rich.console import Console

    from eventfold.application import Application
    from eventfold.operations.rebuild.progress import Phase
    from eventfold.operations.rebuild.progress import Progress as PartProgress
    from eventfold.operations.rebuild.steps import Rebuild
    from eventfold.read_models.generations import Generation

_NAMES: dict[Phase, str] = {"fill": "Filling", "verify": "Verifying"}
_POLL_SECONDS = 0.5
_worker: list[tuple[Application, Event]] = []
"""What a worker process has: the application on the stack's tables, and the sign to stop."""


@dataclass(frozen=True)
class Plan:
    """How a rebuild is run from here.

    `connect` is called once in each process. `rate` is in read units a second, all workers together.
    """

    app: Application
    console: Console
    connect: Callable[[], Application]
    workers: int
    rate: float | None


def run_phase(plan: Plan, rebuild: Rebuild, generation: Generation, phase: Phase) -> PartProgress:
    """Run every part of a phase that is left, in processes; return what all parts did.

    Raises:
        RebuildRefusedError: a worker was killed, or another rebuild has taken over.
        StoreUnavailableError: at every attempt. What was done is kept.
    """
    context = multiprocessing.get_context("spawn")  # A fork would share the parent's connections and locks.
    stop = context.Event()
    done = {one.part for one in rebuild.progress(generation, phase) if one.done}
    left = [part for part in range(generation.parts) if part not in done]
    rate = plan.rate / plan.workers if plan.rate else None
    with ProcessPoolExecutor(plan.workers, context, _start, (plan.connect, stop)) as pool:
        with uninterrupted():
            parts = [Part(generation.number, phase, part, rate) for part in left]
            futures = [pool.submit(_work, rebuild.name, rebuild.owner, part) for part in parts]
        try:
            _watch(futures, plan, rebuild, generation, phase)
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return summed(rebuild.progress(generation, phase))


def pause(seconds: float, what: str, console: Console) -> None:
    """Wait, and say what for."""
    if seconds > 0:
        with console.status(f"Waiting {seconds:.0f} s until {what} ..."):
            time.sleep(seconds)


def _watch(futures: Iterable[Future[bool]], plan: Plan, rebuild: Rebuild, generation: Generation, phase: Phase) -> None:
    """Show how far the parts are until all are done, or one fails."""
    total = items_in(plan.app, generation.source)
    left = set(futures)
    with _bar(plan.console) as bar:
        task = bar.add_task(_NAMES[phase], total=total or None, streams="", rate="")
        started, first = time.monotonic(), summed(rebuild.progress(generation, phase)).events
        while left:
            ended, left = wait(left, _POLL_SECONDS, FIRST_EXCEPTION)
            now = summed(rebuild.progress(generation, phase))
            rate = (now.events - first) / max(time.monotonic() - started, 0.001)
            completed = min(now.items, total) if total else now.items
            bar.update(task, completed=completed, streams=f"{now.streams:,} streams", rate=f"{rate:,.0f} events/s")
            for future in ended:
                _check(future)
        bar.update(task, completed=total or None)


def _check(future: Future[bool]) -> None:
    try:
        future.result()
    except BrokenProcessPool as error:
        raise RebuildRefusedError(
            "A worker was killed. What it had done is kept: run the same command again, and it goes on from there."
        ) from error


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[streams]}"))
    rates = (TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), TextColumn("left:"), TimeRemainingColumn())
    return Progress(*columns, *rates, console=console)


def _start(connect: Callable[[], Application], stop: Event) -> None:
    """Connect a worker to the stack."""
    _worker[:] = [(connect(), stop)]


def _work(name: str, owner: str, part: Part) -> bool:
    app, stop = _worker[0]
    return work(app, rebuild_of(app, name, owner), part, stop.is_set).done
