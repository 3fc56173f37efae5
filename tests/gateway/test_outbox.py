"""Whole answers that leave together at the end of a turn: all of them, whole, in order, and before a close."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from harness import running

CALL = msgspec.json.encode({"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]})


def _request(key: str, *, extra: str = "") -> bytes:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\n{extra}content-length: {len(CALL)}\r\n\r\n"
    )
    return head.encode() + CALL


async def _answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head, await reader.readexactly(length)


@pytest.mark.parametrize("many", [1, 15, 16, 17, 100])
@pytest.mark.parametrize("close", ["", "connection: close\r\n"], ids=["kept", "closed"])
async def test_answers_of_many_callers_come_whole(tmp_path: Path, many: int, close: str) -> None:
    async with running(tmp_path / "state") as box:
        streams = [await asyncio.open_connection("127.0.0.1", box.port) for _ in range(many)]
        for again in range(1 if close else 3):
            for _, writer in streams:
                writer.write(_request(box.key, extra=close))
            ids = set()
            for reader, _ in streams:
                head, body = await asyncio.wait_for(_answer(reader), 60)
                assert head.startswith(b"HTTP/1.1 200 "), (again, head, body)
                assert msgspec.json.decode(body)["object"] == "chat.completion"
                ids.add(head.lower().split(b"x-request-id: ")[1].split(b"\r\n")[0])
                assert (b"connection: close" in head) == bool(close)
            assert len(ids) == many
        for reader, writer in streams:
            if close:
                assert await reader.read() == b""
            writer.close()


async def test_a_request_behind_another_is_answered_behind_it(tmp_path: Path) -> None:
    """The second one comes while the first still runs; what it gets is its own answer, after the first one's."""
    async with running(tmp_path / "state") as box:
        reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
        writer.write(_request(box.key))
        await asyncio.sleep(0.001)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        head, body = await asyncio.wait_for(_answer(reader), 60)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert msgspec.json.decode(body)["object"] == "chat.completion"
        rest = await asyncio.wait_for(reader.read(), 60)
        assert rest.startswith(b"HTTP/1.1 200 ")
        writer.close()
