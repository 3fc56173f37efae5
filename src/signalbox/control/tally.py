"""The installation's figures: the sum over its workers, those that are gone included, so that no counter ever falls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from signalbox.control.links import Link
from signalbox.core.link import AskMetrics, Exported
from signalbox.ledger.recover import Recovery
from signalbox.telemetry.metrics import Export, Metrics, counters, merge
from signalbox.telemetry.process import usage_now


class Tally:
    """own: what the supervisor counts itself, and what workers that are gone had counted. also: who else has something
    to add."""

    def __init__(self) -> None:
        self.own = Metrics()
        self.also: list[Callable[[Metrics], None]] = []
        self._counted: dict[Link, Export] = {}

    async def total(self, links: Sequence[Link]) -> Metrics:
        answers = await asyncio.gather(*(link.ask(AskMetrics(0)) for link in links), return_exceptions=True)
        for link, answer in zip(links, answers, strict=True):
            if isinstance(answer, Exported) and answer.export:
                self._counted[link] = msgspec.msgpack.decode(answer.export, type=Export)
        total = merge([self.own.export(), *(export for link, export in self._counted.items() if link in links)])
        for add in self.also:
            add(total)
        own = usage_now()
        total.set(("signalbox_memory_bytes", "supervisor"), own.memory_bytes)
        total.set(("signalbox_cpu_seconds_total", "supervisor"), own.cpu_s)
        return total

    def recovered(self, recovery: Recovery) -> None:
        """What a dead process left open counts like every other end."""
        for ended in recovery.ended:
            end = ended.end
            duration_ns = end.duration_ms * 1_000_000
            self.own.attempt(ended.deployment, ended.workload, end.state, end.usage, end.cost_pico, duration_ns)
        self.own.add(("signalbox_journal_findings_total",), recovery.finding_count)

    def forget(self, link: Link) -> None:
        """Keeps a dead worker's counters as they were at its end; its gauges died with it."""
        told = self._counted.pop(link, None)
        counted = link.counted() or told
        if counted is not None:
            self.own.absorb(counters(counted))
