"""A provider that answers every request with the same bytes, whatever they are."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Self

KEY = "sk-canary-9f8e7d6c5b4a3210fedcba"


def http(status: int, body: bytes, headers: bytes = b"content-type: application/json\r\n") -> bytes:
    return b"HTTP/1.1 %d Told\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body)


class CannedUpstream:
    """answer: what it says from now on, after delay_s. asked: the requests that came, head and body."""

    def __init__(self) -> None:
        self.answer = b""
        self.delay_s = 0.0
        self.asked: list[bytes] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            self.asked.append(head + await reader.readexactly(length))
            await asyncio.sleep(self.delay_s)
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    def deployment(self, protocol: str, apis: list[str]) -> dict[str, Any]:
        return {
            "environment": "vllm-env",
            "protocol": protocol,
            "base_url": f"http://127.0.0.1:{self.port}" + ("/v1" if protocol == "openai" else ""),
            "allow_private": True,
            "model": "m",
            "api_key": KEY,
            "price": "free",
            "capabilities": {"apis": apis},
            # What it says is looked at call by call: nothing is learnt from the calls before.
            "health": {"enabled": False},
        }

    def config(self) -> dict[str, Any]:
        """Workloads `canned` (chat) and `canned-messages`; the others may fall over."""
        return {
            "deployments": {
                "told": self.deployment("openai", ["chat", "completions"]),
                "told-messages": self.deployment("anthropic", ["messages"]),
            },
            "workloads": {
                "canned": {"placements": ["told"]},
                "canned-messages": {"placements": ["told-messages"]},
                "canned-then-local": {"placements": ["told", "local"]},
                "canned-then-messages": {"placements": ["told", "messages"]},
                "messages-then-local": {"placements": ["messages", "local"]},
            },
        }
