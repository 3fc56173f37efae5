"""Gateways that share kept answers over a Valkey or Redis server: what callers see of it, and of its absence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from harness import Box, running
from leftovers import Leftovers
from signalbox.cache import shared, shared_admin
from signalbox.cache.resp import Refused
from signalbox.cli.main import main
from signalbox.config.load import load_text
from signalbox.config.shared_cache import stated_shared_cache
from signalbox.core.caching import SharedCache
from signalbox.core.errors import ConfigError, StoreError
from valkey import Server, serving

CHAT = "/v1/chat/completions"
PEPPER = b"p" * 32


def config(server: Server, **more: Any) -> dict[str, Any]:
    return {
        "caches": {"valkey": {"url": server.url, "timeout_ms": 300, **more}},
        "workloads": {
            "kept": {"placements": ["chat"], "cache": {"exact_ttl_s": 60, "share": "tenant", "tags": ["corpus-7"]}}
        },
    }


@pytest.fixture
def server(tmp_path: Path) -> Any:
    with serving(tmp_path) as made:
        yield made


@pytest.fixture
async def boxes(tmp_path: Path, server: Server) -> AsyncIterator[tuple[Box, Box]]:
    """Two machines of one installation: they have its secret in common, and no disk."""
    for machine in ("one", "two"):
        (tmp_path / machine).mkdir()
        (tmp_path / machine / "pepper").write_bytes(PEPPER)
        os.chmod(tmp_path / machine / "pepper", 0o600)
    async with running(tmp_path / "one", config(server)) as one, running(tmp_path / "two", config(server)) as two:
        for box in (one, two):
            assert box.plane is not None
            await connected(box)
        yield one, two


async def connected(box: Box) -> None:
    for _ in range(500):
        way = box.plane._cache.shared  # pyright: ignore[reportPrivateUsage]
        assert way is not None
        way.begin()
        if way.connected:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("no connection to the server")


async def ask(box: Box, text: str = "Name a colour.") -> str:
    body = {"model": "kept", "messages": [{"role": "user", "content": text}], "max_tokens": 64}
    answer = await box.request(CHAT, body)
    assert answer.status == 200, answer.body
    return answer.headers["x-signalbox-cache"].split(";")[0]


async def test_machines_give_each_others_answers_until_they_are_invalidated(
    boxes: tuple[Box, Box], tmp_path: Path, server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = boxes
    assert await ask(one) == "miss"
    for _ in range(100):
        if await ask(two, "Name a colour.") == "hit":
            break
        await asyncio.sleep(0.02)
    assert await ask(one) == "hit"
    assert await ask(two) == "hit"
    file = tmp_path / "signalbox.yaml"
    file.write_text(json.dumps({"caches": config(server)["caches"], "deployments": {"x": {"api_key": "${MISSING}"}}}))
    command = ["cache", "--json", "--config", str(file), "--state-dir", str(tmp_path / "one")]
    ended = [command[0], "invalidate", "--tag", "corpus-7", *command[1:]]
    assert await asyncio.to_thread(main, ended) == 0
    assert await ask(two) == "miss"
    capsys.readouterr()
    assert await asyncio.to_thread(main, [command[0], "stats", *command[1:]]) == 0
    assert json.loads(capsys.readouterr().out)["shared"]["entries"] >= 1
    server.kill()
    assert await asyncio.to_thread(main, ended) != 0


async def test_without_the_server_calls_go_on_and_are_asked(boxes: tuple[Box, Box], server: Server) -> None:
    one, _ = boxes
    await ask(one)
    assert await ask(one) == "hit"
    server.pause()
    await asyncio.sleep(shared.FRESH_S)
    asked = len(one.bill())
    assert [await ask(one) for _ in range(5)] == ["miss"] * 5
    assert len(one.bill()) == asked + 5
    server.go_on()
    server.kill()
    assert await ask(one, "Name a town.") == "miss"
    server.start()
    await connected(one)
    await ask(one, "Name a river.")
    assert await ask(one, "Name a river.") == "hit"


async def test_a_server_that_is_lost_leaves_nothing_of_the_calls_that_ask_it(
    boxes: tuple[Box, Box], server: Server
) -> None:
    one, _ = boxes
    await ask(one)
    gateway = one.worker.gateway
    assert gateway is not None
    server.pause()
    with Leftovers() as leftovers:
        asked = [asyncio.ensure_future(ask(one, f"Name {number} colours.")) for number in range(4)]
        await asyncio.sleep(0.1)
        server.kill()
        assert await asyncio.gather(*asked) == ["miss"] * 4
        server.start()
        await connected(one)
        server.pause()
        assert await ask(one, "Name a town.") == "miss"  # not in time
        for _ in range(500):
            if not gateway.connections:
                break
            await asyncio.sleep(0.01)
        del asked
    assert dict(leftovers.found) == {}
    server.go_on()


def stated(folder: Path, **valkey: str) -> SharedCache:
    at = stated_shared_cache(json.dumps({"caches": {"valkey": valkey}}).encode(), str(folder / "signalbox.yaml"))
    assert at is not None
    return at


async def test_a_password_is_needed_where_the_server_wants_one(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hush\n")
    with serving(tmp_path, "--requirepass", "hush") as own:
        await shared_admin.invalidate(stated(tmp_path, url=own.url, password="file:password"), b"s" * 32, ["*"])
        with pytest.raises(Refused, match="NOAUTH"):
            await shared_admin.invalidate(stated(tmp_path, url=own.url), b"s" * 32, ["*"])


async def test_a_certificate_must_chain_to_whom_we_trust(tmp_path: Path, server: Server) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(server.path)
        await asyncio.wait(
            [asyncio.ensure_future(copy(*pair)) for pair in ((reader, forth), (back, writer))],
            return_when=asyncio.FIRST_COMPLETED,
        )
        forth.close()
        writer.close()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                target.write(data)

    door = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
    url = f"valkeys://localhost:{door.sockets[0].getsockname()[1]}"
    await shared_admin.invalidate(stated(tmp_path, url=url, ca_file="ca.pem"), b"s" * 32, ["*"])
    with pytest.raises(StoreError, match="cannot be reached"):
        await shared_admin.invalidate(stated(tmp_path, url=url), b"s" * 32, ["*"])
    door.close()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://cache:6379", "is not the URL"),
        ("valkey://", "names no host"),
        ("valkey://cache:nine", "port"),
        ("valkey://cache:6379/first", "database"),
        ("valkey://cache:6379/0?x=1", "more than an address"),
        ("unix://host/path", "host and a socket"),
    ],
)
def test_an_address_that_is_none_is_told_without_showing_it(url: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        load_text(json.dumps({"caches": {"valkey": {"url": url}}}), "signalbox.yaml")
    _, _, address = url.partition("://")
    assert not address or address not in str(raised.value)


def test_a_password_that_is_not_there_is_told_by_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"signalbox\.yaml:1: caches\.valkey\.password: .*MISSING is not set"):
        stated(tmp_path, url="valkey://cache", password="${MISSING}")


def test_what_an_address_says(tmp_path: Path) -> None:
    at = stated(tmp_path, url="rediss://ann:p%40ss@cache.example:7000/3")
    assert (at.host, at.port, at.tls, at.user, at.database) == ("cache.example", 7000, True, "ann", 3)
    assert at.password is not None
    assert at.password.reveal() == "p@ss"
    assert "p@ss" not in repr(at)
