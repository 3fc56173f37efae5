"""What providers are told and what of their answers goes back: paths, headers, credentials, injection."""

from __future__ import annotations

import time
import typing
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upstream_lab import deployment

from signalbox.core.secret import Secret
from signalbox.core.snapshot import Deployment, Origin
from signalbox.upstream.head import RequestHead, request_head
from signalbox.upstream.headers import passed
from signalbox.upstream.origin import OriginLines, Proxy
from signalbox.upstream.providers import PROVIDERS, ProviderName
from signalbox.upstream.scrub import scrub

ORIGIN = Origin("https", "api.test", 443, "/v1")
OPENAI = deployment(ORIGIN, auth=("authorization", Secret("Bearer sk-test-0123456789abcdef")))
ANTHROPIC = deployment(Origin("https", "api.test", 443, ""), protocol="anthropic", auth=("x-api-key", Secret("ak-1")))


def fields(head: RequestHead) -> list[tuple[bytes, bytes]]:
    lines = head.fields.split(b"\r\n")
    assert lines.pop() == b""
    return [typing.cast("tuple[bytes, bytes]", tuple(line.split(b": ", 1))) for line in lines]


def build(target: Deployment, api: str, headers=(), query: bytes = b"", **scope: str) -> RequestHead:
    return PROVIDERS[target.protocol].request(target, api, headers, query, "call-1-1", **scope)


@pytest.mark.parametrize(
    ("target", "api", "path"),
    [
        (OPENAI, "chat", b"/chat/completions"),
        (OPENAI, "responses", b"/responses"),
        (OPENAI, "completions", b"/completions"),
        (OPENAI, "embeddings", b"/embeddings"),
        (OPENAI, "messages", b"/messages"),
        (OPENAI, "count_tokens", b"/messages/count_tokens"),
        (ANTHROPIC, "messages", b"/v1/messages"),
        (ANTHROPIC, "count_tokens", b"/v1/messages/count_tokens"),
    ],
)
def test_paths_follow_each_vendors_base_url_convention(target: Deployment, api: str, path: bytes) -> None:
    assert build(target, api).path == path


def test_the_table_has_every_name_of_its_type() -> None:
    assert set(PROVIDERS) == set(typing.get_args(ProviderName))
    for name, adapter in PROVIDERS.items():
        assert adapter.name == name
        assert adapter.apis


def test_an_api_that_a_provider_lacks_is_an_error() -> None:
    with pytest.raises(ValueError, match="anthropic has no API chat"):
        build(ANTHROPIC, "chat")


def test_what_is_always_sent() -> None:
    assert fields(build(OPENAI, "chat")) == [
        (b"content-type", b"application/json"),
        (b"accept", b"application/json, text/event-stream"),
        (b"user-agent", b"signalbox"),
        (b"authorization", b"Bearer sk-test-0123456789abcdef"),
        (b"x-client-request-id", b"call-1-1"),
    ]
    assert (b"x-api-key", b"ak-1") in fields(build(ANTHROPIC, "messages"))


CLIENT = [
    (b"host", b"gateway"),
    (b"authorization", b"Bearer sb-virtual"),
    (b"x-api-key", b"sb-virtual"),
    (b"cookie", b"a=b"),
    (b"user-agent", b"claude-cli"),
    (b"x-stainless-lang", b"python"),
    (b"traceparent", b"00-1-2-01"),
    (b"openai-organization", b"org-other"),
    (b"openai-project", b"proj-other"),
    (b"anthropic-organization-id", b"org-other"),
    (b"anthropic-api-key", b"sb-virtual"),
    (b"anthropic-beta", b"one,two"),
    (b"anthropic-beta", b"three"),
    (b"anthropic-version", b"2024-01-01"),
    (b"anthropic-dangerous-direct-browser-access", b"true"),
    (b"openai-beta", b"assistants=v2"),
    (b"idempotency-key", b"k1"),
    (b"x-signalbox-data", b"phi"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"content-length", b"5"),
]


def test_client_headers_go_on_by_rule_only() -> None:
    ours = {name for name, _ in fields(build(OPENAI, "chat"))}
    theirs = [header for header in fields(build(OPENAI, "chat", CLIENT)) if header[0] not in ours]
    assert theirs == [(b"openai-beta", b"assistants=v2")]
    sent = fields(build(ANTHROPIC, "messages", CLIENT))
    assert [h for h in sent if h[0].startswith(b"anthropic-")] == [
        (b"anthropic-beta", b"one,two"),
        (b"anthropic-beta", b"three"),
        (b"anthropic-version", b"2024-01-01"),
        (b"anthropic-dangerous-direct-browser-access", b"true"),
    ]
    for head in (build(OPENAI, "chat", CLIENT), build(ANTHROPIC, "messages", CLIENT)):
        assert b"virtual" not in head.fields
        assert b"other" not in head.fields


