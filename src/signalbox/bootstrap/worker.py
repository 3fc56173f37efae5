"""A worker process: a data plane that carries out what its supervisor orders, and ends when that one is gone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from pathlib import Path

import msgspec
import uvloop

from signalbox.bootstrap.data_plane import DataPlane
from signalbox.control.lender import RemoteLender
from signalbox.control.links import LinkLost, framed, read_message, send_message
from signalbox.control.state import StateDir
from signalbox.core.link import Drain, Lend, Order, Recall, WantKeys
from signalbox.gateway.worker import Worker
from signalbox.ledger.journal import new_chain
from signalbox.telemetry.log import Log, told_of_tasks
from signalbox.telemetry.metrics import Metrics, Region


def run_worker(listen_fd: int, link_fd: int, metrics_fd: int, spans_fd: int, state_dir: Path) -> int:
    """A worker process: serve until the supervisor says drain, or is gone."""
    return uvloop.run(_worker(listen_fd, link_fd, metrics_fd, spans_fd, state_dir))


async def _worker(listen_fd: int, link_fd: int, metrics_fd: int, spans_fd: int, state_dir: Path) -> int:
    loop = asyncio.get_running_loop()
    log = Log("worker")
    loop.set_exception_handler(told_of_tasks(log))
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)  # the supervisor answers these for everybody
    lender = RemoteLender()
    metrics = Metrics(Region(metrics_fd))
    spans = socket.socket(fileno=spans_fd)
    spans.setblocking(False)
    told: list[asyncio.StreamWriter] = []

    def want_keys(issuer: str) -> None:
        for writer in told:
            writer.write(framed(WantKeys(issuer)))

    plane = DataPlane(StateDir(state_dir), new_chain("worker"), log, lender.lend, metrics, spans, want_keys)
    listener = socket.socket(fileno=listen_fd)
    listener.setblocking(False)
    worker = plane.worker(listener)
    link = socket.socket(fileno=link_fd)
    link.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=link, limit=1 << 20)
    lender.send = lambda asked: writer.write(framed(asked))
    told.append(writer)
    with contextlib.suppress(LinkLost, OSError):
        await _obey_all(reader, writer, worker, plane, lender)
    lender.lost()
    # Without a supervisor nobody ships, recovers or reloads: let what runs end, then go.
    await worker.drain(plane.grace_s)
    await plane.close()
    return 0


async def _obey_all(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, worker: Worker, plane: DataPlane, lender: RemoteLender
) -> None:
    """Carries out orders one after another, and hears of leases meanwhile: even while it drains, streams go on."""
    orders: asyncio.Queue[Order] = asyncio.Queue()

    async def obey() -> None:
        while True:
            order = await orders.get()
            report = await worker.obey(order)
            if isinstance(order, Drain):
                await plane.purse.close()
            await send_message(writer, report)

    obeying = asyncio.get_running_loop().create_task(obey())
    try:
        while not obeying.done():
            order = msgspec.msgpack.decode(await read_message(reader), type=Order)
            if isinstance(order, Lend):
                lender.answered(order)
            elif isinstance(order, Recall):
                plane.recall(order.accounts)
            else:
                orders.put_nowait(order)
        obeying.result()
    finally:
        obeying.cancel()
