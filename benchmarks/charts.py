"""Bar charts as SVG, without a library: readable on light and dark backgrounds."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDTH, LEFT, RIGHT, BAR, GAP, TOP, BOTTOM = 760, 200, 110, 14, 6, 34, 14
_STYLE = """
text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}
.back{fill:#ffffff}.ours{fill:#0969da}.peer{fill:#8c959f}.wrong{fill:#d1242f}.one{stroke:#24292f;stroke-dasharray:3 3}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.back{fill:#0d1117}.ours{fill:#4493f8}.peer{fill:#6e7681}
.wrong{fill:#f85149}.one{stroke:#e6edf3}}
"""


@dataclass(frozen=True)
class Bar:
    """One bar. `kind` is its class: `ours`, `peer` or `wrong`; `label` stands behind it."""

    name: str
    value: float
    kind: str
    label: str


@dataclass(frozen=True)
class Panel:
    """Bars on one scale; `mark` draws a line at a value."""

    title: str
    bars: Sequence[Bar]
    mark: float | None = None

    @property
    def height(self) -> int:
        """In pixels."""
        return TOP + len(self.bars) * (BAR + GAP) + BOTTOM


def svg(panels: Sequence[Panel], description: str) -> str:
    """Return the chart. `description` is what a screen reader says."""
    height = sum(panel.height for panel in panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(description)}</title><style>{_STYLE}</style>",
        f'<rect class="back" width="{WIDTH}" height="{height}"/>',
    ]
    top = 0
    for panel in panels:
        parts += _panel(panel, top)
        top += panel.height
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, top: int) -> Iterator[str]:
    scale = (WIDTH - LEFT - RIGHT) / max([bar.value for bar in panel.bars] + [panel.mark or 0, 1e-9])
    yield f'<text class="title" x="8" y="{top + 22}">{escape(panel.title)}</text>'
    for number, bar in enumerate(panel.bars):
        y = top + TOP + number * (BAR + GAP)
        long = max(bar.value * scale, 1)
        yield f'<text x="{LEFT - 8}" y="{y + BAR - 2}" text-anchor="end">{escape(bar.name)}</text>'
        yield f'<rect class="{bar.kind}" x="{LEFT}" y="{y}" width="{long:.1f}" height="{BAR}" rx="2"/>'
        yield f'<text x="{LEFT + long + 6:.1f}" y="{y + BAR - 2}">{escape(bar.label)}</text>'
    if panel.mark is not None:
        x = LEFT + panel.mark * scale
        end = top + TOP + len(panel.bars) * (BAR + GAP)
        yield f'<line class="one" x1="{x:.1f}" x2="{x:.1f}" y1="{top + TOP - 4}" y2="{end}"/>'
