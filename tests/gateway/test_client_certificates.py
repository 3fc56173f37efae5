"""TLS on the data plane, and client certificates in place of keys: whose, beside what, and until when."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from certificates import Authority
from harness import Answer, Box, parse_answer, running
from signalbox.config.load import load_text
from signalbox.control.playground import Gateway, Trial, tried
from signalbox.core.errors import ConfigError, Unauthenticated
from signalbox.core.issuers import Certificate, Holder
from signalbox.gateway.auth import Keyring

BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
Held = tuple[Path, Path]


class Wall:
    """A gateway that speaks TLS, the authority of its clients, and one that is not."""

    def __init__(self, box: Box, ours: Authority, theirs: Authority) -> None:
        self.box = box
        self.ours = ours
        self.theirs = theirs

    async def connect(self, held: Held | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.box.port, ssl=self.ours.client_context(held))

    async def ask(self, held: Held | None = None, within: Any = None, **headers: str) -> Answer:
        """within: a connection that is open already."""
        reader, writer = within or await self.connect(held)
        data = json.dumps(BODY).encode()
        lines = {"host": "t", "content-type": "application/json", "content-length": str(len(data))}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        if within is None:
            lines["connection"] = "close"
        head = "POST /v1/chat/completions HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        writer.write(head.encode() + data)
        received = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        length = int(parse_answer(received).headers["content-length"])
        received += await asyncio.wait_for(reader.readexactly(length), 30)
        if within is None:
            writer.close()
        return parse_answer(received)

    async def refused(self, held: Held | None = None) -> bool:
        """Whether the connection itself is refused. With TLS 1.3 a client only hears of it when it reads."""
        try:
            return not (await self.ask(held)).status
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return True

    def batch(self, name: str = "batch", **more: Any) -> Held:
        return self.ours.issue(name, client=True, **{"uris": ("spiffe://example.org/batch",), **more})

    async def configure(self, tls: dict[str, Any] | None = None, **more: Any) -> None:
        config = {**self.box.config, **more}
        config["server"] = {"tls": {**config["server"]["tls"], **(tls or {})}}
        error = await self.box.configure(config)
        assert not error, error


HOLDERS: dict[str, Any] = {
    "batch": {"uris": ["spiffe://example.org/batch"], "tenant": "acme", "team": "ops", "workloads": ["w-chat"]},
    "below": {"uris": ["spiffe://example.org/ns/*"], "tenant": "acme"},
    "closer": {"uris": ["spiffe://example.org/ns/web/*"], "tenant": "web"},
    "named": {"names": ["web.example.com"]},
}


@pytest.fixture
async def wall(tmp_path: Path) -> AsyncIterator[Wall]:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs", "another authority")
    certificate, key = ours.issue("server", addresses=("127.0.0.1",))
    tls = {"certificate_file": str(certificate), "key_file": str(key), "client_ca_file": str(ours.ca_file)}
    async with running(tmp_path / "box", {"server": {"tls": tls}, "certificates": HOLDERS}) as box:
        yield Wall(box, ours, theirs)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_certificate_calls_and_is_booked_as_who_it_names(wall: Wall) -> None:
    held = wall.batch()
    assert (await wall.ask(held)).status == 200
    assert (await wall.ask(held, authorization="Bearer certificate")).status == 200, "for clients that insist on a key"
    assert (await wall.ask(held, x_api_key="certificate", api_key="")).status == 200
    rows = wall.box.rows()
    assert {(row["tenant"], row["team"], row["key_id"]) for row in rows} == {
        ("acme", "ops", "batch:spiffe://example.org/batch")
    }


async def test_keys_work_over_tls_with_and_without_a_certificate_that_names_nobody(wall: Wall) -> None:
    nobody = wall.ours.issue("nobody", client=True, uris=("spiffe://example.org/other",))
    nameless = wall.ours.issue("nameless", client=True)
    for held in (None, nobody, nameless):
        assert (await wall.ask(held, **bearer(wall.box.key))).status == 200
        assert (await wall.ask(held)).status == 401
        assert (await wall.ask(held, **bearer("certificate"))).status == 401


@pytest.mark.parametrize("header", ["authorization", "x_api_key", "api_key"])
async def test_a_certificate_and_a_key_are_two_credentials(wall: Wall, header: str) -> None:
    held = wall.batch()
    for key in (wall.box.key, "sb-x", "Certificate", "certificate certificate"):
        value = f"Bearer {key}" if header == "authorization" else key
        answer = await wall.ask(held, **{header: value})
        assert answer.status == 401, key
        assert "Two different credentials" in answer.json["error"]["message"]
    assert (await wall.ask(held, authorization="Basic x")).status == 401
    assert (await wall.ask(held, authorization="Bearer certificate", x_api_key=wall.box.key)).status == 401
    assert wall.box.rows() == []


async def test_only_our_authoritys_certificates_count_while_they_hold(wall: Wall) -> None:
    theirs = wall.theirs.issue("batch", client=True, uris=("spiffe://example.org/batch",))
    old = wall.batch("old", hours=-1)
    server = wall.ours.issue("not-a-client", uris=("spiffe://example.org/batch",))
    for held in (theirs, old, server):
        assert await wall.refused(held)
    assert wall.box.rows() == []


async def test_a_client_without_a_certificate_may_not_connect_where_one_is_required(wall: Wall) -> None:
    await wall.configure({"client_certificates": "required"})
    assert await wall.refused()
    assert (await wall.ask(wall.batch())).status == 200


async def test_plain_http_is_not_answered(wall: Wall) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", wall.box.port)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: t\r\n\r\n")
    with contextlib.suppress(ConnectionError):
        assert b"200" not in await asyncio.wait_for(reader.read(-1), 30)
    writer.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
async def test_old_protocols_are_not_spoken(wall: Wall) -> None:
    context = wall.ours.client_context()
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", wall.box.port, ssl=context)


async def test_a_new_certificate_of_the_server_is_shown_at_once(wall: Wall) -> None:
    async def shown() -> bytes | None:
        _, writer = await wall.connect()
        inside: ssl.SSLObject = writer.get_extra_info("ssl_object")
        writer.close()
        return inside.getpeercert(binary_form=True)

    before = await shown()
    wall.ours.issue("server", addresses=("127.0.0.1",))
    await wall.configure()
    assert await shown() != before


async def test_whose_certificates_are_taken_changes_on_open_connections_too(wall: Wall) -> None:
    within = await wall.connect(wall.batch())
    plain = await wall.connect()
    assert (await wall.ask(within=within)).status == 200
    wall.ours.ca_file.with_name("theirs.pem").write_bytes(wall.theirs.ca_file.read_bytes())
    await wall.configure({"client_ca_file": str(wall.theirs.ca_file)})
    assert await asyncio.wait_for(within[0].read(), 30) == b"", "it was closed"
    assert (await wall.ask(within=plain, **bearer(wall.box.key))).status == 200, "who showed none goes on"
    assert await wall.refused(wall.batch())


async def test_holders_come_and_go_with_the_configuration(wall: Wall) -> None:
    within = await wall.connect(wall.batch())
    assert (await wall.ask(within=within)).status == 200
    await wall.configure(certificates={"named": HOLDERS["named"]})
    assert (await wall.ask(within=within)).status == 401
    await wall.configure(certificates=HOLDERS)
    assert (await wall.ask(within=within)).status == 200


async def test_a_revoked_certificate_is_none(wall: Wall, tmp_path: Path) -> None:
    good, bad = wall.batch("good"), wall.batch("bad")
    both = tmp_path / "both.pem"
    both.write_bytes(wall.ours.ca_file.read_bytes() + wall.ours.revocations(bad[0]))
    await wall.configure({"client_ca_file": str(both)})
    assert (await wall.ask(good)).status == 200
    assert await wall.refused(bad)


async def test_a_refused_body_is_answered_over_tls(wall: Wall) -> None:
    """What closes while the client still sends: TLS has no half of a connection to close."""
    reader, writer = await wall.connect()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: 99999999999\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert b" 413 " in head.split(b"\r\n")[0]
    writer.close()


async def test_the_playground_asks_its_own_gateway_over_tls(wall: Wall) -> None:
    file: str = wall.box.config["server"]["tls"]["certificate_file"]
    trial = Trial("w-chat", "hi", wall.box.key, 20)
    pieces = [piece async for piece in tried(Gateway("127.0.0.1", wall.box.port, lambda: file), trial)]
    assert pieces[0].status == 200
    other, _ = wall.theirs.issue("server", addresses=("127.0.0.1",))
    pieces = [piece async for piece in tried(Gateway("127.0.0.1", wall.box.port, lambda: str(other)), trial)]
    assert pieces[0].error, "another certificate is somebody else"


# --- who a certificate names ---

NAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "a URI": (("spiffe://example.org/batch",), (), "batch"),
    "another case": (("spiffe://example.org/Batch",), (), ""),
    "more of it": (("spiffe://example.org/batch/x",), (), ""),
    "below": (("spiffe://example.org/ns/a",), (), "below"),
    "the place itself": (("spiffe://example.org/ns/",), (), ""),
    "beside": (("spiffe://example.org/nsx/a",), (), ""),
    "the closer of two": (("spiffe://example.org/ns/web/a",), (), "closer"),
    "a star of its own": (("spiffe://example.org/ns*",), (), ""),
    "a DNS name": ((), ("web.example.com",), "named"),
    "a DNS name in capitals": ((), ("WEB.Example.com",), "named"),
    "a wildcard": ((), ("*.example.com",), ""),
    "a DNS name below": ((), ("a.web.example.com",), ""),
    "a URI as a DNS name": ((), ("spiffe://example.org/batch",), ""),
    "one that counts among others": (("urn:x", "spiffe://example.org/batch"), ("other.example.com",), "batch"),
    "two callers": (("spiffe://example.org/batch",), ("web.example.com",), "several"),
    "none": ((), (), ""),
}


@pytest.mark.parametrize("shown", NAMES)
def test_whom_a_certificate_names(shown: str) -> None:
    uris, dns, expected = NAMES[shown]
    holders = tuple(
        Holder(each, tuple(entry.get("uris", ())), tuple(entry.get("names", ())), "t")
        for each, entry in HOLDERS.items()
    )
    keyring = Keyring(b"", {})
    keyring.adopt((), holders)
    certificate = Certificate(b"f" * 32, uris, dns, 100)
    try:
        found = keyring.holder(certificate, [], 50).key_id.partition(":")[0]
    except Unauthenticated as error:
        found = "several" if "several" in error.message else ""
    assert found == expected
    if expected in HOLDERS:
        with pytest.raises(Unauthenticated, match="expired"):
            keyring.holder(certificate, [], 100)


async def test_names_that_would_end_early_or_elsewhere_name_nobody(wall: Wall) -> None:
    """Names as an authority may write them without care: none of them is taken for a shorter or another one."""
    for number, name in enumerate(
        ("web.example.com\0.evil.test", "web.example.com\n", " web.example.com", "web.example.com.")
    ):
        with contextlib.suppress(ValueError):
            held = wall.ours.issue(f"odd-{number}", client=True, dns=(name,))
            assert (await wall.ask(held)).status == 401, name
    common = wall.ours.issue("web.example.com", client=True)
    assert (await wall.ask(common)).status == 401, "a common name is none"


# --- configurations ---

PLACE = {"environment": "e", "protocol": "openai", "base_url": "https://llm.example.com/v1", "model": "m"}
GOOD = {"certificates": {"batch": HOLDERS["named"]}}
WRONG: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "no TLS": (r"certificates\.batch", {}, GOOD),
    "nobody asks": (r"certificates\.batch", {"client_ca_file": None}, GOOD),
    "required of nobody": ("client_certificates", {"client_ca_file": None, "client_certificates": "required"}, {}),
    "no names": (r"certificates\.a", {"key_file": "k"}, {"certificates": {"a": {}}}),
    "no URI": (r"uris", {"key_file": "k"}, {"certificates": {"a": {"uris": ["example.org/batch"]}}}),
    "a star within": (r"uris", {"key_file": "k"}, {"certificates": {"a": {"uris": ["spiffe://*/batch"]}}}),
    "a wildcard name": (r"names", {"key_file": "k"}, {"certificates": {"a": {"names": ["*.example.com"]}}}),
    "capitals": (r"names", {"key_file": "k"}, {"certificates": {"a": {"names": ["Web.example.com"]}}}),
    "twice": ("already", {"key_file": "k"}, {"certificates": {"a": HOLDERS["named"], "b": HOLDERS["named"]}}),
    "no workload": ("workload", {"key_file": "k"}, {"certificates": {"a": {**HOLDERS["named"], "workloads": ["x"]}}}),
    "no authority there": ("client_ca_file", {"client_ca_file": "nothing.pem"}, {}),
    "no certificate there": ("certificate_file", {"certificate_file": "nothing.pem"}, {}),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_nobody_can_call_with_is_no_configuration(name: str, tmp_path: Path) -> None:
    place, tls, more = WRONG[name]
    authority = Authority(tmp_path)
    certificate, key = authority.issue("server")
    files = {"certificate_file": str(certificate), "key_file": str(key), "client_ca_file": str(authority.ca_file)}
    server = {"tls": {one: value for one, value in {**files, **tls}.items() if value is not None}} if tls else {}
    config = {"environments": {"e": {"kind": "on-prem"}}, "deployments": {"d": {**PLACE, "price": "free"}}}
    with pytest.raises(ConfigError, match=place):
        load_text(json.dumps({**config, "server": server, **more}), str(tmp_path / "signalbox.yaml"))


async def test_a_key_that_cannot_be_used_leaves_the_last_good_one_in_force(wall: Wall, tmp_path: Path) -> None:
    other, _ = wall.theirs.issue("other")
    locked = tmp_path / "locked.key"
    command = ["openssl", "ec", "-aes256", "-passout", "pass:x", "-out", str(locked)]
    key_file: str = wall.box.config["server"]["tls"]["key_file"]
    made = subprocess.run([*command, "-in", key_file], capture_output=True, check=False).returncode == 0
    good = dict(wall.box.config["server"]["tls"])
    for change in (
        {"certificate_file": str(other)},
        {"key_file": str(wall.ours.ca_file)},
        {"key_file": str(tmp_path / "nothing")},
        *([{"key_file": str(locked)}] if made else []),
    ):
        began = time.monotonic()
        error = await wall.box.configure({**wall.box.config, "server": {"tls": {**good, **change}}})
        assert "the certificate or its key cannot be used" in error
        assert time.monotonic() - began < 60, "nobody was asked for a password"
        assert (await wall.ask(wall.batch())).status == 200
