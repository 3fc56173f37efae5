"""When deployments went out of use and came back, as this supervisor saw it: the last changes of each, in memory.

Workers tell how many replicas are out of use whenever metrics are collected, which alerts do every ten seconds and each
look at a page besides. What opens and closes between two looks is in the ledger's attempts, not here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import msgspec

from signalbox.telemetry.metrics import Metrics

CHANGES_MAX = 50
DEPLOYMENTS_MAX = 2000
_GAUGE = "signalbox_replicas_out_of_use"


class Change(msgspec.Struct, frozen=True):
    """out: replicas that got no calls from then on, over all workers; 0 when all were in service again."""

    time_ms: int
    out: int


class Breakers:
    """now_ms: the clock. The first look at a deployment is a change only when something is out of use."""

    def __init__(self, now_ms: Callable[[], int]) -> None:
        self._now_ms = now_ms
        self._changes: dict[str, deque[Change]] = {}

    def see(self, total: Metrics) -> None:
        """Notes what differs from the last look."""
        now_ms = self._now_ms()
        told: dict[str, int] = {}
        for labels, values in total.by_name().get(_GAUGE, []):
            told[labels[0]] = told.get(labels[0], 0) + int(values[0])
        for name, out in told.items():
            changes = self._changes.get(name)
            if changes is None:
                if not out or len(self._changes) >= DEPLOYMENTS_MAX:
                    continue
                changes = self._changes[name] = deque(maxlen=CHANGES_MAX)
            if not changes or changes[-1].out != out:
                changes.append(Change(now_ms, out))

    def of(self, deployment: str) -> tuple[Change, ...]:
        """The newest first."""
        return tuple(reversed(self._changes.get(deployment, ())))
