"""Whole answers that leave together at the end of a turn: all of them, whole, in order, and before a close."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from canned_upstream import CannedUpstream, http

from harness import running
from signalbox.core.together import FEW

CALL = msgspec.json.encode({"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]})


ANSWER = msgspec.json.encode(
    {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
)


def _request(key: str, call: bytes = CALL, *, extra: str = "") -> bytes:
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\n{extra}content-length: {len(call)}\r\n\r\n"
    )
    return head.encode() + call


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


BEHIND = {
    "request": (b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"HTTP/1.1 200 "),
    "offer": (b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n", b"HTTP/1.1 100 "),
    "nonsense": (b"nonsense\r\n\r\n", b"HTTP/1.1 400 "),
}


@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("others", [0, FEW], ids=["alone", "busy"])
async def test_what_comes_behind_a_request_is_answered_behind_it(tmp_path: Path, others: int, behind: str) -> None:
    """It comes while the first one still runs, and is read in the same turn in which that one's answer is ready."""
    asked, told = BEHIND[behind]
    async with CannedUpstream() as upstream, running(tmp_path / "state", upstream.config()) as box:
        upstream.answer, upstream.delay_s = http(200, ANSWER), 0.3
        call = CALL.replace(b"w-chat", b"canned")
        reader, writer = await asyncio.open_connection("127.0.0.1", box.port)
        writer.write(_request(box.key, call))
        await asyncio.sleep(0.1)
        after = [asyncio.ensure_future(box.request("/v1/chat/completions", call)) for _ in range(others)]
        writer.write(asked + (b"content-length: 2\r\n\r\n" if behind == "offer" else b""))
        head, body = await asyncio.wait_for(_answer(reader), 60)
        assert head.startswith(b"HTTP/1.1 200 ")
        assert body == ANSWER
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n"), 60)).startswith(told)
        writer.close()
        assert {(await one).status for one in after} <= {200}
