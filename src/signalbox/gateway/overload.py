"""How much this process has to do: the time that ready work waits for the event loop, and memory against its bound."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

SAMPLE_S = 0.1
# Weight of the newest sample, and the most that one may say: a single pause, however long (a reload, a machine that
# was suspended), is no overload; several in a row are.
ALPHA = 0.3
SAMPLE_MAX = 1.5
MEMORY_EVERY = 10
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
# A container's limit is kept away from: beyond it the kernel kills.
_OF_CGROUP = 0.9
# What a kernel without a limit says.
_NO_LIMIT = 1 << 60


class Bounds(msgspec.Struct, frozen=True):
    """lag_s: from which waiting for the loop is too long. memory_bytes: 0 for the container's, if it has one."""

    lag_s: float = 2.0
    memory_bytes: int = 0


class Watch:
    """Samples while it runs, and tells the pressure: 1 where a bound is reached."""

    def __init__(self, bounds: Bounds, press: Callable[[float], None]) -> None:
        self._press = press
        self._turn = 0
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self.lag_s = 0.0
        self.memory_bytes = 0
        self.adopt(bounds)

    def adopt(self, bounds: Bounds) -> None:
        self._lag_s_max = bounds.lag_s
        self._memory_bytes_max = bounds.memory_bytes or _cgroup_bytes()

    def start(self) -> None:
        self._wait(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + SAMPLE_S
        self._timer = loop.call_at(self._due, self._sample, loop)

    def _sample(self, loop: asyncio.AbstractEventLoop) -> None:
        late_s = min(max(0.0, loop.time() - self._due), SAMPLE_MAX * self._lag_s_max)
        self.lag_s += ALPHA * (late_s - self.lag_s)
        pressure = self.lag_s / self._lag_s_max
        if self._memory_bytes_max:
            if self._turn % MEMORY_EVERY == 0:
                self.memory_bytes = _resident_bytes()
            self._turn += 1
            pressure = max(pressure, self.memory_bytes / self._memory_bytes_max)
        self._press(pressure)
        self._wait(loop)


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return 0  # no such file on this system, or no descriptor left: memory is not judged then


def _cgroup_bytes() -> int:
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdigit() and int(text) < _NO_LIMIT:
            return int(int(text) * _OF_CGROUP)
    return 0
