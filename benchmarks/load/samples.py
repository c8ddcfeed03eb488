"""What a run of the load has seen: its answers, its lags, its CPU time; and figures of them."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field, TypeAdapter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PROBE = "probe: "


class Sent(BaseModel, frozen=True):
    """A command under its idempotency key; `version` is what it was answered, where the answer names one."""

    key: str
    method: Literal["POST", "PATCH", "DELETE"]
    id: str | None
    body: dict[str, str] | None
    version: int | None = None


class Answer(BaseModel, frozen=True):
    """One answer over HTTP. `at` is when it was asked for (epoch seconds), `word` what it counts as."""

    kind: Literal["answer"]
    route: str
    at: float
    seconds: float
    status: int
    word: Literal["ok", "expected", "error"]
    detail: str
    command: Sent | None

    @property
    def is_probe(self) -> bool:
        """Whether the lag probe asked, and not the mix."""
        return self.route.startswith(PROBE)


class Lag(BaseModel, frozen=True):
    """From an append's answer (`at`) to the answer that showed it in the read model."""

    kind: Literal["lag"]
    at: float
    seconds: float


class Cpu(BaseModel, frozen=True):
    """CPU seconds used so far."""

    kind: Literal["cpu"]
    at: float
    emulator: float
    functions: float
    client: float


_LINE: TypeAdapter[Answer | Lag | Cpu] = TypeAdapter(Annotated[Answer | Lag | Cpu, Field(discriminator="kind")])


@dataclass(frozen=True)
class Samples:
    """All that one run noted, in order of time."""

    answers: list[Answer]
    lags: list[Lag]
    cpu: list[Cpu]

    @property
    def mix(self) -> list[Answer]:
        """The answers that the mix got, without the probe's."""
        return [one for one in self.answers if not one.is_probe]

    @property
    def errors(self) -> list[Answer]:
        """The answers that should not have been, the probe's among them."""
        return [one for one in self.answers if one.word == "error"]

    @property
    def began(self) -> float:
        """When the first request was sent, in epoch seconds."""
        return min(one.at for one in self.answers)

    @property
    def seconds(self) -> float:
        """From the first request of the mix to its last answer."""
        return max(one.at + one.seconds for one in self.mix) - self.began

    def by_route(self) -> dict[str, list[Answer]]:
        """Return the mix's answers by route."""
        routes: dict[str, list[Answer]] = defaultdict(list)
        for one in self.mix:
            routes[one.route].append(one)
        return dict(sorted(routes.items()))


def read_samples(file: Path) -> Samples:
    """Read what the load wrote. A line that a killed load left unfinished is an error: it would hide a request.

    Raises:
        pydantic.ValidationError: a line is not as the load writes it.
    """
    lines = [_LINE.validate_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    lines.sort(key=lambda one: one.at)
    return Samples(
        [one for one in lines if isinstance(one, Answer)],
        [one for one in lines if isinstance(one, Lag)],
        [one for one in lines if isinstance(one, Cpu)],
    )


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the nearest-rank percentile: the least value that at least `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def milliseconds(values: Sequence[float], percent: float) -> float:
    """Return a percentile of seconds in milliseconds; not a number where there is no value."""
    return percentile(values, percent) * 1000 if values else math.nan
