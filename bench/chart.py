"""Charts as SVG: bars of contenders side by side, and curves of a growing size.

Written out by hand, because they are committed: equal figures make equal bytes, a diff can be read,
and each follows its reader's light or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import attrs

__all__ = ["Bar", "Panel", "Point", "bars", "curves", "short"]

WIDTH = 720
LEFT = 180
BAR = 18
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #333 }
.title { font-weight: 600 }
.small { font-size: 11px; fill: #666 }
.bar { fill: #b5b9c4 } .ours { fill: #2f6fde }
.error, .grid { stroke: #8886; stroke-width: 1 }
.error { stroke: #444 }
.c0 { stroke: #2f6fde; fill: #2f6fde } .c1 { stroke: #d9822b; fill: #d9822b }
.c2 { stroke: #3a9d5d; fill: #3a9d5d } .c3 { stroke: #a64ac9; fill: #a64ac9 }
.line { fill: none; stroke-width: 2 }
text.c0, text.c1, text.c2, text.c3 { stroke: none }
@media (prefers-color-scheme: dark) {
text { fill: #ddd } .small { fill: #aaa } .error { stroke: #bbb } .bar { fill: #6b7080 }
}
"""


@attrs.frozen
class Bar:
    """One contender; `low` and `high` are its interval."""

    label: str
    value: float
    low: float
    high: float
    ours: bool = False


@attrs.frozen
class Panel:
    """One contest: bars on a scale of their own."""

    title: str
    unit: str
    bars: Sequence[Bar]


@attrs.frozen
class Point:
    """One size of a curve."""

    at: float
    value: float
    low: float
    high: float


def short(value: float, unit: str) -> str:
    """An amount in few characters: ``1.9 M/s``, ``134 ns``."""
    if unit == "/s":
        for size, letter in ((1e6, " M"), (1e3, " k")):
            if value >= size:
                return f"{_digits(value / size)}{letter}/s"
        return f"{_digits(value)}/s"
    for name, larger, factor in (
        ("ns", "us", 1e4),
        ("us", "ms", 1e4),
        ("ms", "s", 1e4),
        ("B", "KiB", 1e4),
    ):
        if unit == name and value >= factor:
            return short(value / (1024 if unit == "B" else 1000), larger)
    return f"{_digits(value)} {'µs' if unit == 'us' else unit}"


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"


def bars(panels: Sequence[Panel]) -> str:
    """`panels` below each other."""
    parts: list[str] = []
    y = 8
    room = WIDTH - LEFT - 110
    for panel in panels:
        y += 18
        parts.append(f'<text class="title" x="8" y="{y}">{escape(panel.title)}</text>')
        y += 8
        most = max((max(bar.value, bar.high) for bar in panel.bars), default=1.0) or 1.0
        for bar in panel.bars:
            width = max(1.0, room * bar.value / most)
            kind = "ours" if bar.ours else "bar"
            middle = y + BAR / 2
            parts += [
                f'<text x="{LEFT - 8}" y="{middle + 4:g}" text-anchor="end">'
                f"{escape(bar.label)}</text>",
                f'<rect class="{kind}" x="{LEFT}" y="{y + 2}" width="{width:.1f}" '
                f'height="{BAR - 4}" rx="2"/>',
            ]
            low, high = (LEFT + room * end / most for end in (bar.low, bar.high))
            if high - low >= 1:
                parts.append(
                    f'<line class="error" x1="{low:.1f}" y1="{middle:g}" '
                    f'x2="{high:.1f}" y2="{middle:g}"/>'
                )
            parts.append(
                f'<text class="small" x="{max(LEFT + width, high) + 6:.1f}" y="{middle + 4:g}">'
                f"{short(bar.value, panel.unit)}</text>"
            )
            y += BAR
        y += 8
    return _svg(y, "; ".join(panel.title for panel in panels), parts)


def curves(title: str, axis: str, unit: str, series: Mapping[str, Sequence[Point]]) -> str:
    """The lines of `series` over `axis`, both scales logarithmic.

    Raises:
        ValueError: there is no point, or one that is not positive.
    """
    points = [point for line in series.values() for point in line]
    if not points or any(point.at <= 0 or point.value <= 0 for point in points):
        raise ValueError(f"the chart {title!r} needs points with positive numbers, got {points}")
    left, top, right, bottom = 74, 34, WIDTH - 130, 264
    across = _scale([point.at for point in points], left, right)
    up = _scale([point.value for point in points], bottom, top)
    parts = [f'<text class="title" x="8" y="20">{escape(title)}</text>']
    for decade in across.decades():
        x = across(decade)
        parts += [
            f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>',
            f'<text class="small" x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{_count(decade)}</text>",
        ]
    for decade in up.decades():
        y = up(decade)
        parts += [
            f'<line class="grid" x1="{left}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>',
            f'<text class="small" x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{short(decade, unit)}</text>",
        ]
    parts.append(
        f'<text class="small" x="{(left + right) / 2:g}" y="{bottom + 34}" text-anchor="middle">'
        f"{escape(axis)}</text>"
    )
    ends: list[float] = []
    for number, (name, line) in enumerate(series.items()):
        color = f"c{number % 4}"
        there = " ".join(f"{across(point.at):.1f},{up(point.value):.1f}" for point in line)
        parts.append(f'<polyline class="line {color}" points="{there}"/>')
        parts += [
            f'<circle class="{color}" cx="{across(point.at):.1f}" '
            f'cy="{up(point.value):.1f}" r="3"/>'
            for point in line
        ]
        end = up(line[-1].value) + 4
        while any(abs(end - other) < 14 for other in ends):
            end += 14
        ends.append(end)
        parts.append(
            f'<text class="{color}" x="{across(line[-1].at) + 8:.1f}" y="{end:.1f}">'
            f"{escape(name)}</text>"
        )
    return _svg(bottom + 44, title, parts)


@attrs.frozen
class _Scale:
    """From a positive number to a place; whole decades at both ends."""

    low: int
    high: int
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + share * (self.end - self.begin)

    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]


def _scale(values: Sequence[float], begin: float, end: float) -> _Scale:
    low = math.floor(math.log10(min(values)))
    return _Scale(low, max(low + 1, math.ceil(math.log10(max(values)))), begin, end)


def _count(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if value >= 1 else f"{value:g}"


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" role="img">',
            f"<title>{escape(title)}</title>",
            f"<style>{STYLE}</style>",
            *parts,
            "</svg>",
            "",
        ]
    )
