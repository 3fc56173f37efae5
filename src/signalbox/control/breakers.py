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
GAUGE = "signalbox_replicas_out_of_use"


class Change(msgspec.Struct, frozen=True):
    """out: replicas that got no calls from then on, over all workers; 0 when all were in service again."""

    time_ms: int
    out: int


class Breakers:
    """now_ms: the clock. changes_max: kept of each deployment. The first look at a deployment is a change only when
    something is out of use."""

    def __init__(self, now_ms: Callable[[], int], changes_max: int = CHANGES_MAX) -> None:
        self._now_ms = now_ms
        self._changes_max = changes_max
        self._changes: dict[str, deque[Change]] = {}

    def see(self, total: Metrics) -> None:
        """Notes what differs from the last look."""
        told: dict[str, int] = {}
        for labels, values in total.by_name().get(GAUGE, []):
            told[labels[0]] = told.get(labels[0], 0) + int(values[0])
        self.note(told)

    def note(self, told: dict[str, int]) -> None:
        """The same with how many replicas of each deployment are out of use now."""
        now_ms = self._now_ms()
        for name, out in told.items():
            changes = self._changes.get(name)
            if changes is None:
                if not out or len(self._changes) >= DEPLOYMENTS_MAX:
                    continue
                changes = self._changes[name] = deque(maxlen=self._changes_max)
            if not changes or changes[-1].out != out:
                changes.append(Change(now_ms, out))

    def of(self, deployment: str) -> tuple[Change, ...]:
        """The newest first."""
        return tuple(reversed(self._changes.get(deployment, ())))
