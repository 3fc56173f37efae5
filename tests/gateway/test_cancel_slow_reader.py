"""A client that asks and does not read: bounded memory, the upstream is held back, and after the timeout cancelled."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from harness import Box, running
from signalbox.simulator.settings import SimulatorSettings, default_providers

WRITE_TIMEOUT_S = 1.5
# 16 choices of 480 words of two thousand letters: about 15 MB, far more than all socket buffers on the way.
WORDS, LETTERS, CHOICES = 480, 2000, 16
HELD_BYTES_MAX = 2 * 1024 * 1024


def roomy() -> SimulatorSettings:
    """Providers whose small model takes a prompt of a megabyte."""
    providers = default_providers()
    spec = providers["openai"]
    small = msgspec.structs.replace(spec.models["sim-small"], context_tokens=1_000_000)
    providers["openai"] = msgspec.structs.replace(spec, models={**spec.models, "sim-small": small})
    return SimulatorSettings(providers=providers)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "state", {"server": {"write_timeout_s": WRITE_TIMEOUT_S}}, roomy()) as made:
        yield made


async def ask_and_not_read(box: Box, choices: int, *, receive_bytes: int) -> socket.socket:
    text = ("x" * LETTERS + " ") * WORDS
    body: dict[str, Any] = {
        "model": "w-chat",
        "messages": [{"role": "user", "content": f"[[text:{text}]]"}],
        "n": choices,
        "stream": True,
    }
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {box.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", box.port))
    await loop.sock_sendall(sock, head.encode() + data)
    return sock


async def test_the_upstream_is_held_back_then_cancelled(box: Box) -> None:
    sock = await ask_and_not_read(box, CHOICES, receive_bytes=4096)
    asked_s = time.monotonic()
    held_bytes = 0
    gateway = box.worker.gateway
    assert gateway is not None
    while not (box.sim.log.entries and box.sim.log.entries[-1].closed_s):
        await asyncio.sleep(0.01)
        for connection in gateway.connections:
            assert connection.transport is not None
            held_bytes = max(held_bytes, connection.transport.get_write_buffer_size())
        assert time.monotonic() - asked_s < 10, "the upstream was never closed"
    # Within the timeout, its tick of a second, and what the buffers took in before they were full.
    assert WRITE_TIMEOUT_S <= time.monotonic() - asked_s < WRITE_TIMEOUT_S + 3.5
    assert 0 < held_bytes < HELD_BYTES_MAX
    (row,) = await box.settled(1)
    (bill,) = box.bill()
    assert (row["state"], bill.end) == ("cancelled", "cut")
    assert bill.tokens_out < WORDS * CHOICES * 0.9, "the upstream wrote it all: nothing held it back"
    assert Decimal(row["cost_usd"]) * 10**12 >= bill.cost_pico
    assert not gateway.connections
    assert sum(pool.in_flight for pool in gateway.stages.transport.stats()) == 0
    sock.close()


async def test_one_who_half_closes_and_does_not_read_is_gone_at_once(tmp_path: Path) -> None:
    async with running(tmp_path / "state", {"server": {"write_timeout_s": 30}}, roomy()) as box:
        sock = await ask_and_not_read(box, CHOICES, receive_bytes=4096)
        gateway = box.worker.gateway
        assert gateway is not None
        while not any(connection.write_paused_at for connection in gateway.connections):
            await asyncio.sleep(0.01)
        sock.shutdown(socket.SHUT_WR)
        left_s = time.monotonic()
        while not box.sim.log.entries[-1].closed_s:
            await asyncio.sleep(0.01)
            assert time.monotonic() - left_s < 5, "the upstream was never closed"
        (row,) = await box.settled(1)
        (bill,) = box.bill()
        assert (row["state"], row["error"], bill.end) == ("cancelled", "client_gone", "cut")
        assert Decimal(row["cost_usd"]) * 10**12 >= bill.cost_pico
        sock.close()


async def test_a_slow_reader_who_goes_on_reading_gets_everything(box: Box) -> None:
    sock = await ask_and_not_read(box, 4, receive_bytes=1 << 16)
    loop = asyncio.get_running_loop()
    received = 0
    tail = b""
    while not tail.endswith(b"0\r\n\r\n"):
        piece = await loop.sock_recv(sock, 1 << 18)
        assert piece, "closed before the end"
        received += len(piece)
        tail = (tail + piece)[-16:]
        await asyncio.sleep(0.002)
    sock.close()
    assert received > WORDS * LETTERS * 4
    (row,) = await box.settled(1)
    assert (row["state"], row["usage_source"]) == ("settled", "provider")
