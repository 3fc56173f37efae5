"""The bare reference: what proxying costs in Python with protocols of our own on both sides and nothing else.

No keys, rules, journal or meter: parse the request with httptools, send its bytes to a pooled upstream connection,
copy the answer back. The distance between this and the gateway is the price of everything the gateway does.
Run: python -m benchmarks.bare PORT UPSTREAM_PORT.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

import httptools
import uvloop

_HEAD = b"POST %s HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"


class Upstream(asyncio.Protocol):
    """One pooled connection; parses the answer only to know where it ends."""

    def __init__(self, pool: list[Upstream]) -> None:
        self._pool = pool
        self.client: Client | None = None
        self._done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, client: Client, request: bytes) -> None:
        self.client, self._done = client, False
        client.upstream = self
        self._parser = httptools.HttpResponseParser(self)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        client = self.client
        if client is None:
            self.transport.close()
            return
        self._parser.feed_data(data)
        client.transport.write(data)
        if self._done:
            self.client = client.upstream = None
            self._pool.append(self)

    def on_message_complete(self) -> None:
        self._done = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._pool:
            self._pool.remove(self)


class Client(asyncio.Protocol):
    def __init__(self, pool: list[Upstream], port: int) -> None:
        self._pool, self._port = pool, port
        self.upstream: Upstream | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.upstream is not None:
            self.upstream.client = None
            self.upstream.transport.abort()

    def on_message_begin(self) -> None:
        self._body: list[bytes] = []

    def on_url(self, url: bytes) -> None:
        self._url = url

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        request = _HEAD % (self._url, len(body), body)
        if self._pool:
            self._pool.pop().send(self, request)
        else:
            self._connecting = asyncio.ensure_future(self._connect(request))

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_connection(lambda: Upstream(self._pool), "127.0.0.1", self._port)
        upstream.send(self, request)


async def serve(port: int, upstream_port: int) -> None:
    pool: list[Upstream] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Client(pool, upstream_port), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("upstream_port", type=int)
    words = parser.parse_args()
    uvloop.run(serve(words.port, words.upstream_port))


if __name__ == "__main__":
    main()
