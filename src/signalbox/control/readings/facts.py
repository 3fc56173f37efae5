"""What the supervisor knows at this moment, gathered once for whoever reads it."""

from __future__ import annotations

import msgspec

from signalbox.control.alerts import Alert
from signalbox.control.breakers import Breakers
from signalbox.control.supervisor import Supervisor
from signalbox.core.budgets import Balance
from signalbox.core.errors import StoreError
from signalbox.telemetry.metrics import Metrics


class Facts(msgspec.Struct, frozen=True):
    """now_ms: when. due: what runs out or is owed. balances: None when the store does not answer. config_file: what the
    configuration was read from, as messages name it. firing: alerts, each since a Unix time."""

    now_ms: int
    version: str
    generation: int
    workers_alive: int
    workers: int
    reload_failures: int
    last_error: str
    due: tuple[str, ...]
    metrics: Metrics
    balances: tuple[Balance, ...] | None
    config_file: str
    firing: tuple[tuple[Alert, float], ...]
    breakers: Breakers

    def gauge(self, name: str) -> float:
        """The sum of one metric over all of its labels."""
        return sum(values[0] for _, values in self.metrics.by_name().get(name, []))

    def by_label(self, name: str) -> dict[str, float]:
        """One metric by its first label."""
        found: dict[str, float] = {}
        for labels, values in self.metrics.by_name().get(name, []):
            found[labels[0]] = found.get(labels[0], 0) + values[0]
        return found


async def gather(supervisor: Supervisor, now_ms: int) -> Facts:
    try:
        balances = tuple(await supervisor.balances(now_ms))
    except StoreError:
        balances = None
    return Facts(
        now_ms=now_ms,
        version=supervisor.checked.version,
        generation=supervisor.generation,
        workers_alive=supervisor.workers.alive,
        workers=supervisor.workers.wanted,
        reload_failures=supervisor.reload_failures,
        last_error=supervisor.last_error,
        due=supervisor.checked.due,
        metrics=await supervisor.metrics(),
        balances=balances,
        config_file=supervisor.config_name,
        firing=tuple(supervisor.firing),
        breakers=supervisor.breakers,
    )
