"""Backends that scale to zero: one call wakes them, and everybody who wants them waits for that, for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter_ns

from signalbox.core.errors import UpstreamFault, forget_frames
from signalbox.core.snapshot import Deployment
from signalbox.routing.group import Group
from signalbox.routing.replica import Replica
from signalbox.upstream.providers import MODELS, PROVIDERS
from signalbox.upstream.transport import Transport

# Pauses between calls to a backend that refuses connections while it starts.
PAUSE_S = 0.25
PAUSE_S_MAX = 2.0
# Calls that wait for one backend; the next ones go elsewhere at once.
WAITING_MAX = 1000
ANSWER_BYTES_MAX = 1024 * 1024


class Wakes:
    """What is being woken now, by the name of the deployment."""

    def __init__(self, transport: Transport, now_ns: Callable[[], int] = perf_counter_ns) -> None:
        self._transport = transport
        self._now_ns = now_ns
        self._waking: dict[str, asyncio.Task[bool]] = {}
        self._waiting: dict[str, int] = {}

    async def up(self, deployment: Deployment, group: Group, replica: Replica, within_s: float) -> bool:
        """Whether it is awake, after waiting for at most `within_s`, and as long as the first who asked may."""
        name = deployment.name
        if self._waiting.get(name, 0) >= WAITING_MAX:
            return False
        task = self._waking.get(name)
        if task is None:
            group.asleep = True
            task = asyncio.get_running_loop().create_task(self._wake(deployment, group, replica))
            self._waking[name] = task
            task.add_done_callback(lambda _: self._waking.pop(name, None))
        self._waiting[name] = self._waiting.get(name, 0) + 1
        try:
            done, _ = await asyncio.wait((task,), timeout=within_s)
            return task in done and task.result()
        finally:
            self._waiting[name] -= 1
            if not self._waiting[name]:
                del self._waiting[name]

    async def stop(self) -> None:
        waking = list(self._waking.values())
        for task in waking:
            task.cancel()
        await asyncio.gather(*waking, return_exceptions=True)

    async def _wake(self, deployment: Deployment, group: Group, replica: Replica) -> bool:
        """Asks for its models, which costs nothing and carries nothing of any call, until it answers or time is up."""
        until_ns = self._now_ns() + deployment.wake_hold_ns
        head = PROVIDERS[deployment.protocol].probe(deployment, MODELS[deployment.protocol])
        pause_s = PAUSE_S
        while (left_s := (until_ns - self._now_ns()) / 1e9) > 0:
            try:
                async with asyncio.timeout(left_s):
                    answer = await self._transport.probe(deployment, replica.origin, head)
                    try:
                        await answer.body(ANSWER_BYTES_MAX)
                    finally:
                        answer.release()
                    if answer.status < 500:
                        group.asleep = False
                        return True
            except (UpstreamFault, TimeoutError) as failure:
                forget_frames(failure)
            await asyncio.sleep(min(pause_s, max(0.0, (until_ns - self._now_ns()) / 1e9)))
            pause_s = min(PAUSE_S_MAX, pause_s * 1.5)
        # Whoever comes next finds out anew.
        group.asleep = False
        return False
