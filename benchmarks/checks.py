"""Whether a peer keeps what it is given: before anything is timed, on the real store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.payload import folded
from benchmarks.runners import BrokenError, MissingError

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.runners import Worker
    from benchmarks.workloads import Sizes


def reads_back_what_was_written(worker: Worker, sizes: Sizes) -> str:
    """Check the stream that D loads: as many events as were written, of the right content."""
    events = sizes.long if worker.kind.does("D") else sizes.near
    worker.ask("fill", "long", events)
    right, found = folded(events), tuple(worker.call("load", "long"))
    if found == right:
        return ""
    return f"returned {found[0]:,} of {right[0]:,} events" if found[0] != right[0] else f"read {found}, not {right}"


def follows_every_page(worker: Worker, sizes: Sizes) -> str:
    """Check a stream over DynamoDB's page of 1 MB: by peer, and not again under another setting of it."""
    if worker.kind.only:
        return ""
    worker.ask("fill", "pages", sizes.pages)
    version, *_ = worker.call("load", "pages")
    return "" if version == sizes.pages else f"a stream over 1 MB: returned {version:,} of {sizes.pages:,} events"


def lets_one_of_two_writers_win(worker: Worker, _sizes: Sizes) -> str:
    """Check two writers of one version, at the same time, often."""
    wins: list[int] = worker.ask("duel", "duel")
    both, none = sum(one > 1 for one in wins), sum(one < 1 for one in wins)
    lost = f"two writers of one version: both were told yes {both} times of {len(wins)}" if both else ""
    return lost or (f"two writers of one version: neither won {none} times of {len(wins)}" if none else "")


def keeps_all_events_of_a_commit_or_none(worker: Worker, _sizes: Sizes) -> str:
    """Check five events on a new stream, and five of a stale writer onto a stream of three."""
    worker.call("append", "five", 5)
    if (found := tuple(worker.call("load", "five"))) != folded(5):
        return f"five events at once: read {found}, not {folded(5)}"
    for version in range(3):
        worker.call("append", "stale", 1, version)
    try:
        worker.call("append", "stale", 5, 0)
    except BrokenError:
        pass
    else:
        return "a stale writer's five events overwrote another's three, and neither was told"
    version, *_ = worker.call("load", "stale")
    return "" if version == 3 else f"a refused commit left {version - 3} of its events"  # noqa: PLR2004 - as appended


CHECKS: tuple[Callable[[Worker, Sizes], str], ...] = (
    reads_back_what_was_written,
    follows_every_page,
    lets_one_of_two_writers_win,
    keeps_all_events_of_a_commit_or_none,
)


def faults_of(worker: Worker, sizes: Sizes) -> list[str]:
    """Return what the peer gets wrong, each with its number."""
    found = []
    for check in CHECKS:
        try:
            found.append(check(worker, sizes))
        except (BrokenError, MissingError) as why:
            found.append(f"{check.__name__.replace('_', ' ')}: {why}")
    return [fault for fault in found if fault]
