"""Each time limit fires by its own name, within 250 ms of its value; the pool's limit and its queue."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest
from upstream_lab import HEAD, OK, STREAM_HEAD, Peer, Upstream, World, ask, chunked, deployment, eventually, permit

from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Origin, Timeouts
from signalbox.upstream.head import request_head
from signalbox.upstream.transport import Transport

LATE_S = 2.0


async def silent(peer: Peer) -> None:
    await peer.request()
    await peer.closed()


async def drip_head(peer: Peer) -> None:
    await peer.request()
    await peer.say(b"HTTP/1.1 200 OK\r\n", *[b"a: b\r\n"] * 60, pause_s=0.05)


async def head_only(peer: Peer) -> None:
    await peer.request()
    await peer.say(STREAM_HEAD)
    await peer.closed()


async def one_chunk(peer: Peer) -> None:
    await peer.request()
    await peer.say(STREAM_HEAD + chunked(b"x"))
    await peer.closed()


async def drip_body(peer: Peer) -> None:
    await peer.request()
    await peer.say(STREAM_HEAD, *[chunked(b": ping\n\n")] * 60, pause_s=0.05)


async def drip_framing(peer: Peer) -> None:
    """Bytes arrive, but not one of them is body."""
    await peer.request()
    await peer.say(STREAM_HEAD + chunked(b"x") + b"1;", *[b"x"] * 60, pause_s=0.05)


LIMITS = [
    (silent, {"headers_s": 0.3}, "headers_timeout"),
    (drip_head, {"headers_s": 0.4}, "headers_timeout"),
    (silent, {"headers_s": 5, "first_token_s": 0.3, "stream": True}, "first_token_timeout"),
    (head_only, {"first_token_s": 0.4, "idle_s": 0.1, "stream": True}, "first_token_timeout"),
    (head_only, {"first_token_s": 0.1, "idle_s": 0.4}, "idle_timeout"),
    (one_chunk, {"first_token_s": 0.1, "idle_s": 0.4, "stream": True}, "idle_timeout"),
    (drip_framing, {"idle_s": 0.4}, "idle_timeout"),
    (drip_body, {"idle_s": 0.2, "total_s": 0.5, "stream": True}, "total_timeout"),
    (drip_body, {"first_token_s": 0.5, "stream": True, "until_content": True}, "first_token_timeout"),
    (one_chunk, {"first_token_s": 5, "idle_s": 0.4, "stream": True, "until_content": True}, "idle_timeout"),
    (silent, {"total_s": 0.3}, "total_timeout"),
]


async def test_each_limit_fires_by_name_and_in_time(world: World) -> None:
    async def case(number: int) -> tuple[str, float, Upstream]:
        script, limits, _ = LIMITS[number]
        upstream = await world.upstream(script)
        start = time.monotonic()
        try:
            response = await ask(world, upstream.origin(), **limits)
            while await response.chunk():
                pass
        except UpstreamFault as fault:
            return fault.kind, time.monotonic() - start, upstream
        return "none", 0.0, upstream

    ends = await asyncio.gather(*(case(number) for number in range(len(LIMITS))))
    for (_, limits, kind), (actual, elapsed_s, upstream) in zip(LIMITS, ends, strict=True):
        expected_s = limits[kind.replace("timeout", "s")]
        assert (limits, actual) == (limits, kind)
        assert expected_s - 0.02 <= elapsed_s <= expected_s + LATE_S, (limits, elapsed_s)
        await eventually(lambda upstream=upstream: upstream.open == 0)


async def test_content_seen_ends_the_first_token_limit(world: World) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(STREAM_HEAD, *[chunked(b"x")] * 8, b"0\r\n\r\n", pause_s=0.1)

    upstream = await world.upstream(script)
    response = await ask(world, upstream.origin(), first_token_s=0.3, stream=True, until_content=True)
    assert await response.chunk() == b"x"
    response.content_seen()
    assert await response.body(100) == b"x" * 7


async def test_a_limit_still_fires_after_a_long_quiet_time(world: World) -> None:
    """The clock slows down between exchanges; a new one must wake it."""
    upstream = await world.upstream(silent)

    async def ok(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.closed()

    upstream.script = ok
    await (await ask(world, upstream.origin())).body(10)
    await asyncio.sleep(0.35)
    upstream.script = silent
    start = time.monotonic()
    with pytest.raises(UpstreamFault):
        await ask(world, upstream.origin(path="/other"), headers_s=0.2)
    assert time.monotonic() - start < 0.2 + LATE_S


async def test_idle_connections_and_unused_pools_are_forgotten(world: World, monkeypatch) -> None:
    monkeypatch.setattr("signalbox.upstream.transport.CARE_S", 0.05)
    world.transport = Transport(idle_s=0.3)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(OK)
        await peer.closed()

    upstream = await world.upstream(script)
    await (await ask(world, upstream.origin())).body(10)
    await asyncio.sleep(0.15)
    assert world.transport.stats()[0].idle == 1
    await eventually(lambda: world.transport.stats() == [] and upstream.open == 0)


def limited(world: World, connections_max: int) -> None:
    world.transport = Transport(connections_max_per_origin=connections_max)


async def test_no_more_sockets_than_allowed_and_first_come_first_served(world: World) -> None:
    limited(world, 2)
    order: list[int] = []
    most = 0

    async def script(peer: Peer) -> None:
        nonlocal most
        while True:
            _, body = await peer.request()
            most = max(most, upstream.open)
            order.append(int(body))
            await asyncio.sleep(0.01)
            await peer.say(OK)

    upstream = await world.upstream(script)
    origin = upstream.origin()

    queued_us: list[int] = []

    async def call(i: int) -> None:
        response = await ask(world, origin, body=b"%d" % i)
        assert await response.body(10) == b"ok"
        assert (response.queue_us == 0) == (response.connect_us > 0)
        queued_us.append(response.queue_us)

    await asyncio.gather(*(call(i) for i in range(20)))
    assert (upstream.connections, most) == (2, 2)
    assert max(queued_us) >= 8 * 10_000
    assert all(abs(position - i) <= 1 for position, i in enumerate(order))


async def test_waiting_for_a_connection_ends_after_connect_s(world: World) -> None:
    limited(world, 1)
    upstream = await world.upstream(silent)
    first = asyncio.create_task(ask(world, upstream.origin()))
    await eventually(lambda: upstream.open == 1)
    start = time.monotonic()
    with pytest.raises(UpstreamFault, match="stayed busy") as caught:
        await ask(world, upstream.origin(), connect_s=0.2)
    assert 0.18 <= time.monotonic() - start <= 0.2 + LATE_S
    assert (caught.value.kind, caught.value.sent) == ("connect", False)
    assert world.transport.stats()[0].waiting == 0
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)


async def test_a_slot_freed_by_cancelling_serves_the_next_in_line(world: World) -> None:
    limited(world, 1)
    upstream = await world.upstream(silent)
    origin = upstream.origin()
    tasks = [asyncio.create_task(ask(world, origin, connect_s=60)) for _ in range(6)]
    await eventually(lambda: upstream.open == 1 and [pool.waiting for pool in world.transport.stats()] == [5])
    for task in tasks[:5]:
        task.cancel()
    await asyncio.gather(*tasks[:5], return_exceptions=True)
    await eventually(lambda: upstream.connections == 2 and upstream.open == 1)
    tasks[5].cancel()
    await asyncio.gather(tasks[5], return_exceptions=True)
    await eventually(lambda: upstream.open == 0)
    stats = world.transport.stats()[0]
    assert (stats.open, stats.waiting) == (0, 0)


async def test_cancelled_in_the_moment_of_being_served_loses_no_slot(world: World) -> None:
    limited(world, 1)

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    upstream = await world.upstream(script)
    origin = upstream.origin()
    for _ in range(30):
        holder = await ask(world, origin)
        waiters = [asyncio.create_task(ask(world, origin, connect_s=60)) for _ in range(3)]
        await asyncio.sleep(0)
        await holder.body(10)
        waiters[0].cancel()
        for done in await asyncio.gather(*waiters, return_exceptions=True):
            if not isinstance(done, BaseException):
                await done.body(10)
    await eventually(lambda: world.transport.stats()[0].in_flight == 0)
    assert world.transport.stats()[0].open <= 1


async def test_a_sick_origin_does_not_delay_another(world: World) -> None:
    limited(world, 1)
    sick = await world.upstream(silent)

    async def ok(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.say(OK)

    well = await world.upstream(ok)
    stuck = [asyncio.create_task(ask(world, sick.origin(), connect_s=5)) for _ in range(20)]
    await asyncio.sleep(0.05)
    start = time.monotonic()
    assert await (await ask(world, well.origin())).body(10) == b"ok"
    assert time.monotonic() - start < 3
    for task in stuck:
        task.cancel()
    await asyncio.gather(*stuck, return_exceptions=True)


async def test_load_counts_what_is_in_flight_and_queued(world: World) -> None:
    limited(world, 2)
    upstream = await world.upstream(silent)
    target = deployment(upstream.origin(), timeouts=Timeouts())
    assert world.transport.load("d", upstream.origin()) == 0
    tasks = [asyncio.create_task(world.transport.send(permit(target), upstream.origin(), HEAD)) for _ in range(3)]
    await eventually(lambda: upstream.open == 2)
    assert world.transport.load("d", upstream.origin()) == 3
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert world.transport.load("d", upstream.origin()) == 0


async def test_a_probe_that_is_still_connecting_when_its_time_is_over_has_failed_and_not_gone(world: World) -> None:
    """Nothing of it was sent: that is told to attempts, which are paid for, in a way that `asyncio.timeout` takes for
    somebody else's."""
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(4)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    origin = Origin("http", "127.0.0.1", full.getsockname()[1], "", private=True)
    try:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await world.transport.probe(deployment(origin), origin, request_head(b"/models", ()))
        assert [pool.open for pool in world.transport.stats()] == [0]
    finally:
        for one in (full, *waiting):
            one.close()
