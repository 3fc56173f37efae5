"""The shipper as a process beside the one that serves, as the supervisor sees it: started, watched, ended.

A thread would do the same work, but every time it ran, requests would wait for the interpreter.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import msgspec

from signalbox.control.object_store import Bucket
from signalbox.core.ports import Retention
from signalbox.ledger.ship import ShipperStats
from signalbox.telemetry.log import Log

# The first moments of a process belong to its first requests.
START_AFTER_S = 1.0
RESTART_S = 5.0
# How long the last pass may take before the process is killed; what it leaves is shipped at the next start.
LAST_PASS_S = 60.0


class ShipOrder(msgspec.Struct, frozen=True):
    """What the process is told, on its standard input: one line, which is never in its arguments since `store` may
    hold a password. store: its URL, or empty for the state directory's own. old_journals, archive: as in
    config.schema_ledger.Ledger. anchor: an object store for checkpoints."""

    state_dir: str
    store: str
    checkpoint_anchor: str
    checkpoint_every_s: float
    retention: Retention = Retention()
    old_journals: str = "keep"
    archive: str = ""
    anchor: Bucket | None = None


class ShipperProcess:
    """Keeps one shipper process running. It ends by itself when its standard input does, as it does when this process
    dies, after it has shipped once more."""

    def __init__(self, command: tuple[str, ...], order: ShipOrder, ship_here: Callable[[], None], log: Log) -> None:
        """ship_here: one pass in the caller's thread, for an end that comes while no such process is ready."""
        self._ship_here = ship_here
        self._command = command
        self._order = order
        self._log = log
        self._stats = ShipperStats(0, 0, 0, 0, 0.0, "")
        self._before = self._stats
        self._told_at = time.monotonic()
        self._running: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        # Whether the running process has told anything yet: before that it is faster done without it.
        self._ready = False

    async def start(self) -> None:
        if self._running is None:
            self._running = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Waits until everything is shipped, or LAST_PASS_S. Safe to call twice."""
        running, self._running = self._running, None
        self._stopping = True
        if running is None:
            return
        if not self._ready:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await asyncio.to_thread(self._ship_here)
            return
        self._end_input()
        try:
            await asyncio.wait_for(running, LAST_PASS_S)
        except TimeoutError:
            self._log.warning("the last records are shipped at the next start", seconds=LAST_PASS_S)
            self._kill()

    def stats(self) -> ShipperStats:
        """lag_s grows while the process tells nothing."""
        stats, before = self._stats, self._before
        return ShipperStats(
            records=before.records + stats.records,
            findings=before.findings + stats.findings,
            passes=before.passes + stats.passes,
            failures=before.failures + stats.failures,
            lag_s=stats.lag_s + time.monotonic() - self._told_at,
            error=stats.error,
            anchor_error=stats.anchor_error,
        )

    async def _run(self) -> None:
        await asyncio.sleep(START_AFTER_S)
        while True:
            await self._once()
            if self._stopping:
                return
            stats = self._stats = msgspec.structs.replace(self._stats, failures=self._stats.failures + 1)
            self._log.error("the shipper process ended and is started again", reason=stats.error)
            self._before = self.stats()
            self._stats = ShipperStats(0, 0, 0, 0, stats.lag_s, stats.error)
            await asyncio.sleep(RESTART_S)

    async def _once(self) -> None:
        """One process from its start to its end."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
            )
        except OSError as error:
            self._stats = msgspec.structs.replace(self._stats, error=f"cannot be started: {error.strerror}")
            return
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(self._order) + b"\n")
            while line := await process.stdout.readline():
                with contextlib.suppress(msgspec.MsgspecError):
                    self._stats = msgspec.json.decode(line, type=ShipperStats)
                    self._told_at = time.monotonic()
                    self._ready = True
            await process.wait()
        except asyncio.CancelledError:
            # Gone for good before anybody does its work: two would write the same checkpoints.
            process.kill()
            await process.wait()
            raise
        finally:
            self._process = None
            self._ready = False

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _end_input(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
