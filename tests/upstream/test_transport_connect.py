"""Getting a connection: names, addresses that are refused, several addresses, TLS, proxies."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import gc
import os
import socket
import ssl
import struct
import time
import weakref
from pathlib import Path

import pytest
import trustme
from upstream_lab import OK, Peer, Upstream, World, ask, eventually

from leftovers import watched
from signalbox.core.errors import UpstreamFault
from signalbox.core.snapshot import Origin
from signalbox.upstream.resolve import ResolveError, Resolver
from signalbox.upstream.transport import Transport


class Names:
    """A name service under the test's control."""

    def __init__(self, **names: list[str]) -> None:
        self.names = {name.replace("_", "."): addresses for name, addresses in names.items()}
        self.asked = 0
        self.delay_s = 0.0
        self.down = False

    async def __call__(self, host: str) -> list[str]:
        self.asked += 1
        await asyncio.sleep(self.delay_s)
        if self.down or host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]


async def serve_ok(peer: Peer) -> None:
    while True:
        await peer.request()
        await peer.say(OK)


class Reset:
    """A listener that resets each connection as soon as it is there, as a host does that is being restarted. turns: of
    the loop that it waits, so that the other side learns before that it is connected."""

    def __init__(self, turns: int) -> None:
        self.accepted = 0
        self._turns = turns
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock, _ = self._listener.accept()
                self.accepted += 1
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self._reset(sock, self._turns)

    def _reset(self, sock: socket.socket, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._reset, sock, turns - 1)
        else:
            sock.close()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()


def with_names(world: World, names: Names, **options: float) -> None:
    world.transport = Transport(resolver=Resolver(names, **options))


async def fault_of(world: World, origin: Origin, **timeouts: float) -> UpstreamFault:
    with pytest.raises(UpstreamFault) as caught:
        await ask(world, origin, **timeouts)
    assert caught.value.sent is False
    assert world.transport.stats()[0].open == 0
    return caught.value


REFUSED_ALWAYS = (
    "169.254.169.254", "169.254.1.1", "fe80::1", "fd00:ec2::254", "100.100.100.200", "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
    "255.255.255.255", "168.63.129.16", "0xa9.0xfe.0xa9.0xfe", "2852039166", "0251.0376.0251.0376",
    "[fe80::1]", "169.254.169.254.", "::169.254.169.254", "2001:0:4136:e378:8000:63bf:5601:5601",
)  # fmt: skip
PRIVATE = (
    "127.0.0.1", "::1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "100.64.0.1", "fd12::1", "fec0::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "0x7f.1", "2130706433", "017700000001", "127.1", "localhost",
    "localhost.", "198.18.0.1", "64:ff9b::7f00:1",
)  # fmt: skip


@pytest.mark.parametrize("private", [True, False])
async def test_some_addresses_are_refused_always(world: World, private: bool) -> None:
    for host in REFUSED_ALWAYS:
        with pytest.raises(UpstreamFault) as caught:
            await ask(world, Origin("http", host, 80, "", private=private))
        assert (host, caught.value.kind, caught.value.sent) == (host, "refused_address", False)


async def test_private_addresses_are_refused_unless_declared(world: World) -> None:
    for host in PRIVATE:
        with pytest.raises(UpstreamFault, match="private") as caught:
            await ask(world, Origin("http", host, 1, ""))
        assert (host, caught.value.kind, caught.value.sent) == (host, "refused_address", False)


