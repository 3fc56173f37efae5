"""A client that closes its side and does not read what it has been sent: gone at once, over TLS too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from certificates import Authority
from harness import Box, running

# Some kilobytes fill the sockets, and what waits behind them is far from what makes the gateway hold anything back.
SOCKET_BYTES = 4096
PROMPT = "Say something [[tokens:600]][[delay_ms:10]]"
FULL_S = 1.0
WITHIN_S = 2.0


End = Callable[[socket.socket], None]
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def ask(box: Box, context: ssl.SSLContext | None) -> socket.socket:
    """The connection of somebody who has asked for a long stream and reads nothing of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BYTES)
    sock.settimeout(10)
    sock.connect(("127.0.0.1", box.port))
    if context is not None:
        sock = context.wrap_socket(sock, server_hostname="127.0.0.1")
    body = {"model": "w-chat", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 800, "stream": True}
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {box.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    sock.sendall(head.encode() + data)
    return sock


def say_goodbye(sock: socket.socket) -> None:
    """TLS's own end, without waiting for the other side's; that is part of what would have to be read."""
    assert isinstance(sock, ssl.SSLSocket)
    sock.settimeout(0)
    with contextlib.suppress(ssl.SSLError, OSError):
        sock.unwrap()


def close_side(sock: socket.socket) -> None:
    with socket.socket(fileno=socket.dup(sock.fileno())) as beneath:
        beneath.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(
    ("tls", "ends"),
    [(False, (close_side,)), (True, (say_goodbye,)), (True, (say_goodbye, close_side))],
    ids=["plain", "tls", "tls-fin"],
)
@pytest.mark.parametrize("loop", LOOPS)
def test_it_is_gone_while_little_waits(tmp_path: Path, loop: str, tls: bool, ends: tuple[End, ...]) -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(leave(tmp_path, tls, ends))


async def leave(tmp_path: Path, tls: bool, ends: tuple[End, ...]) -> None:
    server: dict[str, Any] = {}
    context = None
    if tls:
        authority = Authority(tmp_path / "authority")
        certificate, key = authority.issue("server", addresses=("127.0.0.1",))
        server["tls"] = {"certificate_file": str(certificate), "key_file": str(key)}
        context = authority.client_context()
    async with running(tmp_path / "box", {"server": server}) as box:
        box.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        sock = await asyncio.to_thread(ask, box, context)
        await asyncio.sleep(FULL_S)
        gateway = box.worker.gateway
        assert gateway is not None
        assert not any(connection.write_paused_at for connection in gateway.connections)
        for end in ends:
            await asyncio.to_thread(end, sock)
        left_s = time.monotonic()
        while not box.sim.log.entries[-1].closed_s:
            await asyncio.sleep(0.01)
            assert time.monotonic() - left_s < WITHIN_S, "the upstream was never closed"
        (row,) = await box.settled(1)
        (bill,) = box.bill()
        assert (row["state"], row["error"], bill.end) == ("cancelled", "client_gone", "cut")
        sock.close()
