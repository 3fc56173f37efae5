"""What a provider says goes back to the caller only when it is the caller's; never our credential, nor its headers."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from canned_upstream import KEY, CannedUpstream, http
from raw_client import ENDPOINTS, request_bytes, told_error

from harness import Answer, Box, running
from signalbox.core.errors import LedgerError
from signalbox.core.ports import Entry, Leaver
from signalbox.core.records import Opened, Record
from signalbox.core.together import FEW

pytestmark = pytest.mark.asyncio(loop_scope="module")

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
SAME = {CHAT: "canned", "/v1/completions": "canned", MESSAGES: "canned-messages"}
ACROSS = {RESPONSES: "canned", MESSAGES: "canned", CHAT: "canned-messages", "/v1/completions": "canned-messages"}
ODD_ERROR = (
    b'{ "error" :{"message":"No \\u00e9 such thing", "type":"x","n":1e5, "param":null,"code":"c"}, "extra":[] }\n'
)
GOOD = json.dumps(
    {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
).encode()


class Told:
    def __init__(self, box: Box, upstream: CannedUpstream) -> None:
        self.box = box
        self.upstream = upstream

    async def ask(self, path: str, workload: str, *, stream: bool = False, **more: Any) -> Answer:
        self.upstream.asked.clear()
        self.box.sim.reset()
        return await self.box.request(path, {**ENDPOINTS[path], "model": workload, "stream": stream}, **more)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Told]:
    path: Path = tmp_path_factory.mktemp("told") / "state"
    async with CannedUpstream() as upstream, running(path, upstream.config()) as box:
        yield Told(box, upstream)


@pytest.mark.parametrize("status", [400, 413, 422, 429, 529])
async def test_the_callers_own_errors_pass_unmodified_on_the_same_protocol(told: Told, status: int) -> None:
    told.upstream.answer = http(status, ODD_ERROR)
    for path, workload in SAME.items():
        for stream in (False, True):
            answer = await told.ask(path, workload, stream=stream)
            assert answer.status == status
            assert answer.body == ODD_ERROR
            assert answer.headers["x-signalbox-placement"].startswith("told")
            expected = "false" if status in (400, 413, 422) else None
            assert answer.headers.get("x-should-retry") == expected


@pytest.mark.parametrize("status", [400, 413, 422, 429, 529])
async def test_across_protocols_they_keep_status_and_words(told: Told, status: int) -> None:
    told.upstream.answer = http(status, ODD_ERROR)
    for path, workload in ACROSS.items():
        answer = await told.ask(path, workload)
        assert answer.status == status, answer.body
        told_error(path, answer)
        assert answer.json["error"]["message"] == "No é such thing"


CREDENTIAL = {
    "401": http(401, b'{"error":{"message":"Incorrect API key provided: %b"}}' % KEY.encode()),
    "402": http(402, b'{"error":{"message":"Payment required for %b"}}' % KEY[:16].encode()),
    "403": http(403, b'{"error":{"message":"Key sk-cana***dcba may not use this model"}}'),
    "404": http(404, b'{"error":{"message":"The model `m` does not exist","code":"model_not_found"}}'),
    "quota": http(429, b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'),
    "credit": http(
        400,
        b'{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access'
        b' the Anthropic API."}}',
    ),
}


@pytest.mark.parametrize("name", CREDENTIAL)
async def test_errors_of_our_own_configuration_are_503_and_say_nothing_of_it(told: Told, name: str) -> None:
    told.upstream.answer = CREDENTIAL[name]
    for path, workload in {**SAME, RESPONSES: "canned"}.items():
        answer = await told.ask(path, workload)
        assert answer.status == 503, answer.body
        assert answer.headers["x-signalbox-reason"] == "upstream_credential"
        assert answer.headers["x-should-retry"] == "false"
        told_error(path, answer)
        assert len(told.upstream.asked) == 1
        _says_nothing_of_the_key(answer)


@pytest.mark.parametrize("name", CREDENTIAL)
async def test_and_another_deployment_is_tried(told: Told, name: str) -> None:
    told.upstream.answer = CREDENTIAL[name]
    answer = await told.ask(CHAT, "canned-then-local")
    assert answer.status == 200, answer.body
    assert answer.headers["x-signalbox-placement"] == "local@vllm-env"


async def test_what_the_caller_caused_is_not_tried_elsewhere(told: Told) -> None:
    for status in (400, 413, 422):
        told.upstream.answer = http(status, ODD_ERROR)
        answer = await told.ask(CHAT, "canned-then-local")
        assert (answer.status, answer.body) == (status, ODD_ERROR)
        assert not told.box.sim.log.entries


async def test_what_one_protocol_cannot_carry_another_deployment_may(told: Told) -> None:
    """Several choices do not exist in Messages: refused only where nothing else may serve the call."""
    body = {**ENDPOINTS[CHAT], "n": 2}
    told.upstream.answer = http(503, b"{}")
    answer = await told.box.request(CHAT, {**body, "model": "messages-then-local"})
    assert (answer.status, len(answer.json["choices"])) == (200, 2)
    assert answer.headers["x-signalbox-placement"] == "local@vllm-env"
    answer = await told.box.request(CHAT, {**body, "model": "w-messages"})
    assert (answer.status, answer.json["error"]["code"]) == (400, "unsupported_parameter")
    answer = await told.box.request(CHAT, {**body, "model": "canned-then-messages"})
    assert answer.status == 503, "the one that could have served it is down: not the caller's fault"


def _says_nothing_of_the_key(answer: Answer) -> None:
    whole = answer.body.decode() + repr(answer.headers)
    for at in range(len(KEY) - 8):
        assert KEY[at : at + 8] not in whole
    assert "dcba" not in whole


@pytest.mark.parametrize("status", [400, 422, 429])
async def test_fragments_of_our_key_are_taken_out_of_what_passes(told: Told, status: int) -> None:
    text = f"bad header Bearer {KEY}, or {KEY[3:15]}, or sk-can...edcba"
    told.upstream.answer = http(status, json.dumps({"error": {"message": text, "type": "x"}}).encode())
    for path, workload in {**SAME, **ACROSS}.items():
        answer = await told.ask(path, workload)
        assert answer.status == status
        assert "bad header" in answer.json["error"]["message"]
        _says_nothing_of_the_key(answer)


NOT_AN_ANSWER = {
    "500": http(500, b"{}"),
    "a status that does not exist": http(599, b"{}"),
    "a redirect": http(302, b"", b"location: http://127.0.0.1:9/\r\n"),
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an endless error": http(400, b"x" * 200_000),
    "html": http(200, b"<html>", b"content-type: text/html\r\n"),
    "an empty object": http(200, b"{}"),
    "half an answer": http(200, GOOD)[:-10],
    "no HTTP": b"220 smtp ready\r\n",
    "nothing": b"",
    "a folded header": http(200, GOOD, b"x-ratelimit-a: b\r\n set-cookie: c=d\r\n"),
    "a bare CR": http(200, GOOD, b"x-ratelimit-a: b\rset-cookie: c=d\r\n"),
    "a bare LF": http(200, GOOD, b"x-ratelimit-a: b\nset-cookie: c=d\r\n"),
    "a NUL": http(200, GOOD, b"x-ratelimit-a: b\0c\r\n"),
    "two lengths": http(200, GOOD, b"content-length: 1\r\n"),
    "a length and chunks": http(200, GOOD, b"transfer-encoding: chunked\r\n"),
    "a header without end": b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 300_000,
}


@pytest.mark.parametrize("name", NOT_AN_ANSWER)
async def test_what_is_no_answer_is_told_as_a_bad_gateway_and_splits_nothing(told: Told, name: str) -> None:
    told.upstream.answer = NOT_AN_ANSWER[name]
    for path, workload in {**SAME, RESPONSES: "canned"}.items():
        for stream in (False, True):
            answer = await told.ask(path, workload, stream=stream)
            assert answer.status in (502, 503), (path, stream, answer.status, answer.body[:200])
            told_error(path, answer)
            assert "set-cookie" not in answer.headers


async def test_only_named_headers_of_a_provider_come_back(told: Told) -> None:
    kept = {
        "x-ratelimit-remaining-requests": "7",
        "anthropic-ratelimit-tokens-limit": "9",
        "openai-processing-ms": "12",
        "openai-version": "2020-10-01",
    }
    dropped = {
        "set-cookie": "a=b",
        "server": "secret/1.0",
        "via": "1.1 inside",
        "openai-organization": "org-ours",
        "openai-project": "proj-ours",
        "anthropic-organization-id": "ours",
        "x-powered-by": "x",
        "cf-ray": "x",
        "x-envoy-upstream-service-time": "1",
        "x-request-cost": "1",
        "strict-transport-security": "max-age=1",
        "access-control-allow-origin": "*",
        "keep-alive": "timeout=5",
        "trailer": "x",
        "alt-svc": "h3",
        "x-signalbox-placement": "forged@env",
        "x-signalbox-cost-usd": "77",
        "content-encoding": "identity",
        "www-authenticate": "Bearer",
        "location": "http://evil",
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**kept, **dropped, "x-request-id": "theirs"}.items())
    told.upstream.answer = http(200, GOOD, lines.encode())
    answer = await told.ask(CHAT, "canned")
    assert answer.status == 200
    for name, value in kept.items():
        assert answer.headers[name] == value
    for name, value in dropped.items():
        assert answer.headers.get(name) != value, name
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["x-signalbox-upstream-request-id"] == "theirs"
    translated = await told.ask(RESPONSES, "canned")
    assert not set(kept) & set(translated.headers)


async def test_how_long_to_wait_is_passed_on_within_a_minute(told: Told) -> None:
    far = formatdate(time.time() + 86400, usegmt=True).encode()
    for said, heard in ((b"2", "2"), (b"86400", "60"), (b"-5", "0"), (far, "60")):
        told.upstream.answer = http(429, ODD_ERROR, b"retry-after: %b\r\n" % said)
        assert (await told.ask(CHAT, "canned")).headers["retry-after"] == heard
        across = await told.ask(RESPONSES, "canned")
        assert 1 <= int(across.headers["retry-after"]) <= 60


async def test_credentials_of_the_caller_and_his_connection_never_go_on(told: Told) -> None:
    told.upstream.answer = http(200, GOOD)
    kept_back = {
        "cookie": "session=caller-canary",
        "proxy-authorization": "Basic caller-canary",
        "x-forwarded-for": "caller-canary",
        "x-real-ip": "caller-canary",
        "user-agent": "caller-canary",
        "referer": "caller-canary",
        "origin": "caller-canary",
        "x-signalbox-session": "caller-canary",
        "x-stainless-os": "caller-canary",
        "openai-organization": "caller-canary",
        "openai-project": "caller-canary",
        "x-request-id": "caller-canary",
        "x-client-request-id": "caller-canary",
        "te": "trailers",
        "traceparent": "caller-canary",
        "anthropic-beta": "caller-canary",
    }
    answer = await told.ask(CHAT, "canned", headers=kept_back)
    assert answer.status == 200
    (asked,) = told.upstream.asked
    assert b"caller-canary" not in asked
    assert told.box.key.encode() not in asked
    assert asked.count(KEY.encode()) == 1
    assert b"x-client-request-id: " + answer.headers["x-request-id"].encode() + b"-1\r\n" in asked


async def test_betas_and_versions_go_on_verbatim(told: Told) -> None:
    told.upstream.answer = http(400, ODD_ERROR)
    odd = "context-1m-2025-08-07,  interleaved-thinking-2025-05-14 ;x=\t1"
    headers = {"anthropic-beta": odd, "anthropic-version": "2023-01-01", "x-api-key": told.box.key}
    await told.ask(MESSAGES, "canned-messages", headers=headers)
    (asked,) = told.upstream.asked
    assert f"anthropic-beta: {odd}\r\n".encode() in asked
    assert b"anthropic-version: 2023-01-01\r\n" in asked
    assert told.box.key.encode() not in asked
    await told.ask(CHAT, "canned", headers={"openai-beta": odd})
    assert f"openai-beta: {odd}\r\n".encode() in told.upstream.asked[0]


NAMES = ("x\r\nset-cookie: a=b", "x\r\n\r\nHTTP/1.1 200 OK", "é", "a,b", "", "n" * 300, "x\0y", "\u2028")


async def test_a_callers_names_never_become_headers(told: Told) -> None:
    """What was dropped in translation is told by name in a header, and such names may come from the body."""
    told.upstream.answer = http(200, GOOD)
    for path in (RESPONSES, MESSAGES):
        for name in NAMES:
            body = {**ENDPOINTS[path], "model": "canned", name: 1, "metadata": {name: "x"}}
            answer = await told.box.request(path, body)
            assert answer.status == 200, answer.body
            assert "set-cookie" not in answer.headers
            allowed = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.:[]-, ")
            assert set(answer.headers.get("x-signalbox-dropped", "")) <= allowed
            assert len(answer.headers.get("x-signalbox-dropped", "")) < 200


async def test_a_callers_request_id_is_never_ours(told: Told) -> None:
    for value in ("caller-1", "a" * 5000, "x; DROP TABLE attempts", "../../etc"):
        answer = await told.box.request("/v1/models", headers={"x-request-id": value, "request-id": value})
        assert answer.headers["x-request-id"].startswith("req_")
        assert answer.headers["x-request-id"] == answer.headers["request-id"]


async def test_a_name_with_line_breaks_never_gets_into_a_configuration(told: Told) -> None:
    for section, entry in (
        ("workloads", {"placements": ["local"]}),
        ("deployments", told.upstream.deployment("openai", ["chat"])),
        ("aliases", "local"),
    ):
        for name in ("a\r\nset-cookie: b", "a b", "a\nb", "é", "a@b,c", ""):
            before = told.box.worker.gateway
            assert before is not None
            snapshot = before.stages.snapshot
            config = {**told.upstream.config(), section: {name: entry}}
            assert await told.box.configure({**config, "environments": {"vllm-env": {"kind": "on-prem"}}})
            assert before.stages.snapshot is snapshot


async def test_a_request_of_a_caller_cannot_carry_a_line_break_onward(told: Told) -> None:
    """The parser takes none, so nothing has to be escaped later."""
    for value in (b"a\rb", b"a\0b", b"a\nx-b: c"):
        raw = request_bytes(told.box, more=b"openai-beta: " + value + b"\r\n")
        assert (await told.box.raw(raw)).status == 400


async def test_an_error_after_a_heartbeat_is_told_in_the_stream_in_the_providers_words(tmp_path: Path) -> None:
    """The head is out by then, and with it the status: what is left is the dialect's own error event."""
    async with CannedUpstream() as upstream:
        config = {**upstream.config(), "server": {"heartbeat_after_s": 0.2}}
        async with running(tmp_path / "state", config) as box:
            upstream.delay_s = 1.8
            upstream.answer = http(429, ODD_ERROR)
            paths = [*SAME.items(), (RESPONSES, "canned")]
            asked = [box.request(path, {**ENDPOINTS[path], "model": name, "stream": True}) for path, name in paths]
            for (path, _), answer in zip(paths, await asyncio.gather(*asked), strict=True):
                assert answer.status == 200
                assert answer.body.endswith(b"\n\n")
                assert "No é such thing" in answer.body.decode() or "No \\u00e9 such thing" in answer.body.decode()
                assert "rate_limit" in answer.body.decode(), (path, answer.body)
                assert b"[DONE]" not in answer.body
                assert b"HTTP/1.1" not in answer.body