async def test_a_declared_private_address_is_used_in_any_spelling(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    for host in ("127.0.0.1", "0x7f.1", "2130706433", "localhost."):
        assert await (await ask(world, upstream.origin(host=host))).body(10) == b"ok"


async def test_a_name_rebound_to_the_metadata_address_is_refused(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    names = Names(api_test=["127.0.0.1"])
    with_names(world, names, ttl_s=0.05)
    origin = upstream.origin(host="api.test")
    response = await ask(world, origin)
    assert await response.body(10) == b"ok"
    names.names["api.test"] = ["169.254.169.254"]
    await asyncio.sleep(0.1)
    with pytest.raises(UpstreamFault, match="link-local or metadata") as caught:
        await ask(world, upstream.origin(host="api.test", path="/other"))
    assert caught.value.kind == "refused_address"
    assert upstream.connections == 1


async def test_one_bad_address_among_good_ones_refuses_all(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    with_names(world, Names(api_test=["127.0.0.1", "169.254.169.254"]))
    fault = await fault_of(world, upstream.origin(host="api.test"))
    assert fault.kind == "refused_address"


async def test_addresses_are_tried_in_turn(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    with_names(world, Names(api_test=["127.0.0.2", "::1", "127.0.0.1"]))
    assert await (await ask(world, upstream.origin(host="api.test"))).body(10) == b"ok"


async def test_refused_and_unreachable_say_so(world: World) -> None:
    fault = await fault_of(world, Origin("http", "127.0.0.1", 1, "", private=True))
    assert fault.kind == "connect"
    assert "Connection refused" in fault.message


async def test_a_server_that_never_accepts_costs_connect_s(world: World) -> None:
    """A full accept queue drops our SYN: the nearest thing to a black hole on loopback."""
    listener = socket.socket()
    fillers: list[socket.socket] = []
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        start = time.monotonic()
        fault = await fault_of(world, Origin("http", "127.0.0.1", port, "", private=True), connect_s=0.4)
        assert fault.kind == "connect"
        assert 0.35 <= time.monotonic() - start <= 0.4 + 2
    finally:
        for filler in [listener, *fillers]:
            filler.close()


async def test_unknown_and_slow_names_are_faults_of_dns(world: World) -> None:
    names = Names()
    with_names(world, names)
    fault = await fault_of(world, Origin("http", "nowhere.test", 80, ""))
    assert fault.kind == "dns"
    names.delay_s = 30
    start = time.monotonic()
    fault = await fault_of(world, Origin("http", "slow.test", 80, ""), connect_s=0.3)
    assert (fault.kind, time.monotonic() - start < 10) == ("dns", True)


async def test_a_name_is_looked_up_once_for_all_and_remembered(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    names = Names(api_test=["127.0.0.1"])
    names.delay_s = 0.05
    with_names(world, names)
    responses = await asyncio.gather(*(ask(world, upstream.origin(host="api.test")) for _ in range(10)))
    for response in responses:
        await response.body(10)
    assert names.asked == 1


async def test_a_failing_name_service_is_bridged_by_the_last_good_answer(world: World) -> None:
    names = Names(api_test=["127.0.0.1"])
    resolver = Resolver(names, ttl_s=0.02)
    assert await resolver.resolve("api.test") == ["127.0.0.1"]
    names.down = True
    await asyncio.sleep(0.05)
    assert await resolver.resolve("api.test") == ["127.0.0.1"]
    names.down, names.delay_s = False, 30
    start = time.monotonic()
    assert await resolver.resolve("api.test") == ["127.0.0.1"]
    assert time.monotonic() - start < 10
    resolver.close()


async def test_a_lookup_that_failed_is_freed() -> None:
    class Down(OSError):
        pass  # one of the language's own cannot be referred to weakly

    failures: list[weakref.ref[Exception]] = []

    async def lookup(name: str) -> list[str]:
        if name == "known.test" and not failures:
            return ["127.0.0.1"]
        raise watched(Down("gone"), failures)

    resolver = Resolver(lookup, ttl_s=0)
    assert await resolver.resolve("known.test") == ["127.0.0.1"]
    gc.disable()
    try:
        with pytest.raises(ResolveError):
            await resolver.resolve("new.test")
        assert await resolver.resolve("known.test") == ["127.0.0.1"]
        await asyncio.sleep(0)
        assert [failure() for failure in failures] == [None, None]
    finally:
        gc.enable()


async def test_families_are_interleaved() -> None:
    resolver = Resolver(Names(x_test=["1.0.0.1", "1.0.0.2", "2600::1", "2600::2", "1.0.0.3"]))
    assert await resolver.resolve("x.test") == ["1.0.0.1", "2600::1", "1.0.0.2", "2600::2", "1.0.0.3"]


async def test_idle_connections_follow_a_name_that_moved(world: World, monkeypatch) -> None:
    monkeypatch.setattr("signalbox.upstream.transport.CARE_S", 0.05)
    upstream = await world.upstream(serve_ok)
    names = Names(api_test=["127.0.0.1"])
    with_names(world, names, ttl_s=0.05)
    await (await ask(world, upstream.origin(host="api.test"))).body(10)
    await asyncio.sleep(0.2)
    assert upstream.open == 1
    names.names["api.test"] = ["127.0.0.9"]
    await eventually(lambda: upstream.open == 0)


async def test_cancelled_during_the_lookup_leaves_the_lookup_to_others(world: World) -> None:
    upstream = await world.upstream(serve_ok)
    names = Names(api_test=["127.0.0.1"])
    names.delay_s = 0.1
    with_names(world, names)
    first = asyncio.create_task(ask(world, upstream.origin(host="api.test")))
    second = asyncio.create_task(ask(world, upstream.origin(host="api.test")))
    await asyncio.sleep(0.03)
    first.cancel()
    assert await (await second).body(10) == b"ok"
    assert names.asked == 1


# --- TLS ---


class Authority:
    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(str(self.file))

    def context(self, *names: str, **issue: object) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names, **issue).configure_cert(context)
        return context


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_tls_is_spoken_and_verified(world: World, authority: Authority) -> None:
    upstream = await world.upstream(serve_ok, context=authority.context("localhost", "127.0.0.1"))
    for host in ("localhost", "localhost.", "127.0.0.1"):
        origin = upstream.origin(scheme="https", host=host, ca_file=str(authority.file))
        for reused in (False, True):
            response = await ask(world, origin)
            assert await response.body(10) == b"ok"
            assert response.reused is reused


@pytest.mark.parametrize("size", [300_000, 400_000, 3_000_000])
async def test_what_came_over_tls_before_the_connection_ended_is_read_by_a_slow_reader_too(
    world: World, authority: Authority, size: int
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.writer.transport.set_write_buffer_limits(0)
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"a" * size)
        with socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno())) as beneath:
            beneath.shutdown(socket.SHUT_WR)
        await peer.closed()

    upstream = await world.upstream(script, context=authority.context("127.0.0.1"))
    response = await ask(world, upstream.origin(scheme="https", ca_file=str(authority.file)))
    await asyncio.sleep(0.3)
    assert len(await response.body(size)) == size
    await eventually(lambda: world.transport.stats()[0].open == 0)


async def test_a_large_body_and_a_slow_reader_over_tls(world: World, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        _, body = await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body)
        await peer.closed()

    body = os.urandom(6 * 1024 * 1024)
    upstream = await world.upstream(script, context=authority.context("localhost"))
    origin = upstream.origin(scheme="https", host="localhost", ca_file=str(authority.file))
    response = await ask(world, origin, body=body)
    await asyncio.sleep(0.2)
    assert response.unread < 1024 * 1024
    assert await response.body(1 << 24) == body


@pytest.mark.parametrize(
    ("case", "says"),
    [
        ("wrong host", "mismatch"),
        ("wrong host", "with a name that it has"),
        ("expired", "expired"),
        ("unknown authority", "certificate refused"),
        ("unknown authority", "in `ca_file`"),
        ("not TLS", "handshake"),
        ("cut", "handshake"),
        ("no bundle", "CA bundle"),
    ],
)
async def test_bad_tls_is_refused_and_says_why(
    world: World, authority: Authority, tmp_path: Path, case: str, says: str
) -> None:
    ca_file = str(authority.file)
    context: ssl.SSLContext | None = authority.context("localhost")
    script = serve_ok
    if case == "wrong host":
        context = authority.context("elsewhere.test")
    elif case == "expired":
        context = authority.context("localhost", not_after=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
    elif case == "unknown authority":
        other = tmp_path / "other"
        other.mkdir()
        ca_file = str(Authority(other).file)
    elif case == "no bundle":
        ca_file = str(tmp_path / "missing.pem")
    elif case == "not TLS":
        context = None

        async def script(peer: Peer) -> None:
            await peer.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await peer.closed()

    elif case == "cut":
        context = None

        async def script(peer: Peer) -> None:
            await peer.reader.read(100)
            peer.reset()

    upstream = await world.upstream(script, context=context)
    before = len(os.listdir("/proc/self/fd"))
    fault = await fault_of(world, upstream.origin(scheme="https", host="localhost", ca_file=ca_file))
    assert fault.kind == "tls"
    assert says in fault.message
    await eventually(lambda: upstream.open == 0)
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)


async def test_a_server_that_wants_a_client_certificate_is_told_as_such(world: World, authority: Authority) -> None:
    context = authority.context("localhost")
    context.load_verify_locations(str(authority.file))
    context.verify_mode = ssl.CERT_REQUIRED
    upstream = await world.upstream(serve_ok, context=context)
    with pytest.raises(UpstreamFault, match="client certificate") as caught:
        await ask(world, upstream.origin(scheme="https", host="localhost", ca_file=str(authority.file)))
    assert caught.value.kind == "reset"


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_a_handshake_that_hangs_leaves_no_socket(world: World, authority: Authority, how: str) -> None:
    async def script(peer: Peer) -> None:
        await peer.closed()

    upstream = await world.upstream(script)
    origin = upstream.origin(scheme="https", host="localhost", ca_file=str(authority.file))
    if how == "timeout":
        start = time.monotonic()
        # Long enough for a slow machine to get through the TCP part and to read the bundle.
        fault = await fault_of(world, origin, connect_s=2.0)
        assert fault.kind == "tls"
        assert time.monotonic() - start < 4
    else:
        task = asyncio.create_task(ask(world, origin))
        await eventually(lambda: upstream.open == 1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await eventually(lambda: upstream.open == 0)


async def test_a_new_bundle_is_picked_up(world: World, authority: Authority, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    renewed = Authority(new)
    upstream = await world.upstream(serve_ok, context=renewed.context("localhost"))
    origin = upstream.origin(scheme="https", host="localhost", ca_file=str(authority.file))
    assert (await fault_of(world, origin)).kind == "tls"
    authority.file.write_bytes(renewed.file.read_bytes())
    assert await (await ask(world, origin)).body(10) == b"ok"
    authority.file.unlink()  # in the middle of being replaced: the last good one holds
    held = await ask(world, origin)
    assert await (await ask(world, origin)).body(10) == b"ok"
    await held.body(10)


async def test_a_body_cut_under_tls_is_truncated(world: World, authority: Authority) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")

    upstream = await world.upstream(script, context=authority.context("localhost"))
    origin = upstream.origin(scheme="https", host="localhost", ca_file=str(authority.file))
    response = await ask(world, origin)
    with pytest.raises(UpstreamFault) as caught:
        await response.body(100)
    assert caught.value.kind in ("truncated", "reset")


# --- proxies ---


class ProxyServer:
    """A forward proxy: tunnels CONNECT, answers absolute-form itself. Remembers request lines and credentials."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.credentials: list[str] = []
        self.refuse = b""

    async def __call__(self, peer: Peer) -> None:
        head, _ = await peer.request()
        self.lines.append(head.split(b"\r\n")[0])
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"proxy-authorization: basic "):
                self.credentials.append(base64.b64decode(line[27:]).decode())
        if self.refuse:
            await peer.say(self.refuse)
            return
        if not head.startswith(b"CONNECT "):
            await peer.say(OK)
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await peer.say(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def proxy(world: World) -> tuple[ProxyServer, Upstream]:
    server = ProxyServer()
    return server, await world.upstream(server)


async def test_https_through_a_proxy_is_a_verified_tunnel(
    world: World, authority: Authority, proxy: tuple[ProxyServer, Upstream]
) -> None:
    server, listener = proxy
    upstream = await world.upstream(serve_ok, context=authority.context("api.test"))
    url = f"http://us%40er:pa%3Ass@127.0.0.1:{listener.port}"
    origin = upstream.origin(scheme="https", host="api.test", ca_file=str(authority.file), proxy=url, private=False)
    for _ in range(2):
        assert await (await ask(world, origin)).body(10) == b"ok"
    assert server.lines == [b"CONNECT api.test:%d HTTP/1.1" % upstream.port]
    assert server.credentials == ["us@er:pa:ss"]


async def test_http_through_a_proxy_is_absolute_form(world: World, proxy: tuple[ProxyServer, Upstream]) -> None:
    server, listener = proxy
    origin = Origin("http", "api.test", 80, "/v1", proxy=f"http://127.0.0.1:{listener.port}")
    assert await (await ask(world, origin)).body(10) == b"ok"
    assert server.lines == [b"POST http://api.test:80/v1/chat/completions HTTP/1.1"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nextra",
        b"HTTP/1.1 200",
    ],
)
async def test_a_proxy_that_refuses_is_a_connect_fault_without_its_password(
    world: World, proxy: tuple[ProxyServer, Upstream], answer: bytes
) -> None:
    server, listener = proxy
    server.refuse = answer
    origin = Origin("https", "api.test", 443, "", proxy=f"http://user:hunter2@127.0.0.1:{listener.port}")
    fault = await fault_of(world, origin)
    assert fault.kind == "connect"
    assert "hunter2" not in fault.message


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_there_is_named(world: World, scheme: str) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        origin = Origin(scheme, "api.test", 443, "", proxy=f"http://user:hunter2@127.0.0.1:{port}")
        fault = await fault_of(world, origin)
    assert fault.kind == "connect"
    assert f"cannot connect to the proxy 127.0.0.1:{port}: Connection refused" in fault.message
    assert "hunter2" not in fault.message


async def test_a_metadata_literal_is_refused_through_a_proxy_too(
    world: World, proxy: tuple[ProxyServer, Upstream]
) -> None:
    server, listener = proxy
    origin = Origin("http", "0xa9fea9fe", 80, "", private=True, proxy=f"http://127.0.0.1:{listener.port}")
    assert (await fault_of(world, origin)).kind == "refused_address"
    assert server.lines == []


async def test_proxies_of_the_environment_are_never_used(world: World, monkeypatch) -> None:
    upstream = await world.upstream(serve_ok)
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert await (await ask(world, upstream.origin())).body(10) == b"ok"


async def test_an_unusable_origin_is_a_fault_that_shows_no_password(world: World) -> None:
    for origin in (
        Origin("http", "api.test", 80, "", proxy="socks5://user:hunter2@127.0.0.1"),
        Origin("http", "bad host", 80, ""),
    ):
        with pytest.raises(UpstreamFault) as caught:
            await ask(world, origin)
        assert (caught.value.kind, caught.value.sent) == ("connect", False)
        assert "hunter2" not in caught.value.message
    assert world.transport.stats() == []


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_connection_that_is_reset_as_soon_as_it_is_there_is_a_fault(
    world: World, scheme: str, turns: int
) -> None:
    host = Reset(turns)
    origin = Origin(scheme, "127.0.0.1", host.port, "/v1", private=True)
    try:
        ends = await asyncio.gather(*(ask(world, origin) for _ in range(40)), return_exceptions=True)
    finally:
        host.close()
    assert host.accepted >= 40
    assert [end for end in ends if not isinstance(end, UpstreamFault)] == []
    assert [pool.open for pool in world.transport.stats()] == [0]
