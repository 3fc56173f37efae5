"""What goes on beside the supervisor: judging alerts, telling webhooks, and keeping the exporter of telemetry going."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from signalbox.config.schema_telemetry import Otlp
from signalbox.control.alerts import Facts, Judge, used_ratios
from signalbox.control.exporter import ExportOrder
from signalbox.control.exporting import ExporterProcess
from signalbox.control.supervisor import Supervisor
from signalbox.control.webhooks import Webhooks
from signalbox.core.budgets import Balance
from signalbox.core.errors import StoreError
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Metrics

TICK_S = 1.0
# How often alerts are judged. It costs one collection of metrics and one look at the budgets.
JUDGE_EVERY_S = 10.0


class Attendant:
    """Follows the configuration in force. What fires is the supervisor's `firing`. instance: this installation's name
    among others. now_ms: Unix milliseconds."""

    def __init__(
        self,
        supervisor: Supervisor,
        exporter: ExporterProcess,
        instance: str,
        now_ms: Callable[[], int],
        log: Log,
        judge_every_s: float = JUDGE_EVERY_S,
    ) -> None:
        self._supervisor = supervisor
        self._exporter = exporter
        self._instance = instance
        self._now_ms = now_ms
        self._log = log
        self._judge_every_s = judge_every_s
        self._judge = Judge()
        self.webhooks = Webhooks(log)
        self._balances: list[Balance] = []
        self._generation = 0
        self._judge_at = self._export_at = 0.0
        supervisor.also_counts.append(self.count)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._tick()
            except Exception as defect:  # telling about trouble must never be the trouble
                self._log.defect("alerts or telemetry could not be told", defect)
            await asyncio.sleep(TICK_S)

    async def stop(self) -> None:
        """Sends what is left, for a few seconds at most."""
        await asyncio.gather(self._exporter.stop(), self.webhooks.close())

    def count(self, total: Metrics) -> None:
        """Adds what is counted here to the metrics of the installation."""
        told = self._exporter.told()
        total.add(("signalbox_spans_total", "exported"), told.exported)
        total.add(("signalbox_spans_total", "lost"), told.lost)
        total.add(("signalbox_otlp_metrics_total", "sent"), told.metrics_sent)
        total.add(("signalbox_otlp_metrics_total", "failed"), told.metrics_failed)
        for outcome, count in self.webhooks.deliveries.items():
            total.add(("signalbox_webhook_deliveries_total", outcome), count)
        for alert, _ in self._supervisor.firing:
            total.add(("signalbox_alerts_firing", alert.name, alert.severity), 1)
        for budget, account, ratio in used_ratios(self._supervisor.checked.budgets, self._balances):
            if budget.subject:
                total.set(("signalbox_budget_used_ratio", account), ratio)

    async def _tick(self) -> None:
        checked, now_s = self._supervisor.checked, time.monotonic()
        otlp = checked.telemetry.otlp
        if self._supervisor.generation != self._generation:
            self._generation = self._supervisor.generation
            await self._exporter.follow(_order(otlp, self._instance) if otlp is not None else None)
            await self.webhooks.follow(checked.alerts.webhooks)
            self._judge_at = 0.0
        if now_s >= self._judge_at:
            self._judge_at = now_s + self._judge_every_s
            await self._judge_now(now_s)
        if otlp is not None and otlp.metrics and now_s >= self._export_at:
            self._export_at = now_s + otlp.metrics_every_s
            self._exporter.send_metrics((await self._supervisor.metrics()).export())

    async def _judge_now(self, now_s: float) -> None:
        checked = self._supervisor.checked
        budgets = (*checked.budgets, *self._supervisor.keys.budgets)
        if budgets:
            with contextlib.suppress(StoreError):  # the last known ones still say something
                self._balances = await self._supervisor.balances(self._now_ms())
        facts = Facts(
            metrics=await self._supervisor.metrics(),
            due=checked.due_counts,
            last_error=self._supervisor.last_error,
            budgets=budgets,
            balances=self._balances if budgets else [],
            thresholds=checked.alerts.budget_thresholds,
            ledger_lag_s=checked.alerts.ledger_lag_s,
        )
        firing = self._judge.firing(facts, now_s)
        self.webhooks.tell(firing, checked.alerts.repeat_s, now_s)
        self._supervisor.firing = [(alert, self.webhooks.since(alert)) for alert in firing]


def _order(otlp: Otlp, instance: str) -> ExportOrder:
    return ExportOrder(
        endpoint=otlp.endpoint,
        headers={name: value.reveal() for name, value in otlp.headers.items()},
        encoding=otlp.encoding,
        gen_ai=otlp.gen_ai,
        service=otlp.service,
        allow_private=otlp.allow_private,
        ca_file=otlp.ca_file,
        instance=instance,
    )
