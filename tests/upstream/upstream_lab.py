"""A scripted upstream on real sockets, and the values that the transport is driven with."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Any

from signalbox.core.errors import LedgerError
from signalbox.core.labels import NONE
from signalbox.core.permit import Permit
from signalbox.core.ports import Entry, Leaver
from signalbox.core.secret import Secret
from signalbox.core.snapshot import Deployment, Environment, Origin, Timeouts
from signalbox.upstream.head import RequestHead, request_head
from signalbox.upstream.transport import Transport


class Peer:
    """The upstream's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self) -> tuple[bytes, bytes]:
        """Head and body of the next request; raises IncompleteReadError when the other side closes."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        return head, await self.reader.readexactly(length)

    async def say(self, *pieces: bytes, pause_s: float = 0.0) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause_s)

    async def closed(self) -> None:
        """Returns when the other side has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass

    def reset(self) -> None:
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[Any]]


class Upstream:
    """A server that plays a script on each connection. connections: how many were accepted. open: how many are."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.connections = 0
        self.open = 0
        self.requests: list[tuple[bytes, bytes]] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    async def start(self, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._server = await asyncio.start_server(self._serve, host, 0, ssl=context, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.script(Peer(reader, writer))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            self.open -= 1
            writer.close()

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def origin(self, **changes: Any) -> Origin:
        values: dict[str, Any] = {
            "scheme": "http", "host": "127.0.0.1", "port": self.port, "path": "/v1", "private": True,
        }  # fmt: skip
        return Origin(**(values | changes))


class World:
    """A transport and the upstreams that it talks to, taken down together."""

    def __init__(self) -> None:
        self.transport = Transport()
        self._upstreams: list[Upstream] = []

    async def upstream(self, script: Script, **start: Any) -> Upstream:
        upstream = Upstream(script)
        await upstream.start(**start)
        self._upstreams.append(upstream)
        return upstream

    async def stop(self) -> None:
        await self.transport.close()
        for upstream in self._upstreams:
            await upstream.stop()


ENVIRONMENT = Environment("lab", "on-prem", "eu/de", "eu/de", "us", "de", ())
HEAD = request_head(b"/chat/completions", [(b"authorization", b"Bearer k")])
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX-Request-Id: r1\r\n\r\nok"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def deployment(*replicas: Origin, name: str = "d", **changes: Any) -> Deployment:
    values: dict[str, Any] = {
        "index": 0, "name": name, "environment": ENVIRONMENT, "protocol": "openai", "model": "m",
        "replicas": replicas, "auth": ("authorization", Secret("Bearer sk-secret-0123456789")),
        "apis": frozenset(("chat",)), "timeouts": Timeouts(),
    }  # fmt: skip
    return Deployment(**(values | changes))


def permit(target: Deployment, body: bytes = b"{}") -> Permit:
    return Permit(attempt_id="a-1", deployment=target, api="chat", body=body, labels=NONE, reason="test")


class Pending:
    """A record on its way into the journal, as long as the test wants it to be."""

    def __init__(self) -> None:
        self.error: LedgerError | None = None
        self.waiting: Leaver | None = None

    def before(self, leaver: Leaver) -> None:
        self.waiting = leaver


async def ask(
    world: World,
    origin: Origin,
    *,
    head: RequestHead = HEAD,
    body: bytes = b"{}",
    entry: Entry | None = None,
    **timeouts: float,
) -> Any:
    """Sends one request with these timeouts and returns the response, its head complete."""
    stream = bool(timeouts.pop("stream", False))
    until_content = bool(timeouts.pop("until_content", False))
    target = deployment(origin, timeouts=Timeouts(**timeouts))
    return await world.transport.send(
        permit(target, body), origin, head, stream=stream, until_content=until_content, entry=entry
    )


async def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
