"""GPUs of one's own: what they cost by the hour, whether anybody uses them or not. Exact, in fractions."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import msgspec

HOUR_MS = 3_600_000


class Step(msgspec.Struct, frozen=True):
    """What is held from a moment on (Unix milliseconds): GPUs, over all replicas, at pico-dollars an hour each, times a
    fraction that contracts leave. No GPUs: nothing is."""

    from_ms: int
    gpus: int
    hour_pico: int
    share: tuple[int, int] = (1, 1)


class Holding(msgspec.Struct, frozen=True):
    """What one configuration says of a deployment, from when it was in force. steps: by the dates of its prices."""

    since_ms: int
    steps: tuple[Step, ...]


def gpu_ms(holdings: Sequence[Holding], start_ms: int, end_ms: int) -> int:
    """How many milliseconds of GPUs were held between two moments."""
    return sum(step.gpus * (until - since) for step, since, until in _pieces(holdings, start_ms, end_ms))


def owed_pico(holdings: Sequence[Holding], start_ms: int, end_ms: int) -> int:
    """What they cost: GPU-hours × price. A fraction of a pico-dollar is rounded up, once, at the end."""
    total = Fraction(0)
    for step, since, until in _pieces(holdings, start_ms, end_ms):
        total += Fraction(step.gpus * step.hour_pico * (until - since), HOUR_MS) * Fraction(*step.share)
    return -(-total.numerator // total.denominator)


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
