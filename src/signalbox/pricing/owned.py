"""GPUs of one's own: what they cost by the hour, whether anybody uses them or not. Exact, in fractions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

from signalbox.core.days import HOUR_MS


class Step(msgspec.Struct, frozen=True):
    """What is held from a moment on (Unix milliseconds): GPUs, over all replicas, at pico-dollars an hour each, times a
    fraction that contracts leave. No GPUs: nothing is. idle_ms: how long after its last call the replicas are taken
    away; 0 for never, and then they are held whether anybody calls or not."""

    from_ms: int
    gpus: int
    hour_pico: int
    share: tuple[int, int] = (1, 1)
    idle_ms: int = 0


class Holding(msgspec.Struct, frozen=True):
    """What one configuration says of a deployment, from when it was in force. steps: by the dates of its prices."""

    since_ms: int
    steps: tuple[Step, ...]


# Since when and until when calls ran, in order and without overlap.
Busy = Sequence[tuple[int, int]]


def gpu_ms(holdings: Sequence[Holding], start_ms: int, end_ms: int, busy: Busy = ()) -> int:
    """How many milliseconds of GPUs were held between two moments. busy: calls in that time and before it."""
    pieces = _pieces(holdings, start_ms, end_ms)
    return sum(step.gpus * _up_ms(step, since, until, busy) for step, since, until in pieces)


def owed_pico(holdings: Sequence[Holding], start_ms: int, end_ms: int, busy: Busy = ()) -> int:
    """What they cost: GPU-hours × price. A fraction of a pico-dollar is rounded up, once, at the end."""
    total = Fraction(0)
    for step, since, until in _pieces(holdings, start_ms, end_ms):
        held_ms = _up_ms(step, since, until, busy)
        total += Fraction(step.gpus * step.hour_pico * held_ms, HOUR_MS) * Fraction(*step.share)
    return -(-total.numerator // total.denominator)


def _up_ms(step: Step, since: int, until: int, busy: Busy) -> int:
    """For how long of a time replicas are there: from the beginning of each call to `idle_ms` after its end."""
    if not step.idle_ms:
        return until - since
    total, reached = 0, since
    for begun, ended in busy:
        up, down = max(reached, begun), min(until, ended + step.idle_ms)
        if up < down:
            total += down - up
            reached = down
    return total


def merged(calls: Iterable[tuple[int, int]], gap_ms: int) -> list[tuple[int, int]]:
    """The same time with fewer pieces: calls with no more than a gap between them are one. In order of beginnings."""
    found: list[tuple[int, int]] = []
    for begun, ended in calls:
        if found and begun <= found[-1][1] + gap_ms:
            found[-1] = (found[-1][0], max(found[-1][1], ended))
        else:
            found.append((begun, ended))
    return found


def _pieces(holdings: Sequence[Holding], start_ms: int, end_ms: int) -> list[tuple[Step, int, int]]:
    """(what was held, from, until) without gap or overlap, within two moments."""
    found: list[tuple[Step, int, int]] = []
    ends = [after.since_ms for _, after in pairwise(holdings)] + [end_ms]
    for holding, end in zip(holdings, ends, strict=True):
        begun, over = max(start_ms, holding.since_ms), min(end_ms, end)
        until = [after.from_ms for _, after in pairwise(holding.steps)] + [over]
        for step, stop in zip(holding.steps, until, strict=False):  # nothing is held where there are no steps
            since, stop = max(begun, step.from_ms), min(over, stop)
            if since < stop:
                found.append((step, since, stop))
    return found
