"""The background of one process: what is looked at between calls, so that calls need not find it out themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import perf_counter_ns
from typing import Any

from signalbox.core.errors import UpstreamFault, forget_frames
from signalbox.core.snapshot import Deployment
from signalbox.pipeline.paid_probe import PaidProbes
from signalbox.pipeline.stages import Stages
from signalbox.routing.replica import SECOND_NS, Replica
from signalbox.routing.saturation import Gauge, Reading, read
from signalbox.upstream.origin import METRICS
from signalbox.upstream.providers import MODELS, PROVIDERS
from signalbox.upstream.transport import Transport

TICK_S = 0.25
PAID = "paid"
# A probe that took longer than this would keep callers waiting as well.
PROBE_S = 5.0
# Probes under way at a time, over everything.
PROBES_MAX = 64
PAGE_BYTES_MAX = 4 * 1024 * 1024
ANSWER_BYTES_MAX = 1024 * 1024


class Watch:
    """Cares for health once a second, probes replicas that were silent before the next call may try them, and reads
    how full self-hosted engines are. Nothing it sends carries anything of a call, and nothing of it is billed where the
    configuration does not ask for that."""

    def __init__(self, transport: Transport, now_ns: Callable[[], int] = perf_counter_ns) -> None:
        self._transport = transport
        self._now_ns = now_ns
        self._stages: Stages | None = None
        self._paid = PaidProbes()
        self._ticker: asyncio.TimerHandle | None = None
        self._cared_ns = 0
        self._read_ns: dict[tuple[str, int], int] = {}
        self._running: dict[object, asyncio.Task[None]] = {}

    def adopt(self, stages: Stages) -> None:
        """The configuration to watch from now on; begins on the running event loop when it is the first one."""
        self._stages = stages
        self._read_ns.clear()
        if self._ticker is None:
            self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    async def stop(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _tick(self) -> None:
        now_ns = self._now_ns()
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        stages = self._stages
        if stages is None:
            return
        fleet = stages.fleet
        if now_ns - self._cared_ns >= SECOND_NS:
            self._cared_ns = now_ns
            fleet.care(now_ns)
        for deployment in stages.snapshot.deployments:
            group = fleet.of(deployment)
            for index, replica in enumerate(group.replicas):
                if replica.slow_to_fail and now_ns >= replica.open_ns:
                    self._start((deployment.name, index), self._probe(deployment, replica, stages))
            if group.gauge is not None and deployment.saturation.metrics:
                self._read(deployment, group.gauge, group.replicas, now_ns)

    def _read(self, deployment: Deployment, gauge: Gauge, replicas: list[Replica], now_ns: int) -> None:
        every_ns = round(deployment.saturation.interval_s * SECOND_NS)
        for index, replica in enumerate(replicas):
            key = (deployment.name, index)
            if now_ns - self._read_ns.get(key, -every_ns) >= every_ns:
                self._read_ns[key] = now_ns
                self._start((*key, METRICS), self._page(deployment, gauge, replica, index, len(replicas)))

    def _start(self, key: object, work: Coroutine[Any, Any, None]) -> None:
        """One of each kind at a time, and not too many in all."""
        if key in self._running or len(self._running) >= PROBES_MAX:
            work.close()
            return
        task = asyncio.get_running_loop().create_task(work)
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))

    async def _probe(self, deployment: Deployment, replica: Replica, stages: Stages) -> None:
        """Whatever it answers, it answers: whether it can serve, the next call finds out, unless that was paid for."""
        alive = False
        if deployment.health.probe == PAID and self._paid.affordable(deployment, stages):
            await self._paid.ask(deployment, replica, stages)
            return
        try:
            await self._get(deployment, replica, MODELS[deployment.protocol], ANSWER_BYTES_MAX)
            alive = True
        except (UpstreamFault, TimeoutError, ValueError) as failure:
            forget_frames(failure)
        replica.probed(self._now_ns(), alive=alive)

    async def _page(self, deployment: Deployment, gauge: Gauge, replica: Replica, index: int, replicas: int) -> None:
        reading: Reading | None = None
        try:
            status, page = await self._get(deployment, replica, METRICS, PAGE_BYTES_MAX)
            if status == 200:
                reading = read(page.decode("utf-8", "replace"), deployment.model)
        except (UpstreamFault, TimeoutError, ValueError) as failure:
            forget_frames(failure)
        gauge.take(index, reading, replicas)
        replica.waiting = (reading.waiting or 0.0) if reading is not None else 0.0

    async def _get(self, deployment: Deployment, replica: Replica, path: bytes, bytes_max: int) -> tuple[int, bytes]:
        head = PROVIDERS[deployment.protocol].probe(deployment, path)
        async with asyncio.timeout(PROBE_S):
            answer = await self._transport.probe(deployment, replica.origin, head)
            try:
                return answer.status, await answer.body(bytes_max)
            finally:
                answer.release()