def test_the_version_defaults_at_anthropic_only() -> None:
    version = (b"anthropic-version", b"2023-06-01")
    assert version in fields(build(ANTHROPIC, "messages"))
    assert version not in fields(build(OPENAI, "messages"))
    fixed = deployment(protocol="anthropic", headers=(("Anthropic-Version", "2025-05-05"),))
    versions = [value for name, value in fields(build(fixed, "messages", CLIENT)) if name == b"anthropic-version"]
    assert versions == [b"2025-05-05"]


def test_the_operators_headers_are_added_and_hold() -> None:
    target = deployment(headers=(("X-Team", "a"), ("User-Agent", "corp"), ("OpenAI-Beta", "x=1")), auth=None)
    sent = fields(build(target, "chat", [(b"openai-beta", b"y=2"), (b"x-team", b"b")]))
    assert (b"x-team", b"a") in sent
    assert (b"user-agent", b"corp") in sent
    assert [value for name, value in sent if name == b"openai-beta"] == [b"x=1", b"y=2"]
    assert (b"x-team", b"b") not in sent


def test_beta_in_the_query_is_kept_and_nothing_else() -> None:
    assert build(ANTHROPIC, "messages", query=b"beta=true").path == b"/v1/messages?beta=true"
    assert build(ANTHROPIC, "count_tokens", query=b"x=y&beta=true").path == b"/v1/messages/count_tokens?beta=true"
    assert build(ANTHROPIC, "messages", query=b"api-version=1&beta=trues").path == b"/v1/messages"
    assert build(OPENAI, "chat", query=b"beta=true").path == b"/chat/completions"


def test_idempotency_keys_go_on_within_their_scope_only() -> None:
    key = [(b"idempotency-key", b"k1")]

    def sent(**scope: str) -> list[bytes]:
        return [value for name, value in fields(build(OPENAI, "chat", key, **scope)) if name == b"idempotency-key"]

    assert sent() == []
    [one] = sent(idempotency_scope="tenant-a/key-1")
    [two] = sent(idempotency_scope="tenant-b/key-1")
    assert one != two
    assert sent(idempotency_scope="tenant-a/key-1") == [one]


def test_a_reload_with_another_credential_is_not_served_from_the_old_template() -> None:
    for i in range(50):
        target = deployment(auth=("authorization", Secret(f"Bearer key-{i}")))
        assert (b"authorization", b"Bearer key-%d" % i) in fields(build(target, "chat"))


@pytest.mark.parametrize("bad", [b"a\r\nevil: 1", b"a\nb", b"a\rb", b"a\0b"])
def test_no_header_breaks_out_of_its_line(bad: bytes) -> None:
    with pytest.raises(ValueError, match="CR, LF or NUL") as caught:
        build(ANTHROPIC, "messages", [(b"anthropic-beta", bad)])
    assert b"evil" not in str(caught.value).encode()
    with pytest.raises(ValueError, match="not allowed"):
        request_head(b"/x", [(b"a" + bad, b"b")])
    with pytest.raises(ValueError, match="visible ASCII"):
        request_head(b"/x" + bad, [])
    secret = deployment(auth=("authorization", Secret("Bearer " + bad.decode())))
    with pytest.raises(ValueError, match="CR, LF or NUL"):
        build(secret, "chat")


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"Transfer-Encoding", b"connection", b"expect"])
def test_nobody_else_writes_the_framing(name: bytes) -> None:
    with pytest.raises(ValueError, match="belongs to the transport"):
        request_head(b"/x", [(name, b"1")])


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_any_header_is_one_line_or_an_error(name: bytes, value: bytes) -> None:
    try:
        head = request_head(b"/x", [(name, value)])
    except ValueError:
        return
    assert head.fields.count(b"\n") == head.fields.count(b"\r") == 1
    assert head.fields == name + b": " + value + b"\r\n"


