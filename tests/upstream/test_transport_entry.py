"""A request that waits for its record: nothing of it leaves before, whatever becomes of the wait."""

from __future__ import annotations

import asyncio

import pytest
from upstream_lab import OK, Peer, Pending, Upstream, World, ask, eventually

from signalbox.core.errors import LedgerError, UpstreamFault
from signalbox.upstream.transport import Unsent


@pytest.fixture
async def upstream(world: World) -> Upstream:
    async def script(peer: Peer) -> None:
        while True:
            upstream.requests.append(await peer.request())
            await peer.say(OK)

    upstream = await world.upstream(script)
    return upstream


async def _waiting(
    world: World, upstream: Upstream, *, warm: bool, body: bytes = b"{}"
) -> tuple[asyncio.Task, Pending]:
    """A request that is ready to leave. warm: over a connection that has served before."""
    if warm:
        await (await ask(world, upstream.origin())).body(10)
        upstream.requests.clear()
    entry = Pending()
    task = asyncio.ensure_future(ask(world, upstream.origin(), body=body, entry=entry))
    await eventually(lambda: entry.waiting is not None)
    await asyncio.sleep(0.02)
    assert upstream.requests == []
    return task, entry


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("body", [b"{}", b"x" * 300_000], ids=["small", "large"])
async def test_nothing_leaves_before_its_record(world: World, upstream: Upstream, warm: bool, body: bytes) -> None:
    task, entry = await _waiting(world, upstream, warm=warm, body=body)
    assert entry.waiting is not None
    entry.waiting.leave()
    response = await task
    assert await response.body(10) == b"ok"
    assert [sent for _, sent in upstream.requests] == [body]
    assert upstream.connections == 1


@pytest.mark.parametrize("warm", [False, True])
async def test_a_record_that_fails_keeps_its_request(world: World, upstream: Upstream, warm: bool) -> None:
    task, entry = await _waiting(world, upstream, warm=warm)
    assert entry.waiting is not None
    entry.waiting.stay(LedgerError("disk full"))
    with pytest.raises(LedgerError, match="disk full"):
        await task
    await asyncio.sleep(0.02)
    assert upstream.requests == []
    assert await (await ask(world, upstream.origin())).body(10) == b"ok"


@pytest.mark.parametrize("warm", [False, True])
async def test_cancelled_while_it_waits_it_was_not_sent(world: World, upstream: Upstream, warm: bool) -> None:
    task, entry = await _waiting(world, upstream, warm=warm)
    task.cancel("gone")
    with pytest.raises(Unsent, match="gone"):
        await task
    assert entry.waiting is not None
    entry.waiting.leave()  # the record gets there all the same
    await asyncio.sleep(0.02)
    assert upstream.requests == []


async def test_a_connection_that_closes_meanwhile_costs_one_try(world: World) -> None:
    peers: list[Peer] = []

    async def script(peer: Peer) -> None:
        peers.append(peer)
        while True:
            upstream.requests.append(await peer.request())
            await peer.say(OK)

    upstream = await world.upstream(script)
    task, entry = await _waiting(world, upstream, warm=True)
    peers[0].reset()
    await asyncio.sleep(0.02)
    assert entry.waiting is not None
    entry.waiting.leave()
    response = await task
    assert await response.body(10) == b"ok"
    assert (response.retried, upstream.connections, len(upstream.requests)) == (True, 2, 1)


@pytest.mark.parametrize("how", ["fails", "cancelled"])
async def test_nothing_was_sent_where_no_other_connection_is_to_be_had(
    world: World, upstream: Upstream, how: str
) -> None:
    """What restarts closes the connections it has, and takes no new ones for a while."""
    task, entry = await _waiting(world, upstream, warm=True)
    await upstream.stop()
    await asyncio.sleep(0.02)
    assert entry.waiting is not None
    entry.waiting.leave()
    if how == "fails":
        with pytest.raises(UpstreamFault) as failed:
            await task
        assert (failed.value.kind, failed.value.sent) == ("connect", False)
    else:
        await asyncio.sleep(0)
        task.cancel("gone")
        with pytest.raises(Unsent, match="gone"):
            await task
    assert upstream.requests == []
    assert [pool.open for pool in world.transport.stats()] == [0]


async def test_a_limit_that_passes_meanwhile_says_that_nothing_was_sent(world: World, upstream: Upstream) -> None:
    entry = Pending()
    with pytest.raises(UpstreamFault) as failed:
        await ask(world, upstream.origin(), entry=entry, headers_s=0.05)
    assert (failed.value.kind, failed.value.sent) == ("headers_timeout", False)
    assert entry.waiting is not None
    entry.waiting.leave()
    await asyncio.sleep(0.02)
    assert upstream.requests == []


async def test_closing_the_transport_ends_the_wait(world: World, upstream: Upstream) -> None:
    task, entry = await _waiting(world, upstream, warm=True)
    await world.transport.close()
    with pytest.raises(UpstreamFault) as failed:
        await task
    assert not failed.value.sent
    assert entry.waiting is not None
    entry.waiting.leave()
    await asyncio.sleep(0.02)
    assert upstream.requests == []
