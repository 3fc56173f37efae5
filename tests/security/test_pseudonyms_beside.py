"""Whoever is asked besides, again or instead of a call's first choice gets no value either where only pseudonyms may
go: hedges, cascades and their second opinions, repairs, rescues, guards that ask, shadows, caches that compare."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from test_pseudonyms_needed import GUARDS, OF_HEALTH, PATHS, RULE, SPACED, TELLING, Doc, holds, parts, said

from conversations import wanting
from harness import Box, running, simulated_config

APIS = ("chat", "messages", "responses")
# Of each way: what the workload says besides, and how many are asked about a call whose value is replaced.
CASCADE: Doc = {"strategy": "cascade", "placements": ["weak", "strong"]}
ASKING: Doc = {
    "name": "external", "deployment": "azure", "found_when": "unsafe", "passes_when": "hello", "timeout_ms": 9000,
    "instructions": "Say safe or unsafe.",
}  # fmt: skip
SCANNING: Doc = {"name": "external-scan", "deployment": "scanner", "timeout_ms": 9000}
SEMANTIC: Doc = {"embedding": "embed", "error_share_max": 0.5, "judge": "azure", "audit_share": 1.0}
WAYS: dict[str, tuple[Doc, int]] = {
    "retry": ({"placements": ["chat"]}, 2),
    "fall-over": ({"placements": ["chat", "messages"]}, 2),
    "hedge": ({"placements": ["weak", "messages"], "hedge": {"after_ms": 1}}, 2),
    "rescue": ({"placements": ["chat", "azure"], "stream_rescue": {"hold_tokens": 0, "hold_ms": 0}}, 2),
    "kept": ({**CASCADE, "cascade": {"weak": "weak", "strong": "strong", "threshold": 0.0}}, 1),
    "escalated": ({**CASCADE, "cascade": {"weak": "weak", "strong": "strong", "threshold": 1.0}}, 2),
    "opinion": (
        {**CASCADE, "cascade": {"weak": "weak", "strong": "strong", "threshold": 0.0, "agrees_with": ["azure"]}},
        2,
    ),
    "repaired": ({"placements": ["chat"], "guards": [*GUARDS, {"name": "valid-json", "repair": True}]}, 2),
    "guard-before": ({"placements": ["chat"], "guards": [ASKING, *GUARDS]}, 2),
    "guard-behind": ({"placements": ["chat"], "guards": [*GUARDS, ASKING]}, 2),
    "scan-before": ({"placements": ["chat"], "guards": [SCANNING, *GUARDS]}, 2),
    "shadow": ({"placements": ["chat", "messages"], "shadow": {"share": 1.0}}, 1),
    "semantic": ({"placements": ["chat"], "cache": {"data_max": "restricted", "semantic": SEMANTIC}}, 1),
    "exact": ({"placements": ["chat"], "cache": {"data_max": "restricted", "exact_ttl_s": 60}}, 1),
}
TEXT = f"Say [[text:hello]] to the owner of card {SPACED}"
SLOW = f"[[ttft_ms:60]]{TEXT}"


class Scanner:
    """A service that finds nothing. asked: what it was sent."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                self.asked.append(await reader.readexactly(size))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]")
        writer.close()


@contextlib.asynccontextmanager
async def installed(tmp_path: Path, way: str) -> AsyncIterator[tuple[Box, Scanner]]:
    scanner = Scanner()
    server = await asyncio.start_server(scanner.serve, "127.0.0.1", 0)
    try:
        async with running(tmp_path) as box:
            config = simulated_config(box.sim, health={"enabled": False}, rules=[RULE, OF_HEALTH])
            deployments, prices = config["deployments"], box.sim.prices["openai"]["sim-large"]
            told = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
            dear = {key: float(getattr(prices, key)) for key in told}
            deployments["weak"] = deployments["chat"]
            deployments["strong"] = {**deployments["chat"], "model": "sim-large", "price": dear}
            deployments["azure"] = deployments["responses"]
            deployments["scanner"] = {
                "environment": "openai-env", "protocol": "presidio", "model": "a", "allow_private": True,
                "base_url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
                "price": {"input_mtok": 0, "output_mtok": 0},
            }  # fmt: skip
            made = {"guards": GUARDS, **WAYS[way][0]}
            if "cascade" in made:
                made["cascade"] = {"price_ratio_min": 0, **made["cascade"]}
            off: Doc = {"data": ["phi"], "classify": {"detectors": "off"}}
            config["workloads"] = {"found": made, "declared": {**made, **off}, "told": made}
            error = await box.configure(config)
            assert not error, error
            yield box, scanner
    finally:
        server.close()


def body_of(api: str, model: str, way: str, place: str, *, stream: bool) -> Doc:
    doc: Doc = {"model": model, "stream": stream}
    doc |= {"store": False} if api == "responses" else {"max_tokens": 50, "messages": [{"role": "user"}]}
    text = SLOW if way == "hedge" else TEXT
    if place == "split":
        parts(api, doc, *[text[: -len(SPACED) + 8], text[-len(SPACED) + 8 :]])
    else:
        said(api, doc, text)
    if api == "responses" and isinstance(doc["input"], str):
        doc["input"] = [{"role": "user", "content": text}]
    if place == "number":
        doc["about"] = {"card": int(SPACED.replace(" ", ""))}
    if way == "repaired":
        doc |= wanting(api)
    return doc


@pytest.mark.parametrize("way", WAYS)
async def test_nobody_who_is_asked_besides_gets_a_value(tmp_path: Path, way: str) -> None:
    async with installed(tmp_path, way) as (box, scanner):
        number = most = 0
        for api in APIS:
            for place in ("text", "number", "split"):
                for known in ("found", "declared", "told"):
                    number += 1
                    stream = way == "rescue" or (number % 2 == 0 and way != "repaired")
                    box.sim.log.clear()
                    scanner.asked.clear()
                    box.sim.faults.clear()
                    if way in ("retry", "fall-over"):
                        box.sim.fault("503" if way == "fall-over" else "500", provider="openai", count=1)
                    elif way == "rescue":
                        box.sim.fault("reset_mid@1", provider="openai", count=1)
                    body = json.dumps(body_of(api, known, way, place, stream=stream)).encode()
                    assert holds(body)
                    headers: dict[str, Any] = {"x-signalbox-session": f"{api}{place}{known}"}
                    answer = await box.request(
                        PATHS[api], body, headers=headers | (TELLING if known == "told" else {}), within_s=10
                    )
                    await asyncio.sleep(0.02)  # what is asked behind an answer
                    cell = (api, place, known, answer.status, answer.body[:400])
                    sent = [entry.body for entry in box.sim.log.entries] + scanner.asked
                    assert not [one for one in sent if holds(one)], cell
                    if place == "text":
                        assert answer.status == 200 or way == "retry", cell  # which there may be too many of
                        assert sent, cell
                        most = max(most, len(sent))
        assert most == WAYS[way][1], "nobody else was asked, or somebody too many"
