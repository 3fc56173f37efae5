"""Client certificates behind a proxy that ends TLS: believed from the addresses that are named, in one form, or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import running
from signalbox.config.load import load_text
from signalbox.core.errors import ConfigError, Unauthenticated
from signalbox.gateway.forwarded import HEADER, certificate_in

BODY = {"model": "w-chat", "messages": [{"role": "user", "content": "hi"}]}
HASH = "ab" * 32
OURS = f"By=spiffe://example.org/proxy;Hash={HASH};URI=spiffe://example.org/batch"
HOLDERS: dict[str, Any] = {
    "batch": {"uris": ["spiffe://example.org/batch"], "tenant": "acme", "workloads": ["w-chat"]},
    "web": {"names": ["web.example.com"], "tenant": "web"},
}
# What no careful proxy writes, or what a client may have had a hand in.
BAD = {
    "two proxies": f"{OURS},By=spiffe://example.org/other;Hash={HASH};URI=spiffe://example.org/web",
    "a client's element before the proxy's": f"URI=spiffe://example.org/batch,{OURS}",
    "an element after it": f"{OURS},",
    "no hash": "URI=spiffe://example.org/batch",
    "an empty hash": "Hash=;URI=spiffe://example.org/batch",
    "a short hash": "Hash=abcd;URI=spiffe://example.org/batch",
    "two hashes": f"Hash={HASH};{OURS}",
    "a key that nobody knows": f"{OURS};Role=admin",
    "a key twice": f'{OURS};Subject="CN=a";Subject="CN=b"',
    "a quote that does not end": f'Hash={HASH};Subject="CN=a;URI=spiffe://example.org/batch',
    "text after a quote": f'Hash={HASH};Subject="CN=a"b;URI=spiffe://example.org/batch',
    "an equals sign in a bare value": f"Hash={HASH};URI=spiffe://example.org/batch=x",
    "no key": f"Hash={HASH};spiffe://example.org/batch",
    "a semicolon too many": f"{OURS};",
    "spaces within": f"Hash={HASH}; URI=spiffe://example.org/batch",
    "nothing": "",
    "not ASCII": f"Hash={HASH};URI=spiffe://example.org/bätch",
    "very long": f"{OURS};Cert=" + "a" * 33_000,
    "very many names": f"Hash={HASH}" + ";DNS=web.example.com" * 200,
    "two callers": f"Hash={HASH};URI=spiffe://example.org/batch;DNS=web.example.com",
}


async def test_a_trusted_proxy_says_whose_call_it_is(tmp_path: Path) -> None:
    config = {"server": {"trusted_proxies": ["127.0.0.1"]}, "certificates": HOLDERS}
    async with running(tmp_path, config) as box:

        async def ask(*values: str, key: str = "", **headers: str) -> int:
            lines = "".join(f"x-forwarded-client-cert: {value}\r\n" for value in values)
            lines += "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
            lines += f"authorization: Bearer {key}\r\n" if key else ""
            data = b'{"model":"w-chat","messages":[{"role":"user","content":"hi"}]}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\ncontent-length: {len(data)}\r\n{lines}"
            return (await box.raw(f"{head}connection: close\r\n\r\n".encode("latin-1") + data)).status

        assert await ask(OURS) == 200
        assert await ask(OURS.replace("URI=", "uri=").replace("Hash=", "hash=")) == 200
        assert await ask(f'Hash={HASH};Subject="CN=\\"a\\";O=b, c";DNS=Web.Example.com;DNS=other.example.com') == 200
        assert await ask(OURS, key="certificate") == 200
        # Who says nothing of a certificate, or of one that names nobody, needs a key.
        assert await ask() == 401
        assert await ask(key=box.key) == 200
        stranger = f"Hash={HASH};URI=spiffe://example.org/stranger"
        assert await ask(stranger) == 401
        assert await ask(stranger, key=box.key) == 200
        # A key beside it is a second credential; the same header twice, and every odd one, is none at all.
        assert await ask(OURS, key=box.key) == 401
        assert await ask(OURS, x_api_key="sb-x") == 401
        assert await ask(OURS, OURS) == 401
        for name, value in BAD.items():
            assert await ask(value) == 401, name
            assert await ask(value, key=box.key) == 401, name
        # The words of another header, and a certificate that is claimed again with other names, are others.
        assert await ask(x_client_cert=OURS, x_forwarded_for="127.0.0.1") == 401
        assert await ask(f"Hash={HASH};DNS=web.example.com") == 200
        rows = {(row["tenant"], row["key_id"]) for row in box.rows()}
        assert ("acme", "batch:spiffe://example.org/batch") in rows
        assert ("web", "web:web.example.com") in rows
        sent = [entry for entry in box.sim.log.entries if entry.header("x-forwarded-client-cert")]
        assert not sent, "providers never hear of it"


@pytest.mark.parametrize("proxies", [[], ["192.0.2.0/24"], ["::1"], ["10.0.0.0/8", "fd00::/32"]])
async def test_from_anywhere_else_the_header_counts_for_nothing(tmp_path: Path, proxies: list[str]) -> None:
    # There has to be some way for a certificate to come, or the configuration is refused.
    config: dict[str, Any] = {"server": {"trusted_proxies": proxies}, "certificates": HOLDERS if proxies else {}}
    async with running(tmp_path, config) as box:
        for headers in (
            {"x-forwarded-client-cert": OURS},
            {"x-forwarded-client-cert": OURS, "x-forwarded-for": "192.0.2.7, 10.0.0.9", "forwarded": "for=192.0.2.7"},
            {"x-forwarded-client-cert": OURS, "x-real-ip": "192.0.2.7", "via": "1.1 192.0.2.7"},
        ):
            answer = await box.request("/v1/chat/completions", BODY, key="", headers=headers)
            assert answer.status == 401
            assert (await box.request("/v1/chat/completions", BODY, headers=headers)).status == 200, "the key decides"
            assert (await box.request("/v1/chat/completions", BODY, key="certificate", headers=headers)).status == 401
        assert {row["tenant"] for row in box.rows()} == {"default"}


@given(st.lists(st.sampled_from(['"', "\\", ";", ",", "=", "URI", "Hash", HASH, "a", " ", "spiffe://x/y", "DNS"])))
def test_junk_names_nobody_and_breaks_nothing(parts: list[str]) -> None:
    try:
        found = certificate_in([(HEADER, "".join(parts).encode())])
    except Unauthenticated:
        return
    assert found is not None
    assert "".join(parts).lower().startswith(("hash=", "uri=", "dns="))
    assert HASH in "".join(parts)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_a_quoted_value_cannot_leave_its_quotes(text: str) -> None:
    """Whatever a client had its authority write into its subject."""
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    found = certificate_in([(HEADER, f'Hash={HASH};Subject="{quoted}";URI=spiffe://example.org/batch'.encode())])
    assert found is not None
    assert (found.uris, found.names) == (("spiffe://example.org/batch",), ())


@pytest.mark.parametrize("network", ["", "proxy.example.com", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33", "1"])
def test_a_proxy_is_an_address_and_not_the_world(network: str) -> None:
    text = f'server: {{trusted_proxies: ["{network}"]}}\nenvironments: {{e: {{kind: on-prem}}}}\n'
    text += "deployments: {d: {environment: e, protocol: openai, base_url: 'http://127.0.0.1:1/v1', model: m}}\n"
    with pytest.raises(ConfigError, match="trusted_proxies"):
        load_text(text, "signalbox.yaml")
