"""Times a live deployment through the gateway: plain HTTP to our own front door, around no rule."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from signalbox.core.errors import ConfigError

# A short word is about one token everywhere.
WORD = "signal "
LINE_BYTES_MAX = 1 << 20


class Mix(Struct, frozen=True):
    input_tokens: int
    output_tokens: int


class Target(Struct, frozen=True):
    host: str
    port: int
    name: str
    key: str
    timeout_s: float

    @staticmethod
    def of(url: str, name: str, key: str, timeout_s: float) -> Target:
        """Raises ConfigError for a URL that is no gateway's."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ConfigError([f"--url: {url!r} is no gateway. Write one such as http://127.0.0.1:8700."])
        return Target(parts.hostname, parts.port or 80, name, key, timeout_s)


class Measured(Struct, frozen=True):
    """One number of calls at once. Times in ms; tokens as the answers' usage says."""

    deployment: str
    concurrency: int
    calls: int
    failed: int
    seconds: float
    input_tokens: float
    output_tokens: float
    output_tokens_per_s: float
    requests_per_s: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    tpot_ms: float
    e2e_p95_ms: float
    error: str = ""


class _Call(Struct):
    first_s: float = 0.0
    whole_s: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    error: str = ""


async def measure(target: Target, mix: Mix, concurrency: int, calls: int) -> Measured:
    """So many calls, never more at once than that; a slot is filled again as soon as it is free."""
    slots = asyncio.Semaphore(concurrency)

    async def one(number: int) -> _Call:
        async with slots:
            try:
                return await asyncio.wait_for(_call(target, mix, number), target.timeout_s)
            except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
                return _Call(error=str(error) or type(error).__name__)

    began = time.perf_counter()
    found = await asyncio.gather(*(one(number) for number in range(calls)))
    seconds = time.perf_counter() - began
    good = [each for each in found if not each.error]
    outputs = sum(each.tokens_out for each in good)
    each_token = [(each.whole_s - each.first_s) / (each.tokens_out - 1) * 1000 for each in good if each.tokens_out > 1]
    return Measured(
        deployment=target.name,
        concurrency=concurrency,
        calls=calls,
        failed=calls - len(good),
        seconds=seconds,
        input_tokens=sum(each.tokens_in for each in good) / max(1, len(good)),
        output_tokens=outputs / max(1, len(good)),
        output_tokens_per_s=outputs / seconds,
        requests_per_s=len(good) / seconds,
        ttft_p50_ms=_part([each.first_s * 1000 for each in good], 0.5),
        ttft_p95_ms=_part([each.first_s * 1000 for each in good], 0.95),
        tpot_ms=_part(each_token, 0.5),
        e2e_p95_ms=_part([each.whole_s * 1000 for each in good], 0.95),
        error=next((each.error for each in found if each.error), ""),
    )


def _part(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))] if values else 0.0


async def _call(target: Target, mix: Mix, number: int) -> _Call:
    """One streamed chat completion. A number at its head keeps prompts from being each other's cache."""
    body = msgspec.json.encode(
        {
            "model": target.name,
            "stream": True,
            "stream_options": {"include_usage": True},
            "max_tokens": mix.output_tokens,
            "messages": [{"role": "user", "content": f"{number} " + WORD * max(1, mix.input_tokens - 8)}],
        }
    )
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {target.host}\r\nauthorization: Bearer {target.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    began = time.perf_counter()
    reader, writer = await asyncio.open_connection(target.host, target.port, limit=LINE_BYTES_MAX)
    try:
        writer.write(head.encode() + body)
        status = (await reader.readline()).split(b" ")
        if len(status) < 2 or status[1] != b"200":
            raise ValueError(f"the gateway answered {status[1].decode() if len(status) > 1 else 'nothing'}")
        await _placed(reader, target.name)
        return await _read(reader, began)
    finally:
        writer.close()


async def _placed(reader: asyncio.StreamReader, name: str) -> None:
    """Reads the head. Only a gateway says where it placed a call: whatever else answers is not measured."""
    placement = ""
    while line := (await reader.readline()).strip():
        key, _, value = line.decode("latin-1").partition(":")
        if key.lower() == "x-signalbox-placement":
            placement = value.strip()
    if not placement.startswith(f"{name}@"):
        raise ValueError(f"served by {placement or 'no gateway'}, not by {name}")


async def _read(reader: asyncio.StreamReader, began: float) -> _Call:
    """Events by line; chunk sizes and empty lines between them say nothing here."""
    answer = _Call()
    complete = False
    while line := await reader.readline():
        if not line.startswith(b"data: "):
            continue
        data = line[6:].strip()
        if data == b"[DONE]":
            complete = True
            break
        event = msgspec.json.decode(data)
        if not answer.first_s and any(each.get("delta", {}).get("content") for each in event.get("choices", ())):
            answer.first_s = time.perf_counter() - began
        usage = event.get("usage")
        if usage:
            answer.tokens_in, answer.tokens_out = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)
    answer.whole_s = time.perf_counter() - began
    if not complete:
        raise ValueError("the answer was cut")
    answer.first_s = answer.first_s or answer.whole_s
    return answer


def verdict(found: Measured, planned: int) -> str:
    """What a measurement says about the plan's number of calls at once."""
    if found.failed:
        return f"{found.failed} of {found.calls} calls failed: {found.error}"
    return f"the plan counts on {planned} at once on each replica"
