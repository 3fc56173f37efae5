"""How permitted deployments are ordered: one pure function a strategy, in a typed table."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from signalbox.core.snapshot import Deployment

Strategy = Callable[[Sequence[Deployment]], list[Deployment]]


def fixed(candidates: Sequence[Deployment]) -> list[Deployment]:
    """The order in which the workload lists its placements."""
    return list(candidates)


def cheapest(candidates: Sequence[Deployment]) -> list[Deployment]:
    """By price, input weighted 3 to 1 over output (a common mix); the unpriced last, ties in listed order."""
    return sorted(candidates, key=_dearness)


def _dearness(deployment: Deployment) -> tuple[bool, float]:
    rates = deployment.rates
    top, bottom = rates.share or (1, 1)
    return not rates.priced, (3 * rates.tokens_in + rates.tokens_out) * top / bottom


STRATEGIES: dict[str, Strategy] = {
    "fixed": fixed,
    "cheapest": cheapest,
}
