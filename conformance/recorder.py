"""Sockets that take notes: a relay before the gateway, and a proxy that refuses everything and remembers the asking."""

from __future__ import annotations

import asyncio
import contextlib


class Exchange:
    """One request as the client sent it, and the bytes that came back."""

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]]) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = b""
        self.answer = b""

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def status(self) -> int:
        return int(self.answer.split(b" ", 2)[1]) if self.answer else 0

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name), None)


class Recorder:
    """Passes requests on unchanged, one upstream connection a client connection."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self.port = 0
        self.exchanges: list[Exchange] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        gateway, forth = await asyncio.open_connection("127.0.0.1", self._to_port)
        mine: list[Exchange] = []
        answering = asyncio.create_task(_answers(gateway, back, mine))
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await client.readuntil(b"\r\n\r\n")
                exchange = _parsed(head)
                mine.append(exchange)
                self.exchanges.append(exchange)
                forth.write(head)
                left = int(exchange.header("content-length") or 0)
                assert exchange.header("transfer-encoding") is None, "a client that sends chunks: teach this recorder"
                while left:
                    data = await client.read(min(left, 1 << 16))
                    if not data:
                        break
                    exchange.body += data
                    left -= len(data)
                    forth.write(data)
        answering.cancel()
        forth.close()
        back.close()


async def _answers(gateway: asyncio.StreamReader, back: asyncio.StreamWriter, mine: list[Exchange]) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await gateway.read(1 << 16):
            mine[-1].answer += data
            back.write(data)
    back.close()


def _parsed(head: bytes) -> Exchange:
    first, *lines = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Exchange(method, target, headers)


class Refuser:
    """A proxy that connects to nothing. asked: the first line of every request for it."""

    def __init__(self) -> None:
        self._server: asyncio.Server | None = None
        self.port = 0
        self.asked: list[str] = []

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._refuse, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _refuse(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await client.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b"\r\n")[0].decode("latin-1"))
            back.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        back.close()