@pytest.mark.parametrize("host", ["a b", "a\r\nb", "a/b", "a?b", "user@host", ""])
def test_a_host_that_cannot_stand_in_a_request_is_an_error(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        OriginLines(Origin("http", host, 80, ""))


def test_host_lines() -> None:
    head = request_head(b"/x", [])
    for origin, host in [
        (Origin("https", "api.test.", 443, ""), b"api.test"),
        (Origin("https", "api.test", 8443, ""), b"api.test:8443"),
        (Origin("http", "::1", 80, ""), b"[::1]"),
        (Origin("http", "[::1]", 8080, ""), b"[::1]:8080"),
    ]:
        assert b"\r\nhost: " + host + b"\r\n" in OriginLines(origin).render(b"POST ", head, b"")[0]


@pytest.mark.parametrize(
    "url", ["https://u:pw@p:1", "socks5://p", "http://", "http://u:pw@p:99999", "u:pw@p", "http://p/x"]
)
def test_an_unusable_proxy_is_an_error_that_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        Proxy(url)
    assert "pw" not in str(caught.value)


def test_nothing_shows_a_head_by_accident() -> None:
    assert "sk-test" not in repr(build(OPENAI, "chat"))
    assert "sk-test" not in f"{build(OPENAI, 'chat')}"


def test_what_goes_back_to_the_client() -> None:
    answer = [
        (b"content-type", b"application/json"),
        (b"content-length", b"5"),
        (b"content-encoding", b"gzip"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"keep-alive"),
        (b"set-cookie", b"__cf_bm=1"),
        (b"server", b"cloudflare"),
        (b"cf-ray", b"1"),
        (b"alt-svc", b"h3"),
        (b"x-api-key", b"k"),
        (b"authorization", b"k"),
        (b"openai-organization", b"org"),
        (b"anthropic-organization-id", b"org"),
        (b"x-ratelimit-remaining-requests", b"9"),
        (b"anthropic-ratelimit-tokens-reset", b"2026-01-01T00:00:00Z"),
        (b"retry-after", b"5"),
        (b"retry-after-ms", b"5000"),
        (b"openai-processing-ms", b"12"),
        (b"openai-version", b"2020-10-01"),
        (b"x-should-retry", b"true"),
        (b"request-id", b"req_1"),
        (b"x-request-id", b"req_2"),
    ]
    for _ in range(2):
        assert passed(answer) == (
            b"x-ratelimit-remaining-requests: 9\r\n"
            b"anthropic-ratelimit-tokens-reset: 2026-01-01T00:00:00Z\r\n"
            b"retry-after: 5\r\n"
            b"retry-after-ms: 5000\r\n"
            b"openai-processing-ms: 12\r\n"
            b"openai-version: 2020-10-01\r\n"
            b"x-should-retry: true\r\n"
            b"x-signalbox-upstream-request-id: req_1\r\n"
        )


@pytest.mark.parametrize(
    ("value", "passed_on"),
    [(b"3600", b"60"), (b"-5", b"0"), (b"nan", b"0"), (b"inf", b"60"), (b"1.5", b"1.5"),
     (b"soon", b"soon"), (b"Wed, 21 Oct 2026 07:28:00 GMT", b"Wed, 21 Oct 2026 07:28:00 GMT"),
     (b"Wed, 21 Oct 2026 10:28:00 GMT", b"60")],
)  # fmt: skip
@pytest.mark.parametrize("date_first", [True, False])
def test_waits_are_bounded(value: bytes, passed_on: bytes, date_first: bool) -> None:
    lines = [(b"date", b"Wed, 21 Oct 2026 07:27:30 GMT"), (b"retry-after", value)]
    assert passed(lines if date_first else lines[::-1]) == b"retry-after: " + passed_on + b"\r\n"


def test_a_date_without_the_providers_own_is_measured_by_our_clock() -> None:
    for away_s, told in ((30, None), (4000, b"60")):
        then = formatdate(time.time() + away_s, usegmt=True).encode()
        assert passed([(b"retry-after", then)]) == b"retry-after: " + (told or then) + b"\r\n"


def test_names_without_end_fill_no_memory() -> None:
    from signalbox.upstream import headers

    for i in range(5000):
        assert passed([(b"x-%d" % i, b"1")]) == b""
    assert len(headers._verdicts) <= headers.VERDICTS_MAX


KEY = Secret("Bearer sk-proj-AbCdEfGh1234567890zyxwvu")


@pytest.mark.parametrize(
    "said",
    [
        b"Incorrect API key provided: sk-proj-AbCdEfGh1234567890zyxwvu. You can",
        b'{"key": "sk-proj-AbCdEfGh1234567890zyxwvu"}',
        b"Incorrect API key provided: sk-proj-****************xwvu. You can",
        b"Incorrect API key provided: sk-pr*****xwvu.",
        b"key ending in ****xwvu is disabled",
        b"key sk-proj-Ab... is disabled",
        "key sk-proj-Ab…xwvu is disabled".encode(),
        b"key AbCdEfGh1234 is disabled",
        b"Authorization: Bearer sk-proj-AbCdEfGh1234567890zyxwvu",
    ],
)
def test_no_piece_of_our_credential_goes_back(said: bytes) -> None:
    clean = scrub(said, KEY)
    assert b"[redacted]" in clean
    for piece in (b"AbCd", b"xwvu", b"sk-proj", b"sk-pr"):
        assert piece not in clean


@pytest.mark.parametrize(
    "said",
    [
        b'{"error": {"message": "The model `gpt-5` does not exist", "type": "invalid_request_error"}}',
        b"*** maximum ... tokens *** 8192",
        "Zu viele Token … bitte kürzen".encode(),
        b"",
    ],
)
def test_everything_else_is_left_as_it_is(said: bytes) -> None:
    assert scrub(said, KEY) == said
    assert scrub(said, None) == said


@given(st.binary(max_size=80), st.integers(0, 60), st.integers(8, 60), st.binary(max_size=80))
def test_no_eight_characters_of_a_key_survive(before: bytes, start: int, length: int, after: bytes) -> None:
    key = b"sk-proj-AbCdEfGh1234567890zyxwvu"
    piece = key[start : start + length]
    clean = scrub(before + piece + after, KEY)
    assert not any(key[i : i + 8] in clean for i in range(len(key) - 7))
