"""A guard that asks Presidio or LLM Guard, as these speak: over sockets, under the rules, failing in every way."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Answer, Box, running

from conversations import PATHS

PROTOCOLS = {"presidio": "/analyze", "llm-guard": "/scan/prompt"}
NAME = "Jane Roe"


class Scanner:
    """A service that finds one name, and does what it is told to do instead of answering. asked: what it was sent."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.instead: bytes | None = None
        self.silent = self.dropped = False
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lines = [line.partition(":") for line in head.split("\r\n")[1:] if line]
                headers = {name.lower(): value.strip() for name, _, value in lines}
                body = json.loads(await reader.readexactly(int(headers["content-length"])))
                path = head.split(" ")[1]
                self.asked.append((path, body, headers))
                if self.silent:
                    await asyncio.sleep(30)
                if self.dropped:
                    break
                answer = self.instead if self.instead is not None else self.answer(path, body)
                writer.write(answer)
                await writer.drain()
        writer.close()

    def answer(self, path: str, body: dict[str, Any]) -> bytes:
        if path == "/analyze":
            at = body["text"].find(NAME)
            found = [{"analysis_explanation": None, "end": at + 8, "entity_type": "PERSON", "score": 0.85, "start": at}]
            weak = {
                "analysis_explanation": None,
                "end": 1,
                "entity_type": "US_DRIVER_LICENSE",
                "score": 0.01,
                "start": 0,
            }
            return http(json.dumps([*(found if at >= 0 else []), weak]))
        bad = NAME in body["prompt"]
        return http(json.dumps({"is_valid": not bad, "scanners": {"Anonymize": 1.0 if bad else 0.0, "Toxicity": 0.1}}))


def http(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body.encode())}\r\n\r\n"
    return (head + body).encode()


@contextlib.asynccontextmanager
async def scanning(
    tmp_path: Path, protocol: str, more: dict[str, Any] | None = None, **guard: Any
) -> AsyncIterator[tuple[Box, Scanner]]:
    scanner = Scanner()
    server = await asyncio.start_server(scanner.serve, "127.0.0.1", 0)
    scanner.port = server.sockets[0].getsockname()[1]
    use = {"name": "external-scan", "deployment": "scanner", "timeout_ms": 5000, **guard}
    config: dict[str, Any] = {
        "deployments": {
            "scanner": {"environment": "vllm-env", "protocol": protocol, "base_url": f"http://127.0.0.1:{scanner.port}",
                        "allow_private": True, "model": "analyzer", "api_key": "its own",
                        "price": {"input_mtok": 0, "output_mtok": 0}}
        },
        "workloads": {f"g-{name}": {"placements": [name], "guards": [use]} for name in PATHS},
        "health": {"enabled": False},
    }  # fmt: skip
    try:
        async with running(tmp_path, {**config, **(more or {})}) as box:
            yield box, scanner
    finally:
        server.close()


async def asked(box: Box, api: str, workload: str, text: str, *, stream: bool = False) -> Answer:
    body: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        body["input"] = text
    else:
        body |= {"messages": [{"role": "user", "content": text}], "max_tokens": 50}
    return await box.request(PATHS[api], body)


@pytest.mark.parametrize("protocol", list(PROTOCOLS))
async def test_what_the_service_finds_decides(tmp_path: Path, protocol: str) -> None:
    async with scanning(tmp_path, protocol, language="de") as (box, scanner):
        for api in PATHS:
            for stream in (False, True):
                answer = await asked(box, api, "g-chat", "Say hello.", stream=stream)
                assert answer.status == 200, answer.body
                count = len(box.sim.log.entries)
                refused = await asked(box, api, "g-chat", f"Say hello to {NAME}.", stream=stream)
                assert refused.status == 400
                assert len(box.sim.log.entries) == count, "nothing has left for the provider"
        path, body, headers = scanner.asked[-1]
        assert path == PROTOCOLS[protocol]
        assert headers["authorization"] == "Bearer its own"
        if protocol == "presidio":
            assert (body["text"], body["language"], body["score_threshold"]) == (f"Say hello to {NAME}.", "de", 0.5)
        else:
            assert body["prompt"] == f"Say hello to {NAME}."
        rows = [row for row in await box.settled(12 + 6) if row["deployment"] == "scanner"]
        assert len(rows) == 12
        assert all(row["reason"].startswith("guard") and row["cost_usd"] == "0" for row in rows)
        assert {(row["tokens_in"], row["usage_source"], row["state"]) for row in rows} == {(0, "provider", "settled")}


