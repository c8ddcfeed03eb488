"""The feed: brings every generation of every read model up to date, live and by redrives.

What `generations.py` relies on is kept here and nowhere else: which generations are fed, the active one after the
others, and how far each goes in one run.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import TYPE_CHECKING, NamedTuple, Self

from eventfold.core.errors import EventfoldError, StoreUnavailableError
from eventfold.read_models.idle import idle_in, read_marks, unbroken
from eventfold.read_models.parking import all_generations, read_model_of
from eventfold.read_models.projector import BatchResult
from eventfold.read_models.target import OrderChangedError

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

    from eventfold.core.commit import Commit
    from eventfold.read_models.live import Generations, Live
    from eventfold.read_models.parking import Parked, ParkedStore
    from eventfold.read_models.projector import Limits, ProjectionRunner
    from eventfold.read_models.target import AnyTarget, Mark

PATIENCE = timedelta(minutes=1)
"""How old the commits are that come again where their read model can't be read. Older ones are parked."""

FORGET_AFTER = timedelta(hours=1)
"""How long what is parked under an unknown name is kept: a deployment may just be bringing that read model."""

CHUNK = 100
"""Parked streams that are redriven side by side, in an order that was read anew."""


class UnknownProjectionError(EventfoldError):
    """There is no read model of this name; the message names those that there are."""


class Fed(NamedTuple):
    """What became of one generation, stored under `name`: of commits, or of streams that were redriven."""

    name: str
    active: bool
    commits: Sequence[Commit]
    result: BatchResult


type Report = Callable[[Fed], None]
"""Told of each generation that was fed, for logs and metrics."""


@dataclass(slots=True)
class Redriven:
    """How many streams go on again, and how many stay parked, counted in each generation."""

    redriven: int = 0
    parked: int = 0

    def __iadd__(self, other: Redriven) -> Self:
        """Add another count."""
        self.redriven += other.redriven
        self.parked += other.parked
        return self


