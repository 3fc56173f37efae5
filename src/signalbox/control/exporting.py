"""The exporter as a process beside the one that serves: told what to send, watched, ended."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio.subprocess import PIPE, Process

import msgspec

from signalbox.control.exporter import ExportOrder, Told
from signalbox.telemetry.log import Log
from signalbox.telemetry.metrics import Export

RESTART_S = 5.0
# How long it may take to send what is left when it is told to end.
LAST_S = 5.0
LENGTH_BYTES = 4


class ExporterProcess:
    """Keeps one exporter running while there is an order. channel: where it reads what workers tell."""

    def __init__(self, command: tuple[str, ...], channel: socket.socket, log: Log) -> None:
        self._command = (*command, "--spans-fd", str(channel.fileno()))
        self._channel = channel
        self._log = log
        self._order: ExportOrder | None = None
        self._running: asyncio.Task[None] | None = None
        self._process: Process | None = None
        self._before = Told()
        self._told = Told()

    async def follow(self, order: ExportOrder | None) -> None:
        """From now on this order holds; none ends the process."""
        if order == self._order:
            return
        await self.stop()
        self._order = order
        if order is not None:
            self._running = asyncio.get_running_loop().create_task(self._run(order))

    async def stop(self) -> None:
        """Lets it send what it has, for LAST_S at most."""
        running, self._running = self._running, None
        if running is None:
            return
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await asyncio.wait((running,), timeout=LAST_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        self._order = None

    def send_metrics(self, export: Export) -> None:
        """Hands metrics over; not at all while the last ones have not been taken."""
        process = self._process
        if process is None or process.stdin is None or process.stdin.is_closing():
            return
        transport = process.stdin.transport
        if transport.get_write_buffer_size() == 0:
            data = msgspec.msgpack.encode(export)
            process.stdin.write(len(data).to_bytes(LENGTH_BYTES, "big") + data)

    def told(self) -> Told:
        """What became of everything since the start."""
        before, now = self._before, self._told
        return Told(
            before.exported + now.exported,
            before.lost + now.lost,
            before.metrics_sent + now.metrics_sent,
            before.metrics_failed + now.metrics_failed,
        )

    async def _run(self, order: ExportOrder) -> None:
        while True:
            await self._once(order)
            self._before, self._told = self.told(), Told()
            if self._running is None:
                return
            self._log.error("the exporter process ended and is started again")
            await asyncio.sleep(RESTART_S)

    async def _once(self, order: ExportOrder) -> None:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, pass_fds=(self._channel.fileno(),)
            )
        except OSError as error:
            self._log.error("the exporter process cannot be started", reason=str(error.strerror))
            return
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            while line := await process.stdout.readline():
                with contextlib.suppress(msgspec.MsgspecError):
                    self._told = msgspec.json.decode(line, type=Told)
            await process.wait()
        finally:
            self._process = None
            if process.returncode is None:
                process.kill()
