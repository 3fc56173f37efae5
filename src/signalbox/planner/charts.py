"""Charts as inline SVG, drawn from numbers and nothing else: no script, no font, no file beside the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from msgspec import Struct

WIDTH = 760
LABEL = 240
ROW = 24
MAIN, SOFT, ACCENT, GRID = "#1f6f6b", "#b9d8d5", "#c2562d", "#d8d8d4"


class Bar(Struct, frozen=True):
    """low, value, high: a bar to `value` with a whisker from low to high."""

    label: str
    value: float
    low: float
    high: float
    strong: bool = False


def money(value: float) -> str:
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:,.3g}{unit}"
    return f"{value:,.3g}"


def _svg(height: float, body: list[str], title: str) -> str:
    return (
        f"<figure><figcaption>{escape(title)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg></figure>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def bars(rows: Sequence[Bar], title: str, unit: str = "") -> str:
    """Horizontal bars with whiskers, on one scale. unit: written behind each number."""
    most = max((max(row.high, row.value) for row in rows), default=0.0) or 1.0
    scale = (WIDTH - LABEL - 90) / most
    body: list[str] = []
    for at, row in enumerate(rows):
        y = at * ROW + 6
        color = MAIN if row.strong else SOFT
        body.append(_text(LABEL - 8, y + 12, row.label[:34], "end"))
        body.append(f'<rect x="{LABEL}" y="{y}" width="{max(1.0, row.value * scale):.1f}" height="15" fill="{color}"/>')
        x1, x2 = LABEL + row.low * scale, LABEL + row.high * scale
        if row.low < row.high:
            body.append(f'<path d="M{x1:.1f} {y + 7.5}H{x2:.1f}M{x1:.1f} {y + 3}v9M{x2:.1f} {y + 3}v9" stroke="#333"/>')
        body.append(_text(max(x2, LABEL + row.value * scale) + 6, y + 12, money(row.value) + unit))
    return _svg(len(rows) * ROW + 12, body, title)


def tornado(rows: Sequence[tuple[str, float, float]], middle: float, title: str) -> str:
    """(driver, cost at its P10, cost at its P90) about the plan's cost."""
    low = min([middle, *(min(row[1:]) for row in rows)])
    high = max([middle, *(max(row[1:]) for row in rows)])
    span = (high - low) or 1.0
    scale = (WIDTH - LABEL - 130) / span
    at_middle = LABEL + (middle - low) * scale
    body = [f'<path d="M{at_middle:.1f} 0V{len(rows) * ROW + 8}" stroke="{GRID}"/>']
    for at, (label, down, up) in enumerate(rows):
        y = at * ROW + 6
        body.append(_text(LABEL - 8, y + 12, label[:34], "end"))
        for value, color in ((down, SOFT), (up, MAIN)):
            x = LABEL + (value - low) * scale
            left, width = min(x, at_middle), max(0.5, abs(x - at_middle))
            body.append(f'<rect x="{left:.1f}" y="{y}" width="{width:.1f}" height="15" fill="{color}"/>')
        body.append(
            _text(LABEL + (max(down, up) - low) * scale + 6, y + 12, f"{money(down)} to {money(up)}", "start", "s")
        )
    return _svg(len(rows) * ROW + 12, body, title)


def lines(
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    title: str,
    *,
    x_label: str,
    y_label: str,
    log_x: bool = False,
    mark_y: float | None = None,
    mark_x: Sequence[tuple[float, str]] = (),
) -> str:
    """Lines over one another. mark_y: a level such as capacity. mark_x: named places on the x axis."""
    height, left, bottom, above = 316.0, 70.0, 44.0, 30.0
    points = [point for _, line in series for point in line]
    if not points:
        return ""
    xs = [math.log10(max(x, 1e-9)) if log_x else x for x, _ in points]
    low, high = min(xs), max(max(xs), min(xs) + 1e-9)
    top = max([y for _, y in points] + ([mark_y] if mark_y else [])) * 1.08 or 1.0

    def place(x: float, y: float) -> tuple[float, float]:
        value = math.log10(max(x, 1e-9)) if log_x else x
        return (
            left + (value - low) / (high - low) * (WIDTH - left - 130),
            height - bottom - min(y / top, 1.0) * (height - bottom - above),
        )

    body = [
        f'<path d="M{left} {above}V{height - bottom}H{WIDTH - 130}" stroke="#555" fill="none"/>',
        _text(left, height - 8, x_label),
        _text(left, 12, y_label, "start", "s"),
    ]
    for part in (0.25, 0.5, 0.75, 1.0):
        _, y = place(10**low if log_x else low, top * part)
        body.append(f'<path d="M{left} {y:.1f}H{WIDTH - 130}" stroke="{GRID}"/>')
        body.append(_text(left - 6, y + 4, money(top * part), "end", "s"))
    for tick in range(5):
        value = low + (high - low) * tick / 4
        shown = 10**value if log_x else value
        x, _ = place(shown, 0)
        body.append(_text(x, height - bottom + 16, money(shown), "middle", "s"))
    if mark_y is not None:
        _, y = place(10**low if log_x else low, mark_y)
        body.append(f'<path d="M{left} {y:.1f}H{WIDTH - 130}" stroke="{ACCENT}" stroke-dasharray="5 4"/>')
    for x_value, name in mark_x:
        x, _ = place(x_value, 0)
        body.append(f'<path d="M{x:.1f} {above}V{height - bottom}" stroke="{ACCENT}" stroke-dasharray="2 3"/>')
        body.append(_text(x + 4, above + 10, name, "start", "s"))
    for at, (name, line) in enumerate(series):
        shade = (MAIN, ACCENT, "#6b6bb0", "#8a7a1f", "#777777", "#b03060")[at % 6]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        body.append(f'<polyline points="{path}" fill="none" stroke="{shade}" stroke-width="2"/>')
        x, y = place(*line[-1])
        at_x, at_y = min(x, WIDTH - 126) + 4, y + 4 + at * 12
        body.append(f'<text x="{at_x:.1f}" y="{at_y:.1f}" fill="{shade}">{escape(name[:18])}</text>')
    return _svg(height, body, title)