class Feed:
    """Feeds read models. `targets` are their first generations."""

    def __init__(
        self,
        targets: Sequence[AnyTarget],
        runner: ProjectionRunner,
        parked: ParkedStore,
        generations: Generations,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._targets = targets
        self._runner = runner
        self._parked = parked
        self._generations = generations
        self._clock = clock

    def project(
        self, commits: Sequence[Commit], streams: Sequence[str] = (), *, report: Report = lambda _: None
    ) -> dict[str, Exception]:
        """Bring every read model up to date with commits, and with all that the event table has of `streams`.

        What can't be projected is parked, each stream in each generation by itself. Read models that can't be read are
        waited for (`PATIENCE`), and then their streams are parked. Returns the streams whose commits have to come
        again, and why: of these nothing is lost, and what they have been applied to drops them as duplicates.
        """
        late = any(commit.at < self._clock() - PATIENCE for commit in commits) or not commits
        failed: dict[str, Exception] = {}
        try:
            lives = self._generations.live(self._targets)
        except Exception as failure:  # noqa: BLE001 - whatever it is, what the batch holds must not get lost
            for target in self._targets:
                name, work = all_generations(target.name), _Work.of(target, commits, streams)
                result = self._set_aside(name, work, failure, late=late)
                report(Fed(name, active=True, commits=work.commits, result=result))
                failed |= result.failed
            return failed
        marks = read_marks(lives, commits)
        followed = unbroken(lives, marks, commits) - set(streams)
        for live in sorted(lives, key=lambda live: not live.active.shared):
            work = _Work.of(live.active, commits, streams)
            if live.active.shared:
                work = work.without(idle_in(live.active, (one for one in work.commits if one.stream in followed)))
                failed |= self._bring(live, work, report, late=late)
            else:  # A row that went on without the tally would hide what that one lacks.
                work = work.without(failed.keys() - followed)
                failed |= self._bring(live, work, report, late=late, known=marks.get(live.active.name))
        return failed

    def redrive(
        self,
        projection: str | None = None,
        stream: str | None = None,
        *,
        report: Report = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Redriven:
        """Replay what is parked from the event table: all, or that of a read model or a generation, or one stream.

        What was parked under a generation or a read model that is gone is forgotten. `stop` ends it between two chunks.

        Raises:
            UnknownProjectionError: no read model has this name.
            StoreUnavailableError: the read models can't be read. All stays parked that has not gone through.
        """
        self.check(projection)
        done = Redriven()
        for chunk in batched(self._parked.listed(), CHUNK, strict=False):
            lives = self._generations.live(self._targets, max_age=0)  # after the list: what it names is known by now
            chosen = [one for one in chunk if projection in _names(one) and stream in {None, one.stream}]
            for live in lives:
                done += self._redrive(live, chosen, report)
            if projection is stream is None:
                self._forget(chunk, lives)
            if stop():
                break
        return done

    def waiting(self, projection: str | None = None) -> Iterator[Parked]:
        """Yield what is parked: in all generations, or in those of one read model, or in one.

        What nobody feeds is left out, unless it is a read model that the code no longer has, asked for by name, or
        nobody can tell: the generations can't be read.
        """
        if projection is not None and not self._knows(projection):
            yield from self._parked.listed(projection)
            return
        for chunk in batched(self._parked.listed(), CHUNK, strict=False):
            chosen = [one for one in chunk if projection in _names(one)]
            try:
                lives = self._generations.live(self._targets, max_age=0)  # as above
            except StoreUnavailableError:
                yield from chosen
            else:
                fed = {name for live in lives for name in live.names}
                yield from (one for one in chosen if one.projection in fed)

    def check(self, projection: str | None) -> None:
        """Refuse a name that no read model has: a slip of the pen must not look like "nothing is parked".

        Raises:
            UnknownProjectionError: none has it.
        """
        if projection is not None and not self._knows(projection):
            names = ", ".join(sorted(target.name for target in self._targets))
            raise UnknownProjectionError(f"There is no projection {projection!r}; there are: {names}.")

    def _bring(
        self, live: Live, work: _Work, report: Report, *, late: bool, known: Mapping[str, Mark] | None = None
    ) -> dict[str, Exception]:
        """Bring a read model's generations up to date; return the streams that failed, and why.

        Where the order has changed meanwhile, what is left goes on at once in the new one: the generations that were
        fed already must not be ahead of the others for long.
        """
        failed = self._in_order(live, work, report, late=late, marks=known)
        changed = {stream for stream, failure in failed.items() if isinstance(failure, OrderChangedError)}
        if not changed:
            return failed
        left = work.without(set(work.names) - changed)
        try:
            (live,) = self._generations.live([live.active.at(1)], max_age=0)
        except StoreUnavailableError as failure:
            again = self._set_aside(all_generations(live.read_model), left, failure, late=True).failed
        else:
            again = self._in_order(live, left, report, late=True)
        return {stream: failure for stream, failure in failed.items() if stream not in changed} | again

    def _in_order(
        self, live: Live, work: _Work, report: Report, *, late: bool, marks: Mapping[str, Mark] | None = None
    ) -> dict[str, Exception]:
        """Bring generations up to date one after the other, the active one last; return the streams that failed.

        All go to the same versions, so that the active one goes no further than the others, whatever is committed
        meanwhile. A stream that fails in one is left alone in those behind it. Once one is fed, the others do not wait
        for the batch to come again: what can't be read of them is parked at once.
        """
        failed: dict[str, Exception] = {}
        upto, endless = self._limits(live, work)
        confirm = partial(self._generations.confirm, live)
        for target in live.targets:
            left = work.without(failed)
            known = left.without(endless)
            result = self._runner.park(target.name, {one: endless[one] for one in left.names if one in endless})
            read = marks if target is live.active and not known.streams else None
            try:
                result += self._runner.run(target, known.commits, known.streams, upto=upto, confirm=confirm, known=read)
            except StoreUnavailableError as failure:
                result += self._set_aside(target.name, known, failure, late=late)
            report(Fed(target.name, target is live.active, left.commits, result))
            failed |= result.failed
            if result.parked and target is not live.active:
                failed |= self._tell(live, result)
            late = True
        return failed

    def _tell(self, live: Live, result: BatchResult) -> Mapping[str, Exception]:
        """Let a promotion that is under way know what was parked; what it can't know of, the active one waits with."""
        try:
            self._generations.count_parking(live.read_model)
        except Exception as failure:  # noqa: BLE001 - whatever it is, the batch comes again
            return dict.fromkeys(result.parked, failure)
        return {}

    def _limits(self, live: Live, work: _Work) -> tuple[Limits, Mapping[str, Exception]]:
        """Return which version each stream is brought to, or why that can't be told. A lone generation has no limit."""
        if len(live.targets) == 1:
            return {}, {}
        ends, endless = self._runner.ends(work.streams)
        for commit in work.commits:
            ends[commit.stream] = max(ends.get(commit.stream, 0), commit.last_version)
        return ends, endless

    def _set_aside(self, name: str, work: _Work, failure: Exception, *, late: bool) -> BatchResult:
        """Park streams of which nothing can be read; let them come again while that is young."""
        failures = dict.fromkeys(work.names, failure)
        return self._runner.park(name, failures) if late else BatchResult(failed=failures)

    def _redrive(self, live: Live, chosen: Sequence[Parked], report: Report) -> Redriven:
        mine = [one for one in chosen if one.projection in live.names]
        done = Redriven()

        def count(fed: Fed) -> None:
            report(fed)
            done.redriven += len(fed.result.released)
            done.parked += len(fed.result.parked)

        if mine:
            streams = list(dict.fromkeys(one.stream for one in mine))
            failed = self._bring(live, _Work([], streams), count, late=False)
            for failure in failed.values():
                if not isinstance(failure, OrderChangedError):
                    raise failure
            everywhere = [one for one in mine if one.projection == all_generations(live.read_model)]
            done.redriven += sum(self._parked.release(one) for one in everywhere if one.stream not in failed)
        return done

    def _forget(self, parked: Iterable[Parked], lives: Iterable[Live]) -> None:
        fed = {name for live in lives for name in live.names}
        long_ago = self._clock() - FORGET_AFTER
        for one in parked:
            if one.projection not in fed and (self._knows(one.projection) or one.since < long_ago):
                self._parked.release(one)

    def _knows(self, projection: str) -> bool:
        return read_model_of(projection) in {target.name for target in self._targets}


@dataclass(frozen=True, slots=True)
class _Work:
    """What a read model is to be brought up to date with."""

    commits: Sequence[Commit]
    streams: Sequence[str]

    @classmethod
    def of(cls, target: AnyTarget, commits: Iterable[Commit], streams: Iterable[str]) -> Self:
        """Choose what a read model follows."""
        return cls(
            [one for one in commits if target.follows(one.stream)], [one for one in streams if target.follows(one)]
        )

    @property
    def names(self) -> list[str]:
        """The streams, each once."""
        return list(dict.fromkeys([*(commit.stream for commit in self.commits), *self.streams]))

    def without(self, streams: Container[str]) -> _Work:
        """Leave streams out."""
        commits = [one for one in self.commits if one.stream not in streams]
        return _Work(commits, [one for one in self.streams if one not in streams])


def _names(parked: Parked) -> set[str | None]:
    """Return by which names a stream is asked for that is parked: any, its generation's, its read model's."""
    return {None, parked.projection, read_model_of(parked.projection)}
