"""The process that sends traces and metrics to an OpenTelemetry collector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import msgspec

from signalbox.config.address import AddressProblem
from signalbox.control.exporter import Exporter, ExportOrder
from signalbox.control.exporting import LENGTH_BYTES, ExporterProcess
from signalbox.telemetry.log import Log, told_of_tasks
from signalbox.telemetry.metrics import Export

# Requests go first where it shares their core.
NICE = 10
TELL_S = 1.0
EXPORT_BYTES_MAX = 64 << 20


def exporter_process(channel: socket.socket, log: Log) -> ExporterProcess:
    """The process as the supervisor starts and watches it."""
    return ExporterProcess((sys.executable, "-m", "signalbox", "_export"), channel, log)


def run_exporter(spans_fd: int) -> int:
    """Sends until its standard input ends, and then what is left."""
    # A terminal's Ctrl-C and a service manager's SIGTERM reach everybody; this one ends when its parent says so.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(NICE)
    channel = socket.socket(fileno=spans_fd)
    channel.setblocking(False)
    log = Log("exporter")
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=ExportOrder)
    try:
        asyncio.run(_export(order, channel, log))
    except (AddressProblem, ValueError) as problem:
        log.error("nothing can be exported", reason=f"the collector's address {problem}")
        return 1
    return 0


async def _export(order: ExportOrder, channel: socket.socket, log: Log) -> None:
    asyncio.get_running_loop().set_exception_handler(told_of_tasks(log))
    exporter = Exporter(order, channel, log)
    sending = asyncio.ensure_future(exporter.run())
    telling = asyncio.ensure_future(_tell(exporter))
    while (export := await asyncio.to_thread(_read_export)) is not None:
        await exporter.send_metrics(export)
    exporter.end()
    await sending
    telling.cancel()
    _say(exporter)


def _read_export() -> Export | None:
    """The next metrics on standard input; None at its end."""
    head = sys.stdin.buffer.read(LENGTH_BYTES)
    size = int.from_bytes(head, "big")
    if len(head) < LENGTH_BYTES or size > EXPORT_BYTES_MAX:
        return None
    data = sys.stdin.buffer.read(size)
    return msgspec.msgpack.decode(data, type=Export) if len(data) == size else None


async def _tell(exporter: Exporter) -> None:
    while True:
        _say(exporter)
        await asyncio.sleep(TELL_S)


def _say(exporter: Exporter) -> None:
    with contextlib.suppress(BrokenPipeError):  # the parent is gone, and with it who wanted to know
        sys.stdout.buffer.write(msgspec.json.encode(exporter.told) + b"\n")
        sys.stdout.buffer.flush()
