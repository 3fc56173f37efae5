"""Discovery over real sockets: keys, local servers good and bad, and the simulator when there is nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from signalbox.config.discover import MODELS_PER_SERVER_MAX, Discovery, SimulatedModel, discover, simulated
from signalbox.config.load import load_text

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[int]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()


def says(body: bytes, head: bytes = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n") -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + b"\r\n" + body)
        await writer.drain()

    return answer


def models(*ids: str) -> bytes:
    listed = ", ".join(f'{{"id": "{name}", "object": "model"}}' for name in ids)
    return f'{{"object": "list", "data": [{listed}]}}'.encode()


async def found_at(answer: Answer) -> Discovery | None:
    async with server(answer) as port:
        return await discover({}, local_servers={port: "vllm"})


async def test_a_local_server_is_found_and_its_models_are_deployments() -> None:
    async with server(says(models("meta-llama/Llama-3.3-70B", "nomic-embed-text"))) as port:
        found = await discover({}, local_servers={port: "vllm"})
    assert found is not None
    assert found.lines == (f"Found vllm (http://127.0.0.1:{port}/v1): meta-llama/Llama-3.3-70B, nomic-embed-text.",)
    declared = load_text(found.text, "discovered", {})
    chat, embed = declared.deployments["meta-llama/Llama-3.3-70B"], declared.deployments["nomic-embed-text"]
    assert chat.replicas[0].name == f"http://127.0.0.1:{port}/v1"
    assert (chat.price, chat.apis, embed.apis) == ("free", frozenset({"chat"}), frozenset({"embeddings"}))


async def test_content_length_ends_an_answer_on_a_connection_that_stays_open() -> None:
    body = models("a")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await asyncio.sleep(5)

    assert await found_at(answer) is not None


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>hello</html>", b"{}", b'{"data": 7}', b'{"data": []}', b'{"data": [{"name": "x"}]}', b"[" * 100_000,
     models("a b", "${HOME}", "'", "-x"), b"x" * 2_000_000],
)  # fmt: skip
async def test_what_is_no_list_of_models_is_no_server(body: bytes) -> None:
    assert await found_at(says(body)) is None


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 404 Not Found\r\n", b"HTTP/1.1 401\r\n", b"220 smtp ready\r\n", b"HTTP\r\n"]
)
async def test_another_status_or_protocol_is_no_server(head: bytes) -> None:
    assert await found_at(says(models("a"), head)) is None


async def test_names_of_a_server_cannot_break_out_of_the_file() -> None:
    hostile = r"x\", model: y}\n  evil: {environment: z"
    found = await found_at(says(b'{"data": [{"id": "' + hostile.encode() + b'"}, {"id": "good"}, {"id": "auto"}]}'))
    assert found is not None
    assert list(load_text(found.text, "discovered", {}).deployments) == ["good"]


async def test_a_long_list_is_cut() -> None:
    found = await found_at(says(models(*(f"m{i}" for i in range(100)))))
    assert found is not None
    assert len(load_text(found.text, "f", {}).deployments) == MODELS_PER_SERVER_MAX


async def test_silent_servers_are_asked_in_parallel_and_given_up_on() -> None:
    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    async with server(silence) as one, server(silence) as two, server(silence) as three:
        start = time.perf_counter()
        assert await discover({}, local_servers={one: "vllm", two: "ollama", three: "sglang"}) is None
        assert time.perf_counter() - start < 4


async def test_our_own_ports_are_never_asked() -> None:
    async with server(says(models("me"))) as port:
        assert await discover({}, exclude_ports=[port], local_servers={port: "vllm"}) is None


async def test_keys_in_the_environment_are_providers() -> None:
    environ = {"OPENAI_API_KEY": "sk-canary", "ANTHROPIC_API_KEY": "sk-ant-canary", "MISTRAL_API_KEY": "", "X": "1"}
    found = await discover(environ, local_servers={})
    assert found is not None
    assert [line.split(" (")[0] for line in found.lines] == ["Found openai", "Found anthropic"]
    assert "canary" not in found.text + "".join(found.lines)
    declared = load_text(found.text, "discovered", environ)
    assert declared.deployments["claude-sonnet-5-5"].protocol == "anthropic"
    assert declared.deployments["text-embedding-3-small"].apis == frozenset({"embeddings"})
    assert "embeddings" not in declared.deployments["gpt-5-mini"].apis


async def test_two_places_with_one_model_keep_both() -> None:
    async with server(says(models("llama"))) as one, server(says(models("llama"))) as two:
        found = await discover({}, local_servers={one: "vllm", two: "ollama"})
    assert found is not None
    assert list(load_text(found.text, "f", {}).deployments) == ["llama", f"ollama-{two}/llama"]


async def test_nothing_is_nothing() -> None:
    assert await discover({"OPENAI_API_KEY": "bad\nkey"}, local_servers={}) is None


def test_the_simulator_is_declared_with_its_prices() -> None:
    price = {"input_mtok": Decimal("0.25"), "output_mtok": Decimal(2)}
    found = simulated(
        "http://127.0.0.1:9999/",
        [
            SimulatedModel("sim-small", "sim-small", "/openai/v1", "openai", price, 32768),
            SimulatedModel("sim-claude", "sim-large", "/anthropic", "anthropic", price),
            SimulatedModel("sim-embed", "sim-embed", "/openai/v1", "openai", price, apis=("embeddings",)),
        ],
    )
    declared = load_text(found.text, "simulated", {})
    small, claude, embed = declared.deployments.values()
    assert small.replicas[0].name == "http://127.0.0.1:9999/openai/v1"
    assert small.apis == frozenset({"chat", "responses", "completions", "embeddings"})
    assert small.context_tokens == 32768
    assert (claude.protocol, claude.replicas[0].path) == ("anthropic", "/anthropic")
    assert embed.apis == frozenset({"embeddings"})
    assert "simulator" in found.lines[0]
