"""Clients that are slow, endless, enormous or random: bounded in time and memory, and nobody else notices."""

import asyncio
import contextlib
import gzip
import json
import os
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_client import CHAT_BODY, Wire, request_bytes

from harness import Box, parse_answer, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

MIB = 1024 * 1024
TICK_S = 1.0
TE = b"transfer-encoding: chunked\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hasty(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    """An installation with short patience."""
    path: Path = tmp_path_factory.mktemp("hasty") / "state"
    async with running(path, {"server": {"body_bytes_max": MIB}}) as box:
        gateway = box.worker.gateway
        assert gateway is not None
        gateway.limits = msgspec.structs.replace(
            gateway.limits, head_s=0.5, body_idle_s=0.5, body_total_s=1.5, keep_alive_s=0.5, linger_s=1.0
        )
        yield box


def rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


async def drip(wire: Wire, data: bytes, gap_s: float = 0.1) -> None:
    with contextlib.suppress(ConnectionError):
        for at in range(len(data)):
            await wire.send(data[at : at + 1])
            await asyncio.sleep(gap_s)


async def slow(box: Box, at_once: bytes, slowly: bytes) -> bytes:
    """What a client gets that sends some at once and the rest byte by byte."""
    async with Wire(box) as wire:
        await wire.send(at_once)
        dripping = asyncio.get_running_loop().create_task(drip(wire, slowly))
        received = await wire.rest(within_s=10)
        dripping.cancel()
        return received


async def test_slow_heads_and_bodies_get_408_and_others_are_served_meanwhile(hasty: Box) -> None:
    raw = request_bytes(hasty)
    chunked = request_bytes(hasty, b"", more=TE, length=False)
    cases = {
        "head stops": (raw[:30], b""),
        "head drips": (b"", raw),
        "head ends in a header": (raw[:60], b"a" * 1000),
        "body never comes": (raw[: -len(CHAT_BODY)], b""),
        "body stops": (raw[:-10], b""),
        "body drips": (raw[: -len(CHAT_BODY)], CHAT_BODY),
        "chunk sizes drip": (chunked, b"1\r\na\r\n" * 100),
        "a chunk extension drips": (chunked + b"5;", b"a" * 1000),
        "trailers drip": (chunked + b"5\r\nhello\r\n0\r\n", b"a: b\r\n" * 100),
    }
    before, began = len(hasty.sim.log.entries), time.monotonic()
    running_ = [asyncio.ensure_future(slow(hasty, *case)) for case in cases.values()]
    served = 0
    while not all(task.done() for task in running_):
        asked = time.monotonic()
        assert (await hasty.request("/healthz")).status == 200
        assert time.monotonic() - asked < 3
        served += 1
        await asyncio.sleep(0.05)
    assert time.monotonic() - began < 1.5 + 1.0 + 2 * TICK_S + 5
    assert served > 5
    for name, task in zip(cases, running_, strict=True):
        answer = parse_answer(task.result())
        assert answer.status == 408, (name, task.result())
        assert answer.headers["connection"] == "close"
        assert answer.json["error"]["code"] == "request_timeout"
    assert len(hasty.sim.log.entries) == before


async def test_connections_that_say_nothing_are_closed(hasty: Box) -> None:
    async def nothing(sent: bytes) -> bytes:
        async with Wire(hasty) as wire:
            await wire.send(sent)
            return await wire.rest(within_s=0.5 + 2 * TICK_S + 1)

    kept = request_bytes(hasty, b"", method=b"GET", target=b"/healthz", close=False)
    silent, empty_lines, idle = await asyncio.gather(nothing(b""), nothing(b"\r\n" * 5), nothing(kept))
    assert silent == b""
    assert empty_lines == b""
    assert parse_answer(idle).status == 200


async def test_hundreds_of_slow_clients_change_nothing_for_a_good_one(hasty: Box) -> None:
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(300):
            wire = await stack.enter_async_context(Wire(hasty))
            await wire.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nx-slow: ")
        began = time.monotonic()
        for _ in range(20):
            assert (await hasty.raw(request_bytes(hasty))).status == 200
        assert time.monotonic() - began < 2
    gateway = hasty.worker.gateway
    assert gateway is not None
    for _ in range(100):
        if not gateway.connections:
            break
        await asyncio.sleep(0.05)
    assert not gateway.connections


async def test_connections_beyond_the_limit_are_refused_and_the_rest_go_on(hasty: Box) -> None:
    gateway = hasty.worker.gateway
    assert gateway is not None
    before = gateway.limits
    gateway.limits = msgspec.structs.replace(before, connections_max=len(gateway.connections) + 2, head_s=5.0)
    try:
        async with Wire(hasty) as one, Wire(hasty):
            await asyncio.sleep(0.05)
            async with Wire(hasty) as third:
                with contextlib.suppress(ConnectionError):
                    assert await third.rest(within_s=1) == b""
            await one.send(request_bytes(hasty))
            assert (await one.answer()).status == 200
    finally:
        gateway.limits = before


# Where a gzip stream may stand still for ever: its start, and a stored block of no bytes.
GZIP_START = zlib.compressobj(wbits=16 + zlib.MAX_WBITS).flush(zlib.Z_SYNC_FLUSH)
NOTHING = b"\x00\x00\x00\xff\xff" * (MIB // 5)


def as_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


ENDLESS = {
    # name: head lines, what is sent first, what is sent again and again, status
    "a header value": (b"x-a: ", b"", b"a" * 65536, 431),
    "a header name": (b"", b"", b"a" * 65536, 431),
    "headers": (b"", b"", b"".join(b"x-%d: y\r\n" % n for n in range(1000)), 431),
    "a chunked body": (TE + b"\r\n", b"", as_chunk(b"a" * 65536), 413),
    "a chunk": (TE + b"\r\n", b"ffffffffff\r\n", b"a" * 65536, 413),
    "chunks of one byte": (TE + b"\r\n", b"", b"1\r\na\r\n" * 10_000, 413),
    "a chunk extension": (TE + b"\r\n", b"5;a=", b"a" * 65536, 413),
    "trailers": (TE + b"\r\n", b"5\r\nhello\r\n0\r\n", b"x-a: b\r\n" * 8000, 413),
    "a trailer": (TE + b"\r\n", b"5\r\nhello\r\n0\r\nx-a: ", b"a" * 65536, 413),
    "a gzip bomb": (
        TE + b"content-encoding: gzip\r\n\r\n",
        as_chunk(gzip.compress(bytes(64 * MIB), 9)),
        b"",
        413,
    ),
    "gzip that holds nothing": (
        TE + b"content-encoding: gzip\r\n\r\n",
        as_chunk(GZIP_START),
        as_chunk(NOTHING),
        413,
    ),
    "behind the end of gzip": (
        TE + b"content-encoding: gzip\r\n\r\n",
        as_chunk(gzip.compress(b"{}")),
        as_chunk(b"a" * 65536),
        400,
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_what_never_ends_is_refused_in_bounded_memory_and_the_client_can_read_why(hasty: Box, name: str) -> None:
    """The client goes on sending after the refusal, as clients do: the answer must not be lost in a reset."""
    head, first, again, status = ENDLESS[name]
    before_mib = rss_mib()
    async with Wire(hasty) as wire:
        await wire.send(request_bytes(hasty, b"", length=False)[:-2] + head + first)

        async def pour() -> None:
            for _ in range(64):
                await wire.send(again)
                await asyncio.sleep(0)

        pouring = asyncio.get_running_loop().create_task(pour())
        answer = await wire.answer()
        await asyncio.wait_for(pouring, 5)
    assert answer.status == status, answer.body
    assert rss_mib() - before_mib < 24


async def test_a_body_in_chunks_of_one_byte_costs_no_more_than_its_size(hasty: Box) -> None:
    text = "a" * 900_000
    body = json.dumps({"model": "w-chat", "messages": [{"role": "user", "content": text}]}).encode()
    raw = request_bytes(hasty, b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n", more=TE, length=False)
    gateway = hasty.worker.gateway
    assert gateway is not None
    before = gateway.limits
    gateway.limits = msgspec.structs.replace(before, body_bytes_max=4 * MIB, body_total_s=10)
    before_mib = rss_mib()
    try:
        answer = await hasty.raw(raw)
    finally:
        gateway.limits = before
    assert answer.status in (200, 400), answer.body[:200]  # the model's context may be too small for it
    assert rss_mib() - before_mib < 32


async def test_a_body_of_just_the_limit_is_taken_and_one_byte_more_is_not(hasty: Box) -> None:
    body = CHAT_BODY + b" " * (MIB - len(CHAT_BODY))
    assert (await hasty.raw(request_bytes(hasty, body))).status == 200
    assert (await hasty.raw(request_bytes(hasty, body + b" "))).status == 413
    zipped = b"content-encoding: gzip\r\n"
    assert (await hasty.raw(request_bytes(hasty, gzip.compress(body), more=zipped))).status == 200
    answer = await hasty.raw(request_bytes(hasty, gzip.compress(body + b" "), more=zipped, target=b"/v1/messages"))
    assert answer.status == 413
    assert answer.json["error"]["type"] == "request_too_large"


async def test_heads_up_to_the_limits_are_taken(hasty: Box) -> None:
    assert (await hasty.raw(request_bytes(hasty, more=b"x-a: %b\r\n" % (b"a" * 60_000)))).status == 200
    assert (await hasty.raw(request_bytes(hasty, more=b"x-a: %b\r\n" % (b"a" * 70_000)))).status == 431
    halves = b"x-a: %b\r\nx-b: %b\r\n" % (b"a" * 35_000, b"b" * 35_000)
    assert (await hasty.raw(request_bytes(hasty, more=halves))).status == 431
    assert (await hasty.raw(request_bytes(hasty, more=b"".join(b"x-%d: 1\r\n" % n for n in range(120))))).status == 200
    assert (await hasty.raw(request_bytes(hasty, more=b"".join(b"x-%d: 1\r\n" % n for n in range(130))))).status == 431
    assert (await hasty.raw(request_bytes(hasty, target=b"/v1/chat/completions?" + b"a" * 8000))).status == 200
    assert (await hasty.raw(request_bytes(hasty, target=b"/v1/chat/completions?" + b"a" * 9000))).status == 431


async def test_more_than_a_little_sent_ahead_ends_the_connection(hasty: Box) -> None:
    slow_body = json.dumps({"model": "w-chat", "messages": [{"role": "user", "content": "[[ttft_ms:3000]]x"}]})
    async with Wire(hasty) as wire:
        await wire.send(request_bytes(hasty, slow_body.encode(), close=False))
        await asyncio.sleep(0.1)
        for _ in range(8):
            await wire.send(b"a" * 65536)
        with contextlib.suppress(ConnectionError):
            assert await wire.rest(within_s=2) == b""


async def test_a_client_that_closes_its_sending_side_is_gone(hasty: Box) -> None:
    """Nothing tells a half close from a close, so its call is cancelled rather than paid for in vain."""
    slow_body = json.dumps({"model": "w-chat", "messages": [{"role": "user", "content": "[[ttft_ms:5000]]x"}]})
    async with Wire(hasty) as wire:
        await wire.send(request_bytes(hasty, slow_body.encode(), close=False))
        await asyncio.sleep(0.1)
        wire.writer.write_eof()
        assert await wire.rest(within_s=2) == b""
    for _ in range(50):
        if hasty.sim.log.entries[-1].closed_s:
            break
        await asyncio.sleep(0.02)
    assert hasty.sim.log.entries[-1].closed_s


NEARLY = st.sampled_from([b"POST /v1/chat/completions HTTP/1.1\r\n", b"GET / HTTP/1.1\r\n", b"content-length: 5\r\n"])
PIECES = st.lists(
    st.binary(max_size=60) | NEARLY | st.sampled_from([b"\r\n", b"\r\n\r\n", TE, b"host: t\r\n", b"\0", b"0\r\n\r\n"]),
    max_size=12,
)


@given(pieces=PIECES)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_random_bytes_never_hang_a_connection_or_reach_a_model(hasty: Box, pieces: list[bytes]) -> None:
    before = len(hasty.sim.log.entries)
    async with Wire(hasty) as wire:
        for piece in pieces:
            await wire.send(piece)
        with contextlib.suppress(OSError):
            wire.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            received = await wire.rest(within_s=5)
            for part in received.split(b"HTTP/1.1 ")[1:]:
                assert part[:1] in (b"4", b"O") or part[:3] in (b"100", b"and"), part
    assert len(hasty.sim.log.entries) == before
    assert (await hasty.request("/healthz")).status == 200
