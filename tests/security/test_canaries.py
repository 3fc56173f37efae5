"""Unique words in everything that tenants send: none turns up in a sink, nor in what another tenant or stream gets."""

from __future__ import annotations

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from harness import Box, running
from signalbox.simulator.settings import SimulatorSettings
from signalbox.telemetry.prometheus import render

# `make crosstalk` asks for ten thousand.
STREAMS = int(os.environ.get("SIGNALBOX_STREAMS", "200"))
PARALLEL = 50
FAULTS = (
    "!reset",
    "!reset_mid@3",
    "!eof@3",
    "!sse_error@2",
    "!status@500",
    "!bad_json@2",
    "!html",
    "!cut_json",
    "!quota",
    "!policy",
)


def contents(canary: str) -> dict[str, dict[str, Any]]:
    """For each endpoint a body that carries the word wherever content may stand."""
    tool = {"name": f"f_{canary}", "description": canary}
    chat_tool = {"type": "function", "function": {**tool, "parameters": {"type": "object", "description": canary}}}
    turns = [{"role": "user", "content": f"say {canary} again"}]
    return {
        "/v1/chat/completions": {
            "model": "w-chat",
            "messages": [{"role": "system", "content": canary}, *turns],
            "tools": [chat_tool],
            "stop": [canary],
            "metadata": {"k": canary},
        },
        "/v1/responses": {
            "model": "w-responses",
            "instructions": canary,
            "input": turns,
            "metadata": {"k": canary},
            "prompt_cache_key": canary,
        },
        "/v1/messages": {
            "model": "w-messages",
            "max_tokens": 20,
            "system": canary,
            "messages": turns,
            "tools": [{**tool, "input_schema": {"type": "object", "description": canary}}],
        },
        "/v1/messages/count_tokens": {"model": "w-messages", "system": canary, "messages": turns},
        "/v1/completions": {"model": "w-chat", "prompt": f"say {canary}", "suffix": canary},
        "/v1/embeddings": {"model": "w-embed", "input": canary},
    }


def broken(canary: str) -> list[bytes]:
    """Bodies that are refused, the word at the place of the mistake."""
    docs: list[Any] = [
        {"model": canary, "messages": []},
        {"model": canary, "messages": [{"role": "user", "content": "x"}]},
        {"model": "w-chat", "messages": canary},
        {"model": "w-chat", "messages": [{"role": canary, "content": "x"}]},
        {"model": "w-chat", "messages": [{"role": "user", "content": {"type": canary}}], "max_tokens": canary},
        {"model": "w-chat", "messages": [{"role": "user", "content": "x"}], "tools": [{"type": canary}]},
    ]
    text = canary.encode()
    return [*(json.dumps(doc).encode() for doc in docs), b'{"a":"%b","a":1}' % text, b'{"%b"' % text, text]


async def everything(box: Box, key: str, canary: str, told: list[bytes]) -> None:
    """All that a tenant may do with its word; told: what came back."""
    headers = {"idempotency-key": canary, "x-unknown": canary, "user-agent": canary, "x-request-id": canary}
    for path, body in contents(canary).items():
        for stream in (False, True) if "count" not in path and "embed" not in path else (False,):
            answer = await box.request(path, {**body, "stream": stream} if stream else body, key=key, headers=headers)
            told.append(answer.body)
            headers.pop("idempotency-key", None)
    for data in broken(canary):
        told.append((await box.request("/v1/chat/completions", data, key=key)).body)
    for number in range(len(FAULTS)):
        path = ("/v1/chat/completions", "/v1/messages")[number % 2]
        body = {**contents(canary)[path], "model": f"w-faulty-{number}", "stream": number % 3 == 0}
        told.append((await box.request(path, body, key=key)).body)
    told.append((await box.request(f"/v1/{canary}", b"{}", key=key)).body)
    told.append((await box.request("/v1/models", key=f"sb-{canary}")).body)


def files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file()]


