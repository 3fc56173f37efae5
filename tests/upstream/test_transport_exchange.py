"""One exchange at a time: framing, reuse, stale connections, cancellation, faults in the middle."""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib

import pytest
from upstream_lab import (
    HEAD,
    OK,
    STREAM_HEAD,
    Peer,
    Upstream,
    World,
    ask,
    chunked,
    deployment,
    eventually,
    permit,
)

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Timeouts
from signalbox.upstream.head import request_head


async def serve_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(OK)


def once(*pieces: bytes, pause_s: float = 0.0, hold: bool = False):
    """Answers the first request with these pieces, then closes (or waits for the other side to)."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(*pieces, pause_s=pause_s)
        if hold:
            await peer.closed()

    return script


async def read_all(response) -> bytes:
    out = b""
    while piece := await response.chunk():
        out += piece
    return out


async def whole_answer(world: World, upstream: Upstream, **timeouts: float) -> bytes:
    return await (await ask(world, upstream.origin(), **timeouts)).body(1 << 20)


async def test_a_request_is_sent_as_it_was_permitted_and_answered(world: World) -> None:
    seen = []

    async def script(peer: Peer) -> None:
        seen.append(await peer.request())
        await peer.say(OK)
        await peer.closed()

    upstream = await world.upstream(script)
    response = await ask(world, upstream.origin(), body=b'{"model": "m"}')
    assert (response.status, await response.body(100)) == (200, b"ok")
    assert (b"x-request-id", b"r1") in response.headers
    assert response.reused is False
    head, body = seen[0]
    assert body == b'{"model": "m"}'
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v1/chat/completions HTTP/1.1"
    assert b"host: 127.0.0.1:%d" % upstream.port in lines
    assert b"accept-encoding: identity" in lines
    assert b"content-length: 14" in lines
    assert response.connect_us > 0
    assert response.ttfb_us > 0


async def test_a_connection_serves_again_and_the_last_used_one_first(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    for i in range(5):
        response = await ask(world, upstream.origin())
        assert await response.body(100) == b"ok"
        assert response.reused is (i > 0)
    assert upstream.connections == 1


async def test_a_permit_opens_no_other_deployments_door(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    other = deployment(upstream.origin(port=1))
    with pytest.raises(ValueError, match="another deployment"):
        await world.transport.send(permit(other), upstream.origin(), HEAD)
    assert upstream.connections == 0


async def test_a_probe_asks_for_nothing_but_probes(world: World) -> None:
    seen = []

    async def script(peer: Peer) -> None:
        seen.append((await peer.request())[0])
        await peer.say(OK)
        await peer.closed()

    upstream = await world.upstream(script)
    target = deployment(upstream.origin())
    response = await world.transport.probe(target, upstream.origin(), request_head(b"/models", []))
    assert await response.body(10) == b"ok"
    assert seen[0].startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"content-length" not in seen[0]
    with pytest.raises(ValueError, match="probe"):
        await world.transport.probe(target, upstream.origin(), request_head(b"/chat/completions", []))


async def test_separate_pools_for_two_deployments_at_one_origin(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    origin = upstream.origin()
    for name in ("one", "two"):
        target = deployment(origin, name=name)
        response = await world.transport.send(permit(target), origin, HEAD)
        await response.body(10)
    assert upstream.connections == 2
    assert {(s.deployment, s.open, s.idle) for s in world.transport.stats()} == {("one", 1, 1), ("two", 1, 1)}


@pytest.mark.parametrize(
    ("answer", "body", "reusable"),
    [
        (OK, b"ok", True),
        (STREAM_HEAD + b"2\r\nok\r\n1;x=y\r\n!\r\n0\r\nx-t: 1\r\n\r\n", b"ok!", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + OK, b"ok", True),
        (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", b"ok", False),
        (OK + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil", b"ok", False),
        (OK + b"surplus", b"ok", False),
        (b"HTTP/1.1 307 Elsewhere\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n", b"", True),
    ],
)  # fmt: skip
async def test_bodies_end_where_they_say(world: World, answer: bytes, body: bytes, reusable: bool) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(answer)

    upstream = await world.upstream(script)
    for _ in range(2):
        response = await ask(world, upstream.origin())
        assert await response.body(1000) == body
        assert await response.chunk() == b""
        assert not any(name == b"link" for name, _ in response.headers)
    assert upstream.connections == (1 if reusable else 2)
    await eventually(lambda: upstream.open == (1 if reusable else 0))


async def test_a_body_without_length_ends_with_the_connection(world: World) -> None:
    upstream = await world.upstream(once(b"HTTP/1.1 200 OK\r\n\r\n", b"abc", b"def"))
    response = await ask(world, upstream.origin())
    assert await response.body(100) == b"abcdef"
    assert world.transport.stats()[0].open == 0


# Without the time of packing, which would name the case otherwise in each process.
_PACKED = gzip.compress(b"abc", mtime=0)
CUT_GZIP = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 9\r\n\r\n" + _PACKED[:9]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-le", "reset"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", "truncated"),
        (STREAM_HEAD + chunked(b"abc"), "truncated"),
        (STREAM_HEAD + chunked(b"abc") + b"0\r\n", "truncated"),
        (b"SSH-2.0-OpenSSH\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\nok", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nok", "protocol"),
        (b"HTTP/1.1 200 OK\r\nfoo: a\r\n b\r\ncontent-length: 0\r\n\r\n", "protocol"),
        (b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 2\r\n\r\nok", "protocol"),
        (b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nok", "protocol"),
        (CUT_GZIP, "truncated"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-pad: " + b"a" * 70_000, "protocol"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000 + b"\r\n", "protocol"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000, "protocol"),
        (STREAM_HEAD + b"1;" + b"x" * 200_000, "protocol"),
        (STREAM_HEAD + chunked(b"a") + b"0\r\n" + b"t: u\r\n" * 40_000, "protocol"),
    ],
)  # fmt: skip
async def test_broken_answers_have_a_kind(world: World, answer: bytes, kind: str) -> None:
    upstream = await world.upstream(once(answer))
    with pytest.raises(UpstreamFault) as caught:
        await whole_answer(world, upstream, headers_s=3, idle_s=3)
    assert caught.value.kind == kind
    assert caught.value.sent is True
    await eventually(lambda: upstream.open == 0 and world.transport.stats()[0].open == 0)


async def test_what_arrived_before_a_reset_is_read_before_the_fault(world: World) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM_HEAD + chunked(b"first"))
        await go_on.wait()
        peer.reset()

    upstream = await world.upstream(script)
    response = await ask(world, upstream.origin(), stream=True)
    await asyncio.sleep(0.05)
    assert await response.chunk() == b"first"
    go_on.set()
    for _ in range(2):
        with pytest.raises(UpstreamFault) as caught:
            await response.chunk()
        assert caught.value.kind == "reset"


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_stale_connection_costs_exactly_one_retry(world: World, how: str) -> None:
    served = []

    async def script(peer: Peer) -> None:
        await peer.request()
        served.append("first")
        await peer.say(OK)
        await peer.request()  # the second request arrives on a connection that dies without a word
        served.append("stale")
        if how == "reset":
            peer.reset()

    upstream = await world.upstream(script)
    assert await (await ask(world, upstream.origin())).body(10) == b"ok"
    response = await ask(world, upstream.origin())
    assert await response.body(10) == b"ok"
    assert (response.retried, response.reused) == (True, False)
    assert served == ["first", "stale", "first"]

    async def dies(peer: Peer) -> None:
        await peer.request()
        served.append("dead")

    served.clear()
    upstream.script = dies  # the retry fails too: that is the end of it
    with pytest.raises(UpstreamFault) as caught:
        await ask(world, upstream.origin())
    assert caught.value.kind == "reset"
    assert served == ["stale", "dead"]


async def test_a_fresh_connection_that_dies_is_not_retried(world: World) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()

    upstream = await world.upstream(script)
    with pytest.raises(UpstreamFault, match="closed before an answer"):
        await ask(world, upstream.origin())
    assert upstream.connections == 1


async def test_an_answer_that_began_is_not_retried(world: World) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.request()
        await peer.say(b"HTTP/1.1 2")

    upstream = await world.upstream(script)
    await (await ask(world, upstream.origin())).body(10)
    with pytest.raises(UpstreamFault):
        await ask(world, upstream.origin())
    assert upstream.connections == 1


async def test_a_connection_closed_while_idle_leaves_the_pool(world: World) -> None:
    upstream = await world.upstream(once(OK))
    await (await ask(world, upstream.origin())).body(10)
    await eventually(lambda: world.transport.stats()[0].open == 0)
    response = await ask(world, upstream.origin())
    assert response.retried is False


async def test_bytes_on_an_idle_connection_close_it(world: World) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await asyncio.sleep(0.05)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await peer.closed()

    upstream = await world.upstream(script)
    await (await ask(world, upstream.origin())).body(10)
    await eventually(lambda: upstream.open == 0)
    assert await (await ask(world, upstream.origin())).body(10) == b"ok"


@pytest.mark.parametrize("when", ["connecting", "head", "body"])
async def test_cancelled_means_the_socket_closes_at_once(world: World, when: str) -> None:
    gone = asyncio.Event()
    arrived = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        if when == "body":
            await peer.say(STREAM_HEAD + chunked(b"x"))
        arrived.set()
        await peer.closed()
        gone.set()

    upstream = await world.upstream(script)

    async def call() -> None:
        response = await ask(world, upstream.origin())
        while await response.chunk():
            pass

    task = asyncio.create_task(call())
    if when == "connecting":
        await asyncio.sleep(0)
    else:
        await arrived.wait()
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    if when != "connecting":
        async with asyncio.timeout(0.1):
            await gone.wait()
    await eventually(lambda: upstream.open == 0)
    stats = world.transport.stats()[0]
    assert (stats.open, stats.idle, stats.in_flight) == (0, 0, 0)


async def test_release_of_an_unfinished_answer_closes_its_socket(world: World) -> None:
    upstream = await world.upstream(once(STREAM_HEAD + chunked(b"x"), hold=True))
    response = await ask(world, upstream.origin())
    response.release()
    response.release()
    await eventually(lambda: upstream.open == 0, 0.2)
    with pytest.raises(UpstreamFault):
        await read_all(response)


async def test_an_answer_over_by_its_own_word_gives_its_connection_back(world: World) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(STREAM_HEAD + chunked(b"data: [DONE]\n\n"), pause_s=0.03)
            await peer.say(b"0\r\n\r\n")

    upstream = await world.upstream(script)
    for i in range(3):
        response = await ask(world, upstream.origin(), stream=True)
        assert await response.chunk() == b"data: [DONE]\n\n"
        response.release(ended=True)
        await eventually(lambda: world.transport.stats()[0].idle == 1)
        assert response.reused is (i > 0)
    assert upstream.connections == 1


@pytest.mark.parametrize("tail", [b"", chunked(b": bye\n\n"), chunked(b"x" * 40_000)])
async def test_an_answer_that_does_not_end_after_its_own_word_is_cut(world: World, tail: bytes) -> None:
    upstream = await world.upstream(once(STREAM_HEAD + chunked(b"data: [DONE]\n\n"), tail, pause_s=0.1, hold=True))
    response = await ask(world, upstream.origin())
    await response.chunk()
    response.release(ended=True)
    await eventually(lambda: upstream.open == 0, 1.5)


async def test_a_reader_that_fails_is_given_no_more_of_what_came_in_the_same_turn(world: World) -> None:
    upstream = await world.upstream(once(STREAM_HEAD, hold=True))
    response = await ask(world, upstream.origin())
    connection = response._carrier
    given: list[bytes] = []

    def sink(piece: bytes) -> bool:
        given.append(piece)
        raise UpstreamFault("protocol", "not an event", sent=True)

    pushing = asyncio.create_task(response.push(sink))
    await asyncio.sleep(0)
    connection.data_received(chunked(b"not an event"))  # as where one read was not enough
    connection.data_received(chunked(b"an event"))
    with pytest.raises(UpstreamFault, match="not an event"):
        await pushing
    assert given == [b"not an event"]


async def test_an_answer_longer_than_allowed_is_refused_and_cut(world: World) -> None:
    upstream = await world.upstream(once(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 5000, hold=True))
    response = await ask(world, upstream.origin())
    with pytest.raises(UpstreamFault, match="longer than 4000 bytes"):
        await response.body(4000)
    await eventually(lambda: upstream.open == 0)


async def test_a_slow_reader_pauses_the_upstream_instead_of_filling_memory(world: World) -> None:
    sent = 0
    total = 24 * 1024 * 1024
    piece = chunked(b"a" * 65536)

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.say(STREAM_HEAD)
        for _ in range(total // 65536):
            await peer.say(piece)
            sent += 65536
        await peer.say(b"0\r\n\r\n")
        await peer.closed()

    upstream = await world.upstream(script)
    response = await ask(world, upstream.origin(), idle_s=0.3)
    await asyncio.sleep(0.6)  # longer than idle_s: our own slowness is not the upstream's silence
    assert response.unread <= 1024 * 1024
    assert sent < total
    read = largest = 0
    while data := await response.chunk():
        read += len(data)
        largest = max(largest, len(data))
    assert read == total
    assert largest <= 1024 * 1024
    await eventually(lambda: world.transport.stats()[0].idle == 1)


async def test_a_large_request_body_arrives_whole(world: World) -> None:
    body = os.urandom(3 * 1024 * 1024)
    got = []

    async def script(peer: Peer) -> None:
        got.append((await peer.request())[1])
        await peer.say(OK)
        await peer.closed()

    upstream = await world.upstream(script)
    assert await (await ask(world, upstream.origin(), body=body)).body(10) == b"ok"
    assert got == [body]


async def test_an_early_refusal_of_a_large_body_is_read_and_the_connection_dropped(world: World) -> None:
    async def script(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\n\r\nbig")
        await asyncio.sleep(0.3)

    upstream = await world.upstream(script)
    response = await ask(world, upstream.origin(), body=b"a" * (32 * 1024 * 1024))
    assert (response.status, await response.body(10)) == (413, b"big")
    assert world.transport.stats()[0].open == 0


def deflate_raw(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        (b"gzip", gzip.compress),
        (b"GZIP", lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:])),
        (b"deflate", zlib.compress),
        (b"deflate", deflate_raw),
        (b"identity", bytes),
    ],
)
async def test_encoded_answers_are_decoded(world: World, encoding: bytes, pack, split: bool) -> None:
    plain = b"".join(b"data: %d\n\n" % i for i in range(200))
    packed = pack(plain)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: %b\r\ncontent-length: %d\r\n\r\n" % (encoding, len(packed))
    pieces = [packed[i : i + 1] for i in range(len(packed))][:300] if split else [packed]
    if split:
        pieces.append(packed[300:])
    upstream = await world.upstream(once(head, *pieces, hold=True))
    assert await read_all(await ask(world, upstream.origin())) == plain
    await eventually(lambda: world.transport.stats()[0].idle == 1)


async def test_a_decompression_bomb_is_refused_within_bounded_memory(world: World) -> None:
    packed = gzip.compress(b"\0" * (64 * 1024 * 1024), 1)
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)
    upstream = await world.upstream(once(head + packed, hold=True))
    response = await ask(world, upstream.origin())
    pieces: list[int] = []

    async def read() -> None:
        while data := await response.chunk():
            pieces.append(len(data))

    with pytest.raises(UpstreamFault, match="expands beyond") as caught:
        await read()
    assert caught.value.kind == "protocol"
    assert max(pieces) <= 256 * 1024
    assert sum(pieces) < 61 * 1024 * 1024


async def test_closing_the_transport_ends_every_exchange(world: World) -> None:
    upstream = await world.upstream(once(STREAM_HEAD + chunked(b"x"), hold=True))
    response = await ask(world, upstream.origin())
    assert await response.chunk() == b"x"
    reader = asyncio.create_task(response.chunk())
    await asyncio.sleep(0)
    await world.transport.close()
    with pytest.raises(UpstreamFault):
        await reader
    with pytest.raises(UpstreamFault, match="shutting down"):
        await ask(world, upstream.origin())
    await eventually(lambda: upstream.open == 0)


async def test_no_descriptor_is_left_over_500_mixed_exchanges(world: World) -> None:
    async def script(peer: Peer) -> None:
        while True:
            _, body = await peer.request()
            match int(body) % 6:
                case 0 | 1:
                    await peer.say(OK)
                case 2:
                    await peer.say(STREAM_HEAD, chunked(b"a"), b"0\r\n\r\n")
                case 3:
                    await peer.say(STREAM_HEAD + chunked(b"a"))
                    return
                case 4:
                    await peer.say(STREAM_HEAD + chunked(b"a"))
                    peer.reset()
                    return
                case _:
                    await peer.closed()
                    return

    upstream = await world.upstream(script)
    origin = upstream.origin()
    before = len(os.listdir("/proc/self/fd"))

    async def call(i: int) -> str:
        target = deployment(origin, timeouts=Timeouts(headers_s=30))
        task = asyncio.create_task(world.transport.send(permit(target, b"%d" % i), origin, HEAD))
        if i % 6 == 5:
            await asyncio.sleep(0.01)
            task.cancel()
        try:
            response = await task
            await response.body(100)
        except UpstreamFault as fault:
            return fault.kind
        except asyncio.CancelledError:
            return "cancelled"
        return "ok"

    ends: list[str] = []
    for start in range(0, 500, 50):
        ends += await asyncio.gather(*(call(i) for i in range(start, start + 50)))
    assert ends.count("ok") >= 240
    assert {"truncated", "reset", "cancelled"} <= set(ends)
    stats = world.transport.stats()[0]
    assert (stats.in_flight, stats.waiting) == (0, 0)
    await world.transport.close()
    await eventually(lambda: upstream.open == 0)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
