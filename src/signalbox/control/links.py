"""The supervisor's hold on its workers: one in its own process, or many behind socket pairs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from signalbox.core.budgets import LeaseAsk, Lent
from signalbox.core.errors import LeaseUnavailable
from signalbox.core.link import MESSAGE_BYTES_MAX, AskLeases, Lend, Order, Recall, Report, Serving, WantKeys
from signalbox.telemetry.metrics import Export, Metrics, Region, shared_region

_HEAD_BYTES = 4
# How long a worker may be silent. One that starts loads a Python first, beside all the others that do, on a machine
# that may be busy with something else: what is dead shows by its socket, and what hangs there has no calls to lose.
ANSWER_S = 30.0
START_S = 180.0
# What lends to a worker: its name, and what it asks for.
LendTo = Callable[[str, list[LeaseAsk]], Awaitable[list[Lent]]]
# What is told of an issuer whose keys may be out of date.
Want = Callable[[str], None]


class LinkLost(Exception):
    """The worker at the other end is gone or silent."""


class Link(Protocol):
    """One worker. `ask` raises LinkLost when it cannot answer."""

    async def ask(self, order: Order) -> Report: ...

    @property
    def alive(self) -> bool: ...

    def counted(self) -> Export | None:
        """What a process of its own counted up to its end; None for one that shares this process."""
        ...

    def recall(self, accounts: list[str]) -> None: ...

    async def stop(self) -> None: ...


def framed(message: Order | Report) -> bytes:
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(_HEAD_BYTES, "big") + data


async def send_message(writer: asyncio.StreamWriter, message: Order | Report) -> None:
    writer.write(framed(message))
    await writer.drain()


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """One message's bytes. Raises LinkLost at the end of the stream."""
    try:
        size = int.from_bytes(await reader.readexactly(_HEAD_BYTES), "big")
        if size > MESSAGE_BYTES_MAX:
            raise LinkLost("oversize message")
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, OSError):
        raise LinkLost("the other end is gone") from None


class LocalLink:
    """The one worker of a single process."""

    def __init__(
        self,
        obey: Callable[[Order], Awaitable[Report]],
        recall: Callable[[list[str]], None],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._obey = obey
        self._close = close
        self._recall = recall
        self.alive = True

    def counted(self) -> Export | None:
        return None

    def recall(self, accounts: list[str]) -> None:
        self._recall(accounts)

    async def ask(self, order: Order) -> Report:
        return await self._obey(order)

    async def stop(self) -> None:
        self.alive = False
        await self._close()


class ProcessLink:
    """A worker process that inherited the listening socket and one end of a socket pair."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lend: LendTo,
        region: Region,
        want: Want,
    ) -> None:
        self._want = want
        self._process = process
        self._region = region
        self._reader = reader
        self._writer = writer
        self._turn = asyncio.Lock()
        self._lost = False
        self._lend = lend
        self._answers: asyncio.Queue[Report | None] = asyncio.Queue()
        self._lending: set[asyncio.Task[None]] = set()
        self._reading = asyncio.get_running_loop().create_task(self._read())
        self.chain = ""

    @classmethod
    async def spawn(
        cls, listener: socket.socket, spans: socket.socket, arguments: list[str], lend: LendTo, want: Want
    ) -> ProcessLink:
        """Start `signalbox _worker`; it inherits the descriptors it is told about and nothing else. spans: where it
        tells of its calls."""
        ours, theirs = socket.socketpair()
        region = shared_region()
        command = [sys.executable, "-m", "signalbox", "_worker", "--listen-fd", str(listener.fileno())]
        command += ["--link-fd", str(theirs.fileno()), "--metrics-fd", str(region)]
        command += ["--spans-fd", str(spans.fileno()), *arguments]
        process = subprocess.Popen(  # noqa: S603, ASYNC220  (our own interpreter; polled, never waited for)
            command, pass_fds=(listener.fileno(), theirs.fileno(), region, spans.fileno()), stdin=subprocess.DEVNULL
        )
        theirs.close()
        mapped = Region(region)
        os.close(region)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=1 << 20)
        return cls(process, reader, writer, lend, mapped, want)

    @property
    def alive(self) -> bool:
        return not self._lost and self._process.poll() is None

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, order: Order) -> Report:
        """Orders are answered one at a time and in order; each has exactly one answer."""
        async with self._turn:
            if self._lost:
                raise LinkLost("the other end is gone")
            try:
                await send_message(self._writer, order)
                grace_s = getattr(order, "grace_s", 0.0)
                answer_s = ANSWER_S if self.chain else START_S
                report = await asyncio.wait_for(self._answers.get(), answer_s + grace_s)
            except (OSError, TimeoutError) as error:
                self._lost = True
                raise LinkLost(str(error)) from None
        if report is None:
            raise LinkLost("the other end is gone")
        if isinstance(report, Serving):
            self.chain = report.chain
        return report

    def counted(self) -> Export | None:
        return Metrics(self._region).export()

    def recall(self, accounts: list[str]) -> None:
        """Ask for what the worker does not use of these accounts."""
        if not self._lost:
            self._writer.write(framed(Recall(accounts)))

    async def _read(self) -> None:
        """Hands answers to who asked, and asks for leases to who lends them."""
        try:
            while True:
                report = msgspec.msgpack.decode(await read_message(self._reader), type=Report)
                if isinstance(report, AskLeases):
                    task = asyncio.get_running_loop().create_task(self._answer(report))
                    self._lending.add(task)
                    task.add_done_callback(self._lending.discard)
                elif isinstance(report, WantKeys):
                    self._want(report.issuer)
                else:
                    self._answers.put_nowait(report)
        except (LinkLost, OSError, msgspec.MsgspecError):
            self._lost = True
            self._answers.put_nowait(None)

    async def _answer(self, asked: AskLeases) -> None:
        try:
            lent = await self._lend(asked.holder, asked.asks)
        except LeaseUnavailable:
            lent = []
        if not self._lost:
            self._writer.write(framed(Lend(asked.ticket, lent)))

    async def stop(self) -> None:
        """Ends the process: asked first, killed after two seconds."""
        self._lost = True
        self._reading.cancel()
        self._writer.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGTERM)
        for _ in range(100):
            if self._process.poll() is not None:
                return
            await asyncio.sleep(0.02)
        self._process.kill()
        self._process.wait()


class DeadLink:
    """Stands for a worker that could not be started, until the next try."""

    alive = False

    def counted(self) -> None:
        return None

    async def ask(self, order: Order) -> Report:
        raise LinkLost("not started")

    def recall(self, accounts: list[str]) -> None:
        return

    async def stop(self) -> None:
        return
