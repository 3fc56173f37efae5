"""The track diagram of the overview: workloads left, environments right, tracks as wide as their traffic. Geometry
only; the template draws it."""

from __future__ import annotations

from math import sqrt

import msgspec

from signalbox.control.readings.overview import Overview, Place

TOP, ROW = 40, 52
WIDTH_MIN, WIDTH_MAX = 2.0, 16.0
# Where along its track the signal of a closed route stands: each next one of a workload farther on.
SIGNAL_STEP, SIGNAL_AT_MAX = 0.09, 0.7


class Ground(msgspec.Struct, frozen=True):
    """Where on a drawing of this width the stations and the platforms stand. Where it is narrow, names stand above
    them instead of beside. signal_at: where along its track the first signal of a workload stands, clear of names.
    name_em: room for a name, in widths of an em."""

    width: int
    left: int
    right: int
    signal_at: float
    name_em: float
    narrow: bool = False


WIDE = Ground(960, 236, 716, 0.24, 15.5)
NARROW = Ground(340, 12, 326, 0.47, 11.0, narrow=True)


class Stop(msgspec.Struct, frozen=True):
    """A workload or an environment, with its row's height."""

    name: str
    y: float
    attempts: int
    refused: int = 0
    kind: str = ""
    region: str = ""


class Track(msgspec.Struct, frozen=True):
    """path: SVG path data. bad: a share of its attempts failed that deserves a look."""

    path: str
    width: float
    workload: str
    environment: str
    attempts: int
    cost_pico: int
    bad: bool


class Signal(msgspec.Struct, frozen=True):
    """A closed route: its dotted track, and where its signal stands."""

    path: str
    x: float
    y: float
    workload: str
    environment: str
    rules: tuple[str, ...]


class Diagram(msgspec.Struct, frozen=True):
    ground: Ground
    height: int
    workloads: list[Stop]
    environments: list[Stop]
    tracks: list[Track]
    signals: list[Signal]


def diagram(overview: Overview, ground: Ground = WIDE) -> Diagram:
    rows = max(len(overview.workloads), len(overview.places), 1)
    left = _ys(len(overview.workloads), rows)
    right = _ys(len(overview.places), rows)
    from_y = dict(zip(overview.workloads, left, strict=True))
    to_y = dict(zip((place.name for place in overview.places), right, strict=True))
    most = max((flow.attempts for flow in overview.flows), default=1)
    tracks = [
        Track(
            _path(ground, from_y[flow.workload], to_y[flow.environment]),
            round(WIDTH_MIN + (WIDTH_MAX - WIDTH_MIN) * sqrt(flow.attempts / most), 1),
            flow.workload,
            flow.environment,
            flow.attempts,
            flow.cost_pico,
            flow.failed * 20 > flow.attempts,
        )
        for flow in reversed(overview.flows)
        if flow.workload in from_y and flow.environment in to_y
    ]
    signals: list[Signal] = []
    for one in overview.closed:
        if one.workload in from_y and one.environment in to_y:
            ends = from_y[one.workload], to_y[one.environment]
            earlier = sum(other.workload == one.workload for other in signals)
            x, y = _along(ground, *ends, min(ground.signal_at + SIGNAL_STEP * earlier, SIGNAL_AT_MAX))
            signals.append(Signal(_path(ground, *ends), x, y, one.workload, one.environment, one.rules))
    used = {name: sum(flow.attempts for flow in overview.flows if flow.workload == name) for name in from_y}
    came = {name: sum(flow.attempts for flow in overview.flows if flow.environment == name) for name in to_y}
    workloads = [Stop(name, y, used[name], overview.refused.get(name, 0)) for name, y in from_y.items()]
    environments = [_platform(place, to_y[place.name], came[place.name]) for place in overview.places]
    return Diagram(ground, TOP + rows * ROW, workloads, environments, tracks, signals)


def _platform(place: Place, y: float, attempts: int) -> Stop:
    return Stop(place.name, y, attempts, kind=place.kind, region=place.region)


def _ys(count: int, rows: int) -> list[float]:
    """Rows spread over the height that the longer side needs."""
    gap = rows * ROW / max(count, 1)
    return [round(TOP + gap * (place + 0.5), 1) for place in range(count)]


def _path(ground: Ground, from_y: float, to_y: float) -> str:
    middle = (ground.left + ground.right) / 2
    return f"M{ground.left} {from_y} C{middle:g} {from_y} {middle:g} {to_y} {ground.right} {to_y}"


def _along(ground: Ground, from_y: float, to_y: float, t: float) -> tuple[float, float]:
    """The point of that curve at a share of it."""
    middle = (ground.left + ground.right) / 2
    a, b, c, d = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    x = a * ground.left + b * middle + c * middle + d * ground.right
    return round(x, 1), round((a + b) * from_y + (c + d) * to_y, 1)
