"""Line charts as SVG, without a library: panels one below the other, readable on light and dark backgrounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, PANEL, LEFT, RIGHT, TOP, BOTTOM = 760, 220, 84, 36, 40, 36
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}
.grid{stroke:#d0d7de;stroke-width:1}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.s0{stroke:#0969da;fill:#0969da}.s1{stroke:#bc4c00;fill:#bc4c00}.s2{stroke:#1a7f37;fill:#1a7f37}
.s3{stroke:#8250df;fill:#8250df}.back{fill:#ffffff}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#3d444d}.back{fill:#0d1117}
.s0{stroke:#4493f8;fill:#4493f8}.s1{stroke:#f0883e;fill:#f0883e}.s2{stroke:#3fb950;fill:#3fb950}
.s3{stroke:#ab7df8;fill:#ab7df8}}
.line{fill:none}
"""
_TICKS = 4


@dataclass(frozen=True)
class Series:
    """A line: its name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """A diagram: its title says what the values are, in which unit. On a log scale, all are above zero."""

    title: str
    series: Sequence[Series]
    x_title: str = "seconds"
    log: bool = False
    log_x: bool = False


def svg(panels: Sequence[Panel], description: str) -> str:
    """Return the chart. `description` is what a screen reader says."""
    height = len(panels) * (PANEL + TOP + BOTTOM)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(description)}</title><style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, number * (PANEL + TOP + BOTTOM) + TOP)
    return "\n".join([*parts, "</svg>", ""])


class _Axis:
    """Maps values to places between two pixels. A logarithmic one has a tick at each power of ten."""

    def __init__(self, values: Sequence[float], pixels: tuple[float, float], *, log: bool = False) -> None:
        self._start, self._end = pixels
        self._log = log
        if log:
            powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) - 1e-9) + 1)
            self.ticks = [10.0**power for power in powers]
        else:
            step = _nice(max([*values, 1e-9]) / _TICKS)
            self.ticks = [step * n for n in range(math.ceil(max([*values, 1e-9]) / step) + 1)]
        self.low, self.high = self._place(self.ticks[0]), self._place(self.ticks[-1])

    def __call__(self, value: float) -> float:
        """Return where a value lies."""
        return round(
            self._start + (self._place(value) - self.low) / ((self.high - self.low) or 1) * (self._end - self._start), 1
        )

    def _place(self, value: float) -> float:
        return math.log10(value) if self._log else value


def _nice(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= step * (1 - 1e-9))


def _panel(panel: Panel, top: float) -> Iterator[str]:
    points = [point for one in panel.series for point in one.points]
    x = _Axis([x for x, _ in points] or [1.0], (LEFT, WIDTH - RIGHT), log=panel.log_x)
    y = _Axis([value for _, value in points] or [1.0], (top + PANEL, top), log=panel.log)
    yield f'<text class="title" x="{LEFT}" y="{top - 22}">{escape(panel.title)}</text>'
    yield from _legend(panel.series, top - 8)
    for tick in y.ticks:
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick)}" y2="{y(tick)}"/>'
        yield f'<text x="{LEFT - 6}" y="{y(tick) + 4}" text-anchor="end">{tick:,.10g}</text>'
    for tick in x.ticks:
        yield f'<text x="{x(tick)}" y="{top + PANEL + 16}" text-anchor="middle">{tick:,.10g}</text>'
    yield f'<text x="{WIDTH - RIGHT}" y="{top + PANEL + 30}" text-anchor="end">{escape(panel.x_title)}</text>'
    for number, one in enumerate(panel.series):
        path = " ".join(f"{x(at)},{y(value)}" for at, value in one.points)
        yield f'<polyline class="line s{number}" points="{path}"/>'


def _legend(series: Sequence[Series], y: float) -> Iterator[str]:
    left = LEFT
    for number, one in enumerate(series):
        yield f'<rect class="s{number}" x="{left}" y="{y - 8}" width="10" height="10"/>'
        yield f'<text x="{left + 15}" y="{y + 1}">{escape(one.name)}</text>'
        left += 30 + 7 * len(one.name)
