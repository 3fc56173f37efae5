"""The control plane's own sockets: whoever knows no secret can neither fill its memory nor hold its descriptors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest

from console_desk import SECRET, Desk
from signalbox.bootstrap.console import ConsoleServer
from signalbox.bootstrap.sockets import bind
from signalbox.console import connections
from signalbox.console.access import MAY

GET = b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n"
FORM = b"content-type: application/x-www-form-urlencoded\r\n"


@contextlib.asynccontextmanager
async def served(desk: Desk) -> AsyncIterator[int]:
    """The port on which the console of a desk answers, as the supervisor serves it."""
    listener = bind("127.0.0.1", 0)
    server = ConsoleServer(desk.console, desk.room)
    serving = asyncio.create_task(server.run_on(listener))
    while not server.started:
        await asyncio.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    await serving
    listener.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "state")
    yield await made.loaded()
    made.close()


async def told(port: int, data: bytes, within_s: float = 5.0) -> bytes:
    """All that comes back until the connection ends, or within the time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        writer.write(data)
        async with asyncio.timeout(within_s):
            while more := await reader.read(65_536):
                found += more
    writer.close()
    return found


async def ended(port: int, *pieces: bytes, every_s: float = 0.0, within_s: float = 3.0) -> bool:
    """Whether the server ends a connection on which these pieces come, the last one again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(within_s):
            for piece in pieces:
                writer.write(piece)
                await asyncio.sleep(every_s)
            gone = asyncio.create_task(reader.read(-1))
            while not gone.done():
                if every_s:
                    writer.write(pieces[-1])
                await asyncio.wait((gone,), timeout=every_s or None)
            return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    finally:
        writer.close()


def memory_bytes() -> int:
    resident = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(resident.split()[1]) * 1024


async def test_a_head_that_never_ends_is_refused_in_bounded_memory(desk: Desk) -> None:
    async with served(desk) as port:
        for lines in (b"x-%d: %b\r\n" % (1, b"a" * 1000), b"a"):
            before = memory_bytes()
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /api/keys HTTP/1.1\r\nhost: t\r\nx-begin: ")
            with contextlib.suppress(ConnectionError):
                for _ in range(64):
                    writer.write(lines * (1 << 20) if len(lines) == 1 else lines * 1024)
                    await writer.drain()
                while await reader.read(65_536):
                    pass
            writer.close()
            # The client stands in the same process, and has buffers of its own.
            assert memory_bytes() - before < 32 << 20
        whole = b"GET /healthz HTTP/1.1\r\nhost: t\r\nconnection: close\r\nx: %b\r\n\r\n"
        assert b" 200 " in await told(port, whole % (b"a" * 60_000))
        assert b" 400 " in await told(port, whole % (b"a" * 600_000))


@pytest.mark.parametrize(
    "pieces",
    [
        (b"",),
        (b"GET /healthz HT",),
        (b"\r\n",),
        (b"GET /healthz HTTP/1.1\r\nhost: t\r\n", b"x: y\r\n"),
        (GET, b""),
        (GET, b"\r\n"),
        (b"POST /sign-in HTTP/1.1\r\nhost: t\r\n%bcontent-length: 1000\r\n\r\n" % FORM, b"a"),
        (b"POST /sign-in HTTP/1.1\r\nhost: t\r\n%btransfer-encoding: chunked\r\n\r\n" % FORM, b"1\r\na\r\n"),
        (b"POST /api/keys HTTP/1.1\r\nhost: t\r\ncontent-length: 1000\r\n\r\n", b"a"),
    ],
    ids=str,
)
async def test_whoever_sends_slowly_is_ended(
    desk: Desk, pieces: tuple[bytes, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "HEAD_S", 0.3)
    monkeypatch.setattr(connections, "BODY_S", 0.5)
    async with served(desk) as port:
        assert await ended(port, *pieces, every_s=0.1, within_s=8)
        assert b" 200 " in await told(port, GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))


async def test_whoever_takes_slowly_is_ended(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "WRITE_S", 0.3)
    async with served(desk) as port:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", port))
        ask = b"GET /static/htmx.min.js HTTP/1.1\r\nhost: t\r\n\r\n"
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(5):
                while True:
                    await loop.sock_sendall(client, ask * 20)
                    await asyncio.sleep(0.05)
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(loop.sock_sendall(client, ask * 10_000), 10)
        client.close()


async def test_only_so_many_connections_are_held(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "CONNECTIONS_MAX", 20)
    monkeypatch.setattr(connections, "HEAD_S", 1.0)
    async with served(desk) as port:
        before = len(os.listdir("/proc/self/fd"))
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        await asyncio.sleep(0.2)
        # One end of each is this client's.
        assert len(os.listdir("/proc/self/fd")) - before <= 100 + 21
        await asyncio.sleep(1.2)
        assert b" 200 " in await told(port, GET.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        for _, writer in held:
            writer.close()


HOSTILE = [
    b"", b"[]", b"{", b"null", b'"x"', b"1e400", b'{"a":NaN}', b"\xff\xfe", b'{"name":"\xed\xa0\x80"}', b"[" * 100_000,
    b'{"a":' * 50_000, b'{"name":"x\\ud800"}', b'{"name":5}', b'{"name":"x","name":"y"}',
    b'{"name":"x","budget_usd":"1e999999999"}', b'{"name":"x","budget_usd":"1e30"}', b'{"name":"x","budget_usd":-1}',
    b'{"name":"x","budget_usd":"NaN"}', b'{"name":"x","expires_ms":9223372036854775808}',
    b'{"name":"x","expires_ms":9223372036854775807}', b'{"name":"x","workloads":["a\\u0000b"]}',
    b'{"scope":"all","for_s":1e308}', b'{"scope":"all","for_s":-1}', b'{"grace_s":99999999999999999999}',
    b'{"text":"\\u0000","base":"x"}', b'{"text":"a: &a [*a]","base":"x"}', b'{"text":"\\ud83d","base":""}',
    b'{"id":"../../../etc/passwd"}', b'{"kind":"escapes","calls":99999999999999999999}',
    b'{"request":5}', b'{"request":{"model":"w","messages":5}}', b'{"request":{"model":"w","messages":[]},"api":"x"}',
    b'"' + b"x" * 10_000_000 + b'"',
]  # fmt: skip


@pytest.mark.parametrize("path", sorted(path for method, path in MAY if method == "POST" and path.startswith("/api/")))
async def test_no_body_is_a_defect(desk: Desk, path: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever is sent by somebody who may: a refusal in JSON, nothing done, and not a word of it in the log."""
    if path in ("/api/reload", "/api/verify") or path.endswith("/revoke"):
        pytest.skip("it reads no body")
    async with served(desk) as port:
        for body in HOSTILE:
            head = (
                f"POST {path.replace('{id}', 'nobody')} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n"
                f"authorization: Bearer {SECRET}\r\ncontent-length: {len(body)}\r\n\r\n"
            )
            answer = await told(port, head.encode() + body, within_s=30)
            status = int(answer.split(b" ", 2)[1])
            assert 400 <= status < 500, (body[:60], answer)
            assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"]
            assert b"content-security-policy: default-src 'none'" in answer
    assert desk.store.run_now(lambda store: store.list_keys()) == []
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert "x" * 100 not in said


