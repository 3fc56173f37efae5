"""However the network cuts an answer, and whatever it does to it, the same body arrives or a fault says so."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from upstream_lab import STREAM_HEAD, Upstream, chunked, deployment, permit

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Timeouts
from signalbox.upstream.head import request_head
from signalbox.upstream.transport import Transport

HEAD = request_head(b"/x", [])


def exchange(answers: list[list[bytes]]) -> list[Any]:
    """Asks once for each answer, which is written in these pieces over connections that stay open; returns each
    (status, headers, body), or the kind of the fault."""

    async def run() -> list[Any]:
        remaining = iter(answers)

        async def script(peer: Any) -> None:
            while True:
                await peer.request()
                for piece in next(remaining):
                    peer.writer.write(piece)
                    await asyncio.sleep(0)
                    await peer.writer.drain()

        upstream = Upstream(script)
        await upstream.start()
        transport = Transport()
        target = deployment(upstream.origin(), timeouts=Timeouts(headers_s=0.15, idle_s=0.15, total_s=5))
        results: list[Any] = []
        try:
            for _ in answers:
                try:
                    response = await transport.send(permit(target), upstream.origin(), HEAD)
                    body = b""
                    while data := await response.chunk():
                        body += data
                    results.append((response.status, response.headers, body))
                except UpstreamFault as fault:
                    results.append(fault.kind)
        finally:
            await transport.close()
            await upstream.stop()
        return results

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run())


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = sorted({0, len(data), *(i % (len(data) + 1) for i in at)})
    return [data[a:b] for a, b in itertools.pairwise(marks)]


pieces = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
cuts = st.lists(st.integers(0, 10_000), max_size=12)


@settings(max_examples=60, deadline=None)
@given(body=pieces, at=cuts, framing=st.sampled_from(["chunked", "length"]))
def test_any_cut_gives_the_same_answer(body: list[bytes], at: list[int], framing: str) -> None:
    plain = b"".join(body)
    if framing == "chunked":
        whole = STREAM_HEAD + b"".join(map(chunked, body)) + b"0\r\n\r\n"
    else:
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-A: \r\n\r\n" % len(plain) + plain
    uncut, split = exchange([[whole], cut(whole, at)])
    assert uncut == split
    assert uncut[2] == plain


def test_byte_by_byte() -> None:
    whole = STREAM_HEAD + b"".join(chunked(b"data: %d\n\n" % i) for i in range(20)) + b"0\r\n\r\n"
    [(status, headers, body)] = exchange([[whole[i : i + 1] for i in range(len(whole))]])
    assert status == 200
    assert (b"content-type", b"text/event-stream") in headers
    assert body == b"".join(b"data: %d\n\n" % i for i in range(20))


@settings(max_examples=40, deadline=None)
@given(
    garbage=st.binary(max_size=60),
    place=st.integers(0, 10_000),
    length=st.integers(0, 60),
)
def test_damage_never_escapes_as_anything_but_a_fault(garbage: bytes, place: int, length: int) -> None:
    whole = STREAM_HEAD + chunked(b"hello") + chunked(b"world") + b"0\r\n\r\n"
    at = place % len(whole)
    [result] = exchange([[whole[:at] + garbage + whole[at + length :]]])
    assert isinstance(result, tuple) or result in ("protocol", "headers_timeout", "idle_timeout", "truncated", "reset")


@pytest.mark.parametrize("end", range(1, len(STREAM_HEAD) + 20, 7))
def test_a_cut_off_answer_is_never_a_success(end: int) -> None:
    async def run() -> str:
        async def script(peer: Any) -> None:
            await peer.request()
            await peer.say((STREAM_HEAD + chunked(b"hello world") + b"0\r\n\r\n")[:end])

        upstream = Upstream(script)
        await upstream.start()
        transport = Transport()
        target = deployment(upstream.origin())
        try:
            response = await transport.send(permit(target), upstream.origin(), HEAD)
            while await response.chunk():
                pass
        except UpstreamFault as fault:
            return fault.kind
        finally:
            await transport.close()
            await upstream.stop()
        return "success"

    assert asyncio.run(run()) in ("truncated", "reset")