@pytest.mark.parametrize(
    ("protocol", "settings", "found"),
    [
        ("presidio", {"score_min": 0.0}, {"person": 1, "us-driver-license": 1}),
        ("presidio", {"score_min": 0.9}, {}),
        ("presidio", {"entities": ["PERSON"], "score_min": 0.0}, {"person": 1}),
        ("presidio", {"entities": ["EMAIL_ADDRESS"], "score_min": 0.02}, {}),
        ("llm-guard", {}, {"anonymize": 1}),
        ("llm-guard", {"entities": ["Toxicity"], "score_min": 0.05}, {"toxicity": 1}),
        ("llm-guard", {"score_min": 1.0, "entities": ["Toxicity"]}, {}),
    ],
)
async def test_scores_and_kinds_that_count(tmp_path: Path, protocol: str, settings: Any, found: dict[str, int]) -> None:
    """Whatever a service does with the threshold and the list that it was told."""
    async with scanning(tmp_path, protocol, action="flag", **settings) as (box, _):
        assert (await asked(box, "chat", "g-chat", f"Hello {NAME}")).status == 200
        row = next(row for row in await box.settled(2) if row["deployment"] == "chat")
        assert row.get("guards", {}) == {f"external-scan.{name}:flag@request": count for name, count in found.items()}


def _silent(scanner: Scanner) -> None:
    scanner.silent = True


def _dropped(scanner: Scanner) -> None:
    scanner.dropped = True


def _saying(answer: bytes) -> Callable[[Scanner], None]:
    def say(scanner: Scanner) -> None:
        scanner.instead = answer

    return say


FAULTS: dict[str, Callable[[Scanner], None]] = {
    "silence": _silent,
    "a connection that is dropped": _dropped,
    "500": _saying(http('{"error": "No matching recognizers were found to serve the request."}', "500 Internal")),
    "401": _saying(http('{"detail": "no"}', "401 Unauthorized")),
    "429": _saying(http("{}", "429 Too Many")),
    "html": _saying(http("<html>hello</html>")),
    "nothing": _saying(http("")),
    "another document": _saying(http('{"result": []}')),
    "findings without a score": _saying(http('[{"entity_type": "PERSON", "start": 0, "end": 3}]')),
    "a word for a verdict": _saying(http('{"is_valid": "yes", "scanners": {}}')),
    "half a document": _saying(http('[{"entity_type": "PERSON", "sta')),
    "more than anybody reads": _saying(http("[" + " " * 40_000_000 + "]")),
    "no http": _saying(b"\x16\x03\x01 garbage\r\n\r\n"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("protocol", list(PROTOCOLS))
async def test_a_service_that_fails_closes_or_opens_as_declared(tmp_path: Path, protocol: str, fault: str) -> None:
    timeout_ms = 300 if fault == "silence" else 5000
    for fail in ("closed", "open"):
        async with scanning(tmp_path / fail, protocol, fail=fail, timeout_ms=timeout_ms) as (box, scanner):
            FAULTS[fault](scanner)
            answer = await asked(box, "chat", "g-chat", "Say hello.")
            sent = [entry.provider for entry in box.sim.log.entries]
            assert (answer.status, sent) == ((503, []) if fail == "closed" else (200, ["openai"]))
            assert scanner.asked
            if fail == "open":
                row = next(row for row in await box.settled(2) if row["deployment"] == "chat")
                assert all(":skipped@" in name for name in row["guards"])


async def test_an_answer_of_the_other_protocol_is_none(tmp_path: Path) -> None:
    async with scanning(tmp_path, "presidio") as (box, scanner):
        scanner.instead = http('{"is_valid": true, "scanners": {}}')
        assert (await asked(box, "chat", "g-chat", "Say hello.")).status == 503


async def test_the_rules_hold_for_the_service_as_well(tmp_path: Path) -> None:
    """A text that may not go where it stands is not sent there, and the guard has failed."""
    more = {"rules": [{"id": "us", "when": {"data": ["personal"]}, "allow": {"region": ["us"]}, "source": "test"}]}
    async with scanning(tmp_path, "presidio", more) as (box, scanner):
        answer = await asked(box, "chat", "g-chat", "Mail jane.roe@example.org.")
        assert answer.status == 503
        assert not scanner.asked
        assert not box.sim.log.entries


async def test_a_deployment_that_does_not_scan_is_refused_at_load(tmp_path: Path) -> None:
    async with scanning(tmp_path, "presidio") as (box, _):
        for name in ("chat", "nowhere"):
            guards = [{"name": "external-scan", "deployment": name}]
            wrong = {**box.config, "workloads": {"g": {"placements": ["chat"], "guards": guards}}}
            assert name in await box.configure(wrong)


async def test_no_client_reaches_a_service_that_scans(tmp_path: Path) -> None:
    """It has no endpoint, and no call is ever translated for it."""
    more = {"workloads": {"g": {"placements": ["scanner"]}}}
    async with scanning(tmp_path, "presidio", more) as (box, scanner):
        for api in PATHS:
            assert (await asked(box, api, "g", "Say hello.")).status == 400
        assert (await box.request("/analyze", {"text": "x"})).status == 404
        assert not scanner.asked
