"""What a tally is spared: commits that add nothing to any counter cost it neither a read nor a write.

A tally that is not asked finds no gap. So the rows of the same streams are asked: where a commit follows what a row
has seen, nothing was missed. Tallies are fed first, and a stream that fails there waits in the rows too: while a tally
lacks what was missed, the rows show the gap.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from eventfold.core.commit import first_gap
from eventfold.read_models.target import version_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from eventfold.core.commit import Commit
    from eventfold.read_models.live import Live
    from eventfold.read_models.target import AnyTarget, Mark

type Marks = dict[str, Mapping[str, Mark]]
"""How far each read model has seen its streams, by the stored name of its active generation."""


def adds_nothing(target: AnyTarget, commit: Commit) -> bool:
    """Whether a commit changes nothing of shared counters, whatever was before it."""
    if not target.shared:
        return False
    try:
        return bool(target.needed(target.fold(None, target.codec.recorded(commit))) == 0)
    except Exception:  # noqa: BLE001 - what can't be read or counted is found where it is parked
        return False


def idle_in(target: AnyTarget, commits: Iterable[Commit]) -> set[str]:
    """Return the streams of which no commit adds anything to a tally's counters."""
    streams: dict[str, bool] = {}
    for commit in commits:
        streams[commit.stream] = streams.get(commit.stream, True) and adds_nothing(target, commit)
    return {stream for stream, idle in streams.items() if idle}


def read_marks(lives: Sequence[Live], commits: Sequence[Commit]) -> Marks:
    """Read how far rows have seen the streams of these commits, where a tally follows them too. One read for each 100.

    A mark may be a moment old: then fewer commits seem to follow it, and no more.

    What can't be read is left out: it is found, and dealt with, where it is to be fed.
    """
    marks: Marks = {}
    shared = [live.active for live in lives if live.active.shared]
    for live in lives:
        if not live.active.shared:
            streams = list(dict.fromkeys(one.stream for one in commits if live.active.follows(one.stream)))
            if any(target.follows(stream) for target in shared for stream in streams):
                try:
                    marks[live.active.name] = live.active.read(streams, consistent=False)
                except Exception:  # noqa: BLE001, S112 - as above
                    continue
    return marks


def unbroken(lives: Iterable[Live], marks: Marks, commits: Sequence[Commit]) -> set[str]:
    """Return the streams whose commits follow what the rows have seen, of every read model that has a row of them."""
    by_stream: dict[str, list[Commit]] = defaultdict(list)
    for commit in sorted(commits, key=lambda one: one.version):
        by_stream[commit.stream].append(commit)
    rows = [live.active for live in lives if not live.active.shared]

    def follows_on(target: AnyTarget, stream: str) -> bool:
        seen = version_of(marks.get(target.name, {}).get(stream))
        return first_gap(seen, [one for one in by_stream[stream] if one.version > seen]) is None

    following = {stream: [target for target in rows if target.follows(stream)] for stream in by_stream}
    return {stream for stream, some in following.items() if some and all(follows_on(target, stream) for target in some)}