async def test_no_sink_holds_what_a_tenant_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """State directory (journal, store, conversations, kept answers), logs, metrics, errors, ledger rows, headers."""
    faulty = {"environment": "openai-env", "protocol": "openai", "allow_private": True, "price": "free"}
    async with running(tmp_path / "state") as box:
        for number, fault in enumerate(FAULTS):
            place = {**faulty, "base_url": box.sim.base_url("openai", "openai"), "model": f"sim-small{fault}"}
            box.config["deployments"][f"faulty-{number}"] = place | {"capabilities": {"apis": ["chat"]}}
            box.config["workloads"][f"w-faulty-{number}"] = {"placements": [f"faulty-{number}"]}
        assert not await box.configure(box.config)
        words = {tenant: f"canary{tenant}q7" for tenant in ("alpha", "beta")}
        told: dict[str, list[bytes]] = {tenant: [] for tenant in words}
        keys = {tenant: await box.new_key(tenant=tenant, name=tenant) for tenant in words}
        await asyncio.gather(*(everything(box, keys[tenant], words[tenant], told[tenant]) for tenant in words))
        rows = json.dumps(box.rows())
        metrics = render(box.worker.gateway.stages.metrics) if box.worker.gateway else ""
        log = "".join(capfd.readouterr())
        sinks = {str(path): path.read_bytes() for path in files(tmp_path)}
    sinks |= {str(path): path.read_bytes() for path in files(tmp_path)}
    sinks |= {"ledger": rows.encode(), "metrics": metrics.encode(), "log": log.encode()}
    secrets = [key.rsplit("-", 1)[1] for key in (*keys.values(), box.key)]
    for name, data in sinks.items():
        for word in (*words.values(), *secrets):
            assert word.encode() not in data, (name, word)
    assert any(words["alpha"].encode() in data for data in told["alpha"])
    assert not any(words["beta"].encode() in data for data in told["alpha"])
    assert not any(words["alpha"].encode() in data for data in told["beta"])


async def test_what_is_kept_of_a_caller_is_kept_for_its_tenant_only(tmp_path: Path) -> None:
    """End user, session and tags are attributes of cost, and so in the ledger: in rows of that tenant alone."""
    async with running(tmp_path) as box:
        body = contents("x")["/v1/chat/completions"]
        for tenant in ("alpha", "beta"):
            key = await box.new_key(tenant=tenant)
            headers = {"x-signalbox-session": f"s-{tenant}", "x-signalbox-tags": f"t-{tenant}"}
            assert (await box.request("/v1/chat/completions", body | {"user": tenant}, key=key, headers=headers)).status
        for row in box.rows():
            other = "beta" if row["tenant"] == "alpha" else "alpha"
            assert other not in json.dumps(row)


async def test_streams_never_mix(tmp_path: Path) -> None:
    """Each says a word of its own, on every endpoint, some cut by their clients, over few kept connections."""
    async with running(tmp_path, settings=SimulatorSettings()) as box:
        keys = [await box.new_key(tenant=f"t{number}") for number in range(4)]
        left = iter(range(STREAMS))
        mixed: list[str] = []

        async def one(number: int) -> None:
            chance = random.Random(number)
            word = f"W{number:05d}E"
            text = f"[[text:{' '.join([word] * chance.randint(3, 30))}]]"
            path = chance.choice(["/v1/chat/completions", "/v1/responses", "/v1/messages"])
            model = chance.choice(["w-chat", "w-responses", "w-messages"])
            doc: dict[str, Any] = {"model": model, "stream": chance.random() < 0.8}
            doc |= {"input": text} if "responses" in path else {"messages": [{"role": "user", "content": text}]}
            if "messages" in path:
                doc["max_tokens"] = 200
            key = chance.choice(keys)
            if chance.random() < 0.1:
                await leave(box, path, doc, key)
                return
            answer = await box.request(path, doc, key=key)
            said = answer.body.decode()
            others = {said[at + 1 : at + 6] for at in places(said)} - {word[1:6]}
            if answer.status != 200 or others or word not in said:
                mixed.append(f"{number}: {answer.status} {sorted(others)}")

        async def caller() -> None:
            for number in left:
                await one(number)

        await asyncio.gather(*(caller() for _ in range(PARALLEL)))
        assert not mixed, mixed[:5]


def places(text: str) -> list[int]:
    """Where a word of a stream begins."""
    found: list[int] = []
    at = text.find("W")
    while at >= 0:
        if text[at + 1 : at + 6].isdigit() and text[at + 6 : at + 7] == "E":
            found.append(at)
        at = text.find("W", at + 1)
    return found


async def leave(box: Box, path: str, doc: dict[str, Any], key: str) -> None:
    data = json.dumps(doc).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", box.port)
    head = f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-length: {len(data)}\r\n\r\n"
    writer.write(head.encode() + data)
    await asyncio.sleep(0.005)
    writer.transport.abort()
