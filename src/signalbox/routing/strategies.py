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


# Whose own machines come first: what still serves when the way out is down.
_NEARNESS = {"edge": 0, "on-prem": 1, "private-cloud": 2, "cloud": 3}


def edge_first(candidates: Sequence[Deployment]) -> list[Deployment]:
    """The nearest first: edge, on-prem, private cloud, cloud; in listed order where they are equally near."""
    return sorted(candidates, key=lambda d: _NEARNESS[d.environment.kind])


STRATEGIES: dict[str, Strategy] = {
    "fixed": fixed,
    "cheapest": cheapest,
    "overflow": fixed,  # and past those that are full, which is found out at each call
    "edge-first": edge_first,
}
