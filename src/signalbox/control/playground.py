"""Tries a question out: asks the installation's own gateway as any client does, with a key of whoever tries."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from signalbox.upstream.tls import pinned

LINE_BYTES_MAX = 1 << 20
TEXT_CHARS_MAX = 200_000
ANSWER_S = 180.0
_HEADERS = ("x-signalbox-placement", "x-signalbox-reason", "x-request-id")


class Gateway(msgspec.Struct, frozen=True):
    """Where the data plane of this installation listens. certificate: the file of the one that it shows, empty where it
    speaks plainly."""

    host: str
    port: int
    certificate: Callable[[], str] = str


class Trial(msgspec.Struct, frozen=True):
    """model: a workload, or a deployment that the key may name. data: as in x-signalbox-data."""

    model: str
    text: str
    key: str
    max_tokens: int
    data: str = ""


class Piece(msgspec.Struct, frozen=True, omit_defaults=True):
    """One piece of what came back, in this order: a head (status and headers), texts, an end."""

    status: int = 0
    headers: dict[str, str] = {}
    text: str = ""
    end: bool = False
    error: str = ""
    first_ms: int = 0
    whole_ms: int = 0
    tokens_in: int = 0
    tokens_out: int = 0


async def tried(gateway: Gateway, trial: Trial) -> AsyncIterator[Piece]:
    """Ends with a piece whose `end` is set, whatever happened."""
    began = time.perf_counter()
    try:
        async with asyncio.timeout(ANSWER_S):
            async for piece in _asked(gateway, trial, began):
                yield piece
    except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
        yield Piece(end=True, error="The gateway did not answer to the end.", whole_ms=_ms(began))


async def _asked(gateway: Gateway, trial: Trial, began: float) -> AsyncIterator[Piece]:
    body = msgspec.json.encode(
        {
            "model": trial.model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": trial.max_tokens,
            "messages": [{"role": "user", "content": trial.text}],
        }
    )
    data = f"x-signalbox-data: {trial.data}\r\n" if trial.data else ""
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {gateway.host}\r\nauthorization: Bearer {trial.key}\r\n{data}"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    file = gateway.certificate()
    tls = pinned(file) if file else None
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port, limit=LINE_BYTES_MAX, ssl=tls)
    try:
        writer.write(head.encode("latin-1") + body)
        first = (await reader.readline()).split(b" ")
        status = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
        yield Piece(status=status, headers=await _headers(reader))
        if status != 200:
            yield Piece(end=True, error=_said(await reader.read(LINE_BYTES_MAX)), whole_ms=_ms(began))
            return
        async for piece in _stream(reader, began):
            yield piece
    finally:
        writer.close()


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() in _HEADERS:
            found[name.lower()] = value.strip()
    return found


async def _stream(reader: asyncio.StreamReader, began: float) -> AsyncIterator[Piece]:
    first_ms = tokens_in = tokens_out = chars = 0
    error = "The answer was cut."
    while line := await reader.readline():
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            error = ""
            break
        event: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        if "error" in event:
            error = _said(data)
            break
        text = "".join(choice.get("delta", {}).get("content") or "" for choice in event.get("choices", ()))
        if text and chars < TEXT_CHARS_MAX:
            first_ms, chars = first_ms or _ms(began), chars + len(text)
            yield Piece(text=text[:TEXT_CHARS_MAX])
        usage: dict[str, int] = event.get("usage") or {}
        tokens_in, tokens_out = usage.get("prompt_tokens", tokens_in), usage.get("completion_tokens", tokens_out)
    yield Piece(
        end=True, error=error, first_ms=first_ms, whole_ms=_ms(began), tokens_in=tokens_in, tokens_out=tokens_out
    )


def _said(body: bytes) -> str:
    """The sentence of an error body, whose framing may be chunked."""
    start, end = body.find(b"{"), body.rfind(b"}")
    try:
        told = msgspec.json.decode(body[start : end + 1], type=dict[str, Any])
        return str(told["error"]["message"])[:2000]
    except (msgspec.MsgspecError, KeyError, TypeError):
        return "The gateway refused it."


def _ms(began: float) -> int:
    return round((time.perf_counter() - began) * 1000)