async def test_a_defect_says_where_and_never_what(
    desk: Desk, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("canary-7 was asked")

    monkeypatch.setattr(desk.office, "list_keys", broken)
    async with served(desk) as port:
        lines = f"GET /api/keys HTTP/1.1\r\nhost: t\r\nconnection: close\r\nauthorization: Bearer {SECRET}\r\n\r\n"
        answer = await told(port, lines.encode())
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 500 " in head
    assert b"x-frame-options: DENY" in head
    assert json.loads(body)["error"]["code"] == "internal_error"
    said = "".join(capfd.readouterr())
    assert "canary-7" not in said + answer.decode()
    assert "test_connections.py" in said


@pytest.mark.parametrize(
    "lines",
    [
        f"authorization: Bearer {SECRET}\r\nauthorization: Bearer other",
        f"authorization: Bearer other\r\nauthorization: Bearer {SECRET}",
        f"authorization: Bearer {SECRET}\r\nauthorization: Bearer {SECRET}",
        f"authorization: Bearer {SECRET}, Bearer {SECRET}",
        f"authorization: Basic {SECRET}",
        f"authorization: {SECRET}",
        f"x-api-key: {SECRET}",
        f"api-key: {SECRET}",
        f"proxy-authorization: Bearer {SECRET}",
        f"cookie: signalbox_session={SECRET}",
    ],
    ids=str,
)
async def test_the_credential_is_one_header_and_no_other(desk: Desk, lines: str) -> None:
    async with served(desk) as port:
        asked = f"GET /api/keys?token={quote(SECRET)} HTTP/1.1\r\nhost: t\r\nconnection: close\r\n{lines}\r\n\r\n"
        assert b" 401 " in await told(port, asked.encode())


async def test_an_offer_to_switch_protocols_is_no_way_in(desk: Desk) -> None:
    async with served(desk) as port:
        for offer in ("websocket", "h2c"):
            asked = f"GET /api/keys HTTP/1.1\r\nhost: t\r\nconnection: upgrade, close\r\nupgrade: {offer}\r\n\r\n"
            assert b" 200 " not in await told(port, asked.encode())


@pytest.mark.parametrize(
    "head",
    [
        "GET http://t/api/keys HTTP/1.1\r\nhost: t",
        "GET http://t/api/keys HTTP/1.0\r\nhost: t",
        "GET /api/keys HTTP/1.1",
        "GET /api/keys HTTP/1.1\r\nhost: t\r\nhost: t",
        "GET /api/keys HTTP/1.1\r\nhost: t\r\nhost: u",
        "GET /api/keys HTTP/1.0\r\nhost: t\r\nhost: u",
        "POST /api/keys HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\ntransfer-encoding: chunked",
        "POST /api/keys HTTP/1.1\r\nhost: t\r\ncontent-length: 2\r\ncontent-length: 3",
    ],
)
async def test_what_has_two_readings_is_refused(desk: Desk, head: str) -> None:
    async with served(desk) as port:
        answer = await told(port, f"{head}\r\nauthorization: Bearer {SECRET}\r\nconnection: close\r\n\r\n{{}}".encode())
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"sb-" not in answer


HERE = [{"host": "localhost:8701"}, {"host": "127.0.0.1:8701"}, {"host": "[::1]:8701"}, {"host": "127.0.0.1"}]
NOT_HERE = [
    {"host": "rebound.evil.example:8701"},
    {"host": "localhost.evil.example"},
    {"host": "10.1.2.3"},
    {"host": ""},
    {"host": "localhost", "x-forwarded-for": "127.0.0.1"},
    {"host": "localhost", "x-real-ip": "203.0.113.7"},
    {"host": "localhost", "forwarded": "for=203.0.113.7"},
    {"host": "localhost", "via": "1.1 proxy"},
]


@pytest.mark.parametrize("lines", [*HERE, *NOT_HERE], ids=str)
async def test_metrics_are_open_to_this_machine_and_to_nobody_whom_it_lets_through(
    tmp_path: Path, lines: dict[str, str]
) -> None:
    desk = await Desk(tmp_path / "state", metrics_open=True).loaded()
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    key = desk.key(role="auditor")[1]
    async with served(desk) as port:
        ask = f"GET /metrics HTTP/1.1\r\n{head}connection: close\r\n"
        expected = b"HTTP/1.1 200 " if lines in HERE else b"HTTP/1.1 401 "
        assert (await told(port, f"{ask}\r\n".encode())).startswith(expected)
        answer = await told(port, f"{ask}authorization: Bearer {key}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 ")
    desk.close()