class LateFailure:
    """A record that was queued, and could not be written."""

    def __init__(self, failure: LedgerError) -> None:
        self.error: LedgerError | None = None
        self._failure = failure

    def before(self, leaver: Leaver) -> None:
        asyncio.get_running_loop().call_soon(self._fail, leaver)

    def _fail(self, leaver: Leaver) -> None:
        self.error = self._failure
        leaver.stay(self._failure)


class BrokenJournal:
    """The journal's port with a journal behind it that can take nothing, or that has a defect. late: records of
    attempts get into its queue, and fail with the write."""

    def __init__(self, failure: Exception, *, late: bool = False) -> None:
        self.failure = failure
        self.late = late

    def append(self, record: Record) -> None:
        raise self.failure

    def enter(self, record: Opened) -> Entry:
        if self.late and isinstance(self.failure, LedgerError):
            return LateFailure(self.failure)
        raise self.failure

    def append_soon(self, record: Record) -> None:
        raise self.failure

    async def synced(self) -> None:
        raise self.failure

    def healthy(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("failure", "late", "status"),
    [
        (LedgerError("disk full: /secret/path"), False, 503),
        (LedgerError("disk full: /secret/path"), True, 503),
        (RuntimeError("a defect: canary"), False, 500),
    ],
    ids=["refused", "failed", "defect"],
)
async def test_without_a_journal_nothing_is_sent_and_a_defect_tells_only_its_number(
    tmp_path: Path, failure: Exception, late: bool, status: int, capfd: pytest.CaptureFixture[str]
) -> None:
    async with running(tmp_path / "state") as box:
        gateway = box.worker.gateway
        assert gateway is not None
        whole = gateway.stages
        for number in range(FEW if late else 0):
            whole.open.opened(f"another-{number}")  # the more are under way, the later records are written
        gateway.stages = msgspec.structs.replace(whole, journal=BrokenJournal(failure, late=late))
        for path, body in ENDPOINTS.items():
            if path == "/v1/responses/input_tokens":
                continue  # sends nothing, and so needs no record
            for stream in (False, True):
                answer = await box.request(path, {**body, "stream": stream})
                assert answer.status == status, (path, answer.body)
                told_error(path, answer)
                text = answer.body.decode()
                assert "secret" not in text
                assert "canary" not in text
                assert status == 503 or answer.headers["x-request-id"] in text
        assert (await box.request("/readyz", key="")).status == 503
        assert (await box.request("/healthz", key="")).status == 200
        assert not box.sim.log.entries
        gateway.stages = whole
        assert (await box.request(CHAT, ENDPOINTS[CHAT])).status == 200
    logged = capfd.readouterr().err
    assert ("request failed" in logged) == (status == 500)
    assert "canary" not in logged


@pytest.mark.parametrize("late", [False, True], ids=["refused", "failed"])
async def test_what_could_not_be_recorded_takes_nothing_of_its_budget(tmp_path: Path, late: bool) -> None:
    """Neither what each request costs: there is no row that it could be told by."""
    async with running(tmp_path / "state") as box:
        config = box.config
        config["deployments"]["chat"]["price"]["request_usd"] = 0.01
        config["workloads"]["w-chat"]["budget"] = {"usd_per_day": 1, "hard": True}
        assert not await box.configure(config)
        gateway = box.worker.gateway
        assert gateway is not None
        whole = gateway.stages
        for number in range(FEW):
            whole.open.opened(f"another-{number}")
        gateway.stages = msgspec.structs.replace(whole, journal=BrokenJournal(LedgerError("disk full"), late=late))
        for stream in (False, True):
            assert (await box.request(CHAT, {**ENDPOINTS[CHAT], "stream": stream})).status == 503
        accounts = box.plane.purse.accounts()
        assert accounts
        assert not any(account.reserved or account.spent for account in accounts)
        gateway.stages = whole
