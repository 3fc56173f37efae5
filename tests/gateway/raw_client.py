"""A client that writes exactly the bytes it is told to, and reads one answer at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any, Self

from harness import Answer, Box, parse_answer

ENDPOINTS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4},
    "/v1/responses": {"model": "w-responses", "input": "hi", "max_output_tokens": 16},
    "/v1/messages": {"model": "w-messages", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4},
    "/v1/messages/count_tokens": {"model": "w-messages", "messages": [{"role": "user", "content": "hi"}]},
    "/v1/responses/input_tokens": {"model": "w-responses", "input": "hi"},
    "/v1/completions": {"model": "w-chat", "prompt": "hi", "max_tokens": 4},
    "/v1/embeddings": {"model": "w-embed", "input": "hi"},
}
CHAT_BODY = json.dumps(ENDPOINTS["/v1/chat/completions"]).encode()


def request_bytes(
    box: Box,
    body: bytes = CHAT_BODY,
    *,
    method: bytes = b"POST",
    target: bytes = b"/v1/chat/completions",
    version: bytes = b"1.1",
    host: bytes = b"host: t\r\n",
    more: bytes = b"",
    length: bool = True,
    credential: bytes | None = None,
    close: bool = True,
) -> bytes:
    """A good request but for what is asked to be otherwise. more and host: whole header lines, CRLF included."""
    lines = b"authorization: Bearer %b\r\n" % box.key.encode() if credential is None else credential
    lines += b"connection: close\r\n" if close else b""
    lines += b"content-length: %d\r\n" % len(body) if length else b""
    return b"%b %b HTTP/%b\r\n%b%b%b\r\n%b" % (method, target, version, host, lines, more, body)


def chunked(body: bytes = CHAT_BODY, size: bytes = b"%x", end: bytes = b"0\r\n\r\n") -> bytes:
    return (size % len(body)) + b"\r\n" + body + b"\r\n" + end


class Wire:
    """One connection to the gateway."""

    def __init__(self, box: Box) -> None:
        self._port = box.port

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        """What the gateway no longer takes is lost, as on any wire."""
        with contextlib.suppress(OSError):
            self.writer.write(data)
            await self.writer.drain()

    async def rest(self, within_s: float = 10.0) -> bytes:
        """Everything until the gateway closes."""
        return await asyncio.wait_for(self.reader.read(-1), within_s)

    async def answer(self, within_s: float = 10.0) -> Answer:
        """The next answer; the connection stays open. Answers that tell no length end with the connection."""
        async with asyncio.timeout(within_s):
            head = await self.reader.readuntil(b"\r\n\r\n")
            told = parse_answer(head)
            if "content-length" in told.headers:
                body = await self.reader.readexactly(int(told.headers["content-length"]))
            elif told.headers.get("transfer-encoding") == "chunked":
                body = await self.reader.readuntil(b"\r\n0\r\n\r\n")
            else:
                body = await self.reader.read(-1)
            return parse_answer(head + body)


def told_error(path: str, answer: Answer) -> str:
    """The code or type of an error body, after its shape was checked against the dialect of the path."""
    doc = answer.json
    assert answer.headers["content-type"] == "application/json"
    assert "Traceback" not in answer.body.decode()
    assert 'File "' not in answer.body.decode()
    if path.startswith("/v1/messages"):
        assert doc["type"] == "error", doc
        assert set(doc["error"]) >= {"type", "message"}, doc
        return doc["error"]["type"]
    assert set(doc) == {"error"}, doc
    assert set(doc["error"]) >= {"message", "type", "param", "code"}, doc
    return doc["error"]["code"]
