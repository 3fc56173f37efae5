"""Bodies and headers that try to send a call, or the gateway itself, somewhere else: nobody but the configured
provider hears of it, at any endpoint, streamed or not, first placement or fall-over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from test_metering import BODIES, FREE

from harness import running, simulated_config

OUR_KEY = "sk-provider-canary-7f3a9c1e5b2d8046"
CALLS = {
    **BODIES,
    "translated": {"model": "w-chat", "max_tokens": 30, "messages": BODIES["/v1/messages"]["messages"]},
    "falls over": {"model": "w-fallback", "messages": BODIES["/v1/chat/completions"]["messages"]},
}
PATHS = {"translated": "/v1/messages", "falls over": "/v1/chat/completions"}


class Trap:
    """A listener that nobody has a reason to connect to. seen: what was sent to it."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.url = ""

    async def took(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen.append(await reader.read(2000))
        writer.close()


@contextlib.asynccontextmanager
async def trapped() -> AsyncIterator[Trap]:
    trap = Trap()
    server = await asyncio.start_server(trap.took, "127.0.0.1", 0)
    trap.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield trap
    finally:
        server.close()
        await server.wait_closed()


def fields(url: str) -> dict[str, Any]:
    return {
        "api_base": url,
        "base_url": url,
        "custom_host": url,
        "endpoint": url,
        "proxy": url,
        "api_key": "sk-theirs",
        "extra_headers": {"host": "elsewhere", "x-a": url},
        "extra_body": {"api_base": url},
        "user_config": {"model_list": [{"litellm_params": {"api_base": url}}]},
        "mock_response": "mocked by the caller",
        "metadata": {"tags": "admin", "api_base": url},
    }


def headers(url: str) -> dict[str, str]:
    names = ("x-portkey-custom-host", "x-base-url", "x-api-base", "x-forwarded-host", "x-original-url", "proxy")
    return dict.fromkeys(names, url) | {"openai-base-url": url}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("call", CALLS)
async def test_no_field_or_header_leads_anywhere_else(tmp_path: Path, call: str, stream: bool) -> None:
    path, body = PATHS.get(call, call), dict(CALLS[call])
    if stream and (path in FREE or "embeddings" in path):
        pytest.skip("it does not stream")
    async with trapped() as trap, running(tmp_path) as box:
        config = simulated_config(box.sim)
        for deployment in config["deployments"].values():
            deployment["api_key"] = OUR_KEY
        assert not await box.configure(config)
        if call == "falls over":
            box.sim.fault("503", provider="openai")
        if stream:
            body["stream"] = True
        answers = [await box.request(path, {**body, **fields(trap.url)}, headers=headers(trap.url))]
        answers += [await box.request(path, {**body, name: value}) for name, value in fields(trap.url).items()]
        answers.append(await box.request(path, body, headers={"x-signalbox-deployment": trap.url}))
        assert answers[-1].status == 400
        model = f"{body['model']}?api_base={trap.url}"
        answers.append(await box.request(path, {**body, "model": model}))
        assert answers[-1].status == 404
        assert {answer.status for answer in answers} <= {200, 400, 404}
        assert not trap.seen
        for answer in answers:
            assert OUR_KEY.encode() not in answer.body
            assert b"mocked by the caller" not in answer.body
        assert box.sim.log.entries
        for entry in box.sim.log.entries:
            told = dict(entry.headers)
            assert trap.url.encode() not in b" ".join(told.values())
            assert OUR_KEY.encode() in told.get(b"authorization", b"") + told.get(b"x-api-key", b"")


@pytest.mark.parametrize("model", ["w-messages", "w-chat", "w-responses"])
async def test_what_a_body_points_to_is_fetched_by_nobody_here(tmp_path: Path, model: str) -> None:
    """A translation too passes the address on, or refuses it, and never the bytes behind it."""
    async with trapped() as trap, running(tmp_path) as box:
        url = f"{trap.url}/secret.png"
        chat = {"type": "image_url", "image_url": {"url": url}}
        messages = {"type": "image", "source": {"type": "url", "url": url}}
        told = {"type": "input_image", "image_url": url}
        file = {"type": "input_file", "file_url": url}
        turns: list[tuple[str, dict[str, Any]]] = [
            ("/v1/chat/completions", {"messages": [{"role": "user", "content": [chat]}]}),
            ("/v1/messages", {"max_tokens": 9, "messages": [{"role": "user", "content": [messages]}]}),
            ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": [messages]}]}),
            ("/v1/responses", {"input": [{"role": "user", "content": [told, file]}]}),
        ]
        for path, body in turns:
            answer = await box.request(path, {"model": model, **body})
            assert answer.status in (200, 400), answer.body
        assert not trap.seen


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_redirect_is_followed_by_nobody(tmp_path: Path, stream: bool, status: int) -> None:
    async with trapped() as trap, running(tmp_path) as box:
        asked: list[bytes] = []

        async def elsewhere(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            head = f"HTTP/1.1 {status} Moved\r\nlocation: {trap.url}/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
        config = simulated_config(box.sim)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        config["deployments"]["chat"] |= {"base_url": url, "api_key": OUR_KEY}
        assert not await box.configure(config)
        body = {**BODIES["/v1/chat/completions"], "stream": stream}
        answer = await box.request("/v1/chat/completions", body)
        server.close()
        assert answer.status == 502, answer.body
        assert "location" not in answer.headers
        assert OUR_KEY.encode() in asked[0]
        assert not trap.seen
