"""A running simulator and a raw HTTP client that shows exactly what came over the socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from signalbox.simulator import Simulator, SimulatorSettings

Start = Callable[[SimulatorSettings], Awaitable[Simulator]]


@pytest.fixture
async def start_simulator() -> AsyncIterator[Start]:
    started: list[Simulator] = []

    async def start(settings: SimulatorSettings) -> Simulator:
        simulator = Simulator(settings)
        await simulator.start()
        started.append(simulator)
        return simulator

    yield start
    for simulator in started:
        await simulator.stop()


@pytest.fixture
async def sim(start_simulator: Start) -> Simulator:
    return await start_simulator(SimulatorSettings(seed=7))


class Raw:
    """One socket. `end` says how reading ended: eof, reset, or open when the time was up."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.end = "open"

    def post(self, path: str, doc: Any, **headers: str) -> None:
        body = doc if isinstance(doc, bytes) else json.dumps(doc).encode()
        lines = [f"POST {path} HTTP/1.1", "host: sim", f"content-length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def all(self, timeout_s: float = 1.0) -> bytes:
        """Everything until the connection ends or nothing came for timeout_s."""
        got = bytearray()
        while True:
            try:
                data = await asyncio.wait_for(self.reader.read(1 << 16), timeout_s)
            except TimeoutError:
                return bytes(got)
            except ConnectionResetError:
                self.end = "reset"
                return bytes(got)
            if not data:
                self.end = "eof"
                return bytes(got)
            got += data

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        """One whole answer: status, headers, decoded body."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while size := int(await asyncio.wait_for(self.reader.readline(), 5), 16):
                body += (await self.reader.readexactly(size + 2))[:-2]
            await self.reader.readexactly(2)
        else:
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers, body


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[int], Awaitable[Raw]]]:
    opened: list[Raw] = []

    async def dial(port: int) -> Raw:
        raw = Raw(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))
        opened.append(raw)
        return raw

    yield dial
    for raw in opened:
        raw.writer.close()
