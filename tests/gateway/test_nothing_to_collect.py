"""A call that is over leaves nothing that only the garbage collector could find: every control × endpoint × streamed or
not × end, and requests that were refused. A body of megabytes would stay for minutes, and one for each call that fails.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvloop
from raw_client import ENDPOINTS, request_bytes

from certificates import Authority
from conversations import NEVER, PATHS, wanting
from harness import Box, running, simulated_config
from leftovers import Leftovers
from signalbox.simulator.server import Simulator

in_the_module = pytest.mark.asyncio(loop_scope="module")

GUARDS: list[dict[str, Any] | str] = ["pseudonymise", {"name": "forbidden-text", "strings": ["FORBIDDEN"]}]
# What a workload may have, over two placements of which the first speaks chat and the second Messages.
CONTROLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "hedged": {"hedge": {"after_ms": 1}},
    "rescued": {"stream_rescue": True},
    "guarded": {"guards": GUARDS},
    "guarded-rescued": {"guards": GUARDS, "stream_rescue": True},
    "budgeted": {"budget": {"usd_per_day": 100, "hard": True}},
    "spent": {"budget": {"usd_per_day": 0.000000001, "hard": True}},
    "cached": {"cache": {"exact_ttl_s": 60}},
    "shadowed": {"shadow": {"share": 1.0}},
    "captured": {"capture": {"bytes_max": 100_000}},
    "looping": {"loops": {"same_call_max": 2}},
}
# Workloads for which models are asked besides, on the deployments of another provider, which fails.
_DOUBTED = {"weak": "chat", "strong": "strong", "price_ratio_min": 0, "threshold": 1.0}
_CASCADE = {"strategy": "cascade", "placements": ["chat", "strong"]}
_SEMANTIC = {"error_share_max": 0.45, "audit_share": 0.01}
_EXTERNAL = {"name": "external", "deployment": "local", "found_when": "unsafe", "passes_when": "^x", "timeout_ms": 200}
BESIDE: dict[str, dict[str, Any]] = {
    "guarded-open": {"placements": ["chat"], "guards": [{**_EXTERNAL, "fail": "open"}]},
    "guarded-closed": {"placements": ["chat"], "guards": [{**_EXTERNAL, "fail": "closed"}]},
    "doubted": {**_CASCADE, "cascade": _DOUBTED},
    "agreed": {**_CASCADE, "cascade": {**_DOUBTED, "agrees_with": "local"}},
    "compared": {
        "placements": ["chat", "local"],
        "shadow": {"share": 1.0, "weak": "chat", "strong": "local", "judge": "local"},
    },
    "embedded": {"placements": ["chat"], "cache": {"semantic": {**_SEMANTIC, "embedding": "embed"}}},
    "judged": {"placements": ["chat"], "cache": {"semantic": {**_SEMANTIC, "judge": "local"}}},
}
# Answers that a guard ends.
CUT = {"guards": [{"name": "forbidden-text", "strings": ["FORBIDDEN"], "action": "cut"}]}
TEXT = "Write to ada@example.org. [[tokens:12]][[delay_ms:2]]"
# "" is an answer; the others are faults of the first placement, or of both.
FAULTS = ("", "503", "400", "reset", "eof@4", "sse_error@4", "cut_json", "hang")
LEAVES_S = 0.02


def config(sim: Simulator) -> dict[str, Any]:
    timeouts = {"connect_s": 1, "headers_s": 0.3, "first_token_s": 0.3, "idle_s": 0.3, "total_s": 5}
    made = simulated_config(sim, health={"enabled": False})
    made["deployments"]["strong"] = {**made["deployments"]["local"], "model": "sim-large"}
    for deployment in made["deployments"].values():
        deployment["timeouts"] = dict(timeouts)
    for name, control in CONTROLS.items():
        made["workloads"][name] = {"placements": ["chat", "messages"], **control}
    for name, more in {"cut": {}, "cut-rescued": {"stream_rescue": True}}.items():
        made["workloads"][name] = {"placements": ["chat"], **CUT, **more}
    made["workloads"] |= BESIDE
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    async with running(tmp_path_factory.mktemp("collect") / "state") as made:
        refused = await made.configure(config(made.sim))
        assert not refused, refused
        yield made


def body(api: str, workload: str, text: str, *, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": workload, "stream": stream}
    if api == "responses":
        return asked | {"input": text, "max_output_tokens": 64, "store": False}
    return asked | {"messages": [{"role": "user", "content": text}], "max_tokens": 64}


async def left(box: Box, work: Callable[[], Awaitable[None]]) -> dict[str, int]:
    """What it leaves to the collector once nothing of it is under way."""
    gateway = box.worker.gateway
    assert gateway is not None
    tasks = len(asyncio.all_tasks())
    with Leftovers() as leftovers:
        await work()
        for _ in range(500):
            if not gateway.connections and len(asyncio.all_tasks()) <= tasks:
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.02)
    return dict(leftovers.found)


async def leave(box: Box, path: str, asked: dict[str, Any]) -> None:
    with contextlib.suppress(TimeoutError):
        await box.request(path, asked, within_s=LEAVES_S)


@in_the_module
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("control", CONTROLS)
async def test_a_call_leaves_nothing(box: Box, control: str, api: str) -> None:
    statuses: set[int] = set()

    async def call(number: int, stream: bool, fault: str, both: bool) -> None:
        mark = f"<{number}>"
        if fault:
            for provider in ("openai", "anthropic") if both else ("openai",):
                box.sim.fault(fault, provider=provider, body_contains=mark)
        asked = body(api, control, f"{TEXT} {mark}", stream=stream)
        statuses.add((await box.request(PATHS[api], asked)).status)
        await leave(box, PATHS[api], body(api, control, f"{TEXT} again {mark}", stream=stream))

    async def calls() -> None:
        cells = enumerate(product((False, True), FAULTS, (False, True)))
        await asyncio.gather(*(call(number, *cell) for number, cell in cells))

    box.sim.reset()
    assert await left(box, calls) == {}
    expected = {402, 429} if control == "spent" else {200, 400, 502, 503}
    assert statuses <= expected if control == "spent" else statuses >= expected, statuses


@in_the_module
@pytest.mark.parametrize("control", BESIDE)
async def test_a_model_that_is_asked_besides_and_fails_leaves_nothing(box: Box, control: str) -> None:
    statuses: set[int] = set()

    async def call(api: str, stream: bool, text: str) -> None:
        statuses.add((await box.request(PATHS[api], body(api, control, text, stream=stream))).status)
        await leave(box, PATHS[api], body(api, control, f"{text} again", stream=stream))

    async def calls() -> None:
        for fault in ("", "503", "400", "reset", "cut_json", "hang"):
            box.sim.reset()
            if fault:
                box.sim.fault(fault, provider="vllm")
                box.sim.fault(fault, model="sim-embed")
            cells = product(("chat", "messages"), (False, True))
            await asyncio.gather(*(call(*cell, f"How long does {fault or 'it'} take? [[tokens:9]]") for cell in cells))
        # Who waits for the last of them to end in time.
        await asyncio.sleep(0.5)

    pytest.importorskip("numpy")
    assert await left(box, calls) == {}
    assert statuses == ({503} if control == "guarded-closed" else {200})


@in_the_module
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("api", PATHS)
@pytest.mark.parametrize("workload", ["cut", "cut-rescued"])
async def test_an_answer_that_a_guard_ends_leaves_nothing(box: Box, workload: str, api: str, stream: bool) -> None:
    async def calls() -> None:
        answer = await box.request(
            PATHS[api], body(api, workload, "[[text:It would be FORBIDDEN to say more.]][[delay_ms:2]]", stream=stream)
        )
        assert answer.status == 200
        assert b"FORBIDDEN" not in answer.body

    box.sim.reset()
    assert await left(box, calls) == {}


async def test_what_was_held_and_cannot_be_bettered_leaves_nothing(tmp_path: Path) -> None:
    """The strong model of a cascade, and the model that is to repair an answer, are at limits of their own."""
    async with running(tmp_path / "state") as box:
        made = config(box.sim)
        made["deployments"]["once"] = made["deployments"]["local"]
        repaired = [{"name": "valid-json", "repair": True, "hold_streams": True}]
        made["workloads"] |= {
            "limited": {**_CASCADE, "cascade": _DOUBTED},
            "unrepaired": {"placements": ["once"], "guards": repaired},
        }
        limits: dict[str, dict[str, Any]] = {"strong": {"usd_per_day": 0.000000001}, "once": {"requests_per_hour": 1}}
        made["budgets"] = [{"for": "deployment", "name": name, "hard": True, **most} for name, most in limits.items()]
        assert not await box.configure(made)

        async def calls() -> None:
            for stream in (False, True):
                doubted = await box.request(PATHS["chat"], body("chat", "limited", "Hi.", stream=stream))
                assert (doubted.status, doubted.headers["x-signalbox-reason"].split()[-1]) == (200, "unescalated")
            asked = {**body("chat", "unrepaired", "Hi.", stream=False), **wanting("chat", NEVER)}
            assert (await box.request(PATHS["chat"], asked)).status == 200

        assert await left(box, calls) == {}


_CHUNK = '{"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [%s]}'
FINISHED = [
    _CHUNK % '{"index": 0, "delta": {"role": "assistant", "content": "Hi."}, "finish_reason": null}',
    _CHUNK % '{"index": 0, "delta": {}, "finish_reason": "stop"}',
]


@contextlib.asynccontextmanager
async def dying(*, streams: bool) -> AsyncIterator[str]:
    """The address of an upstream that closes every connection: without any answer, or behind a finished stream that has
    not ended."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        if streams:
            events = "".join(f"data: {event}\n\n" for event in FINISHED).encode()
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            writer.write(head + b"%x\r\n%b\r\n" % (len(events), events))
            await asyncio.sleep(0.05)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    finally:
        server.close()


async def test_an_answer_whose_connection_dies_behind_it_leaves_nothing(tmp_path: Path) -> None:
    async with dying(streams=True) as url, running(tmp_path / "state") as box:
        made = config(box.sim)
        made["deployments"]["dying"] = {**made["deployments"]["chat"], "base_url": url}
        made["workloads"]["died"] = {"placements": ["dying"]}
        assert not await box.configure(made)

        async def call() -> None:
            answer = await box.request(PATHS["chat"], body("chat", "died", "Hi.", stream=True))
            assert answer.body.endswith(b"[DONE]\n\n")

        assert await left(box, call) == {}


async def test_a_backend_that_does_not_wake_leaves_nothing(tmp_path: Path) -> None:
    """Nor does one whose gauges cannot be read."""
    async with dying(streams=False) as url, running(tmp_path / "state") as box:
        made = config(box.sim)
        told = {**made["deployments"]["local"], "base_url": url}
        made["deployments"]["asleep"] = {**told, "scale_from_zero": {"hold_s": 1}}
        made["deployments"]["read"] = {**told, "saturation": {"waiting_max": 3, "interval_s": 0.1}}
        assert not await box.configure(made)
        gateway = box.worker.gateway
        assert gateway is not None
        stages = gateway.stages
        deployment = stages.snapshot.deployment_by_name["asleep"]
        group = stages.fleet.of(deployment)

        async def wake() -> None:
            assert not await stages.wakes.up(deployment, group, group.replicas[0], 1.5)

        assert await left(box, wake) == {}


BAD: dict[str, Callable[[Box], bytes]] = {
    "no credential": lambda box: request_bytes(box, credential=b""),
    "wrong credential": lambda box: request_bytes(box, credential=b"authorization: Bearer sk-no\r\n"),
    "no such path": lambda box: request_bytes(box, target=b"/v1/nothing"),
    "wrong method": lambda box: request_bytes(box, method=b"PUT"),
    "not JSON": lambda box: request_bytes(box, b"{"),
    "no model": lambda box: request_bytes(box, b"{}"),
    "unknown model": lambda box: request_bytes(box, b'{"model": "nobody", "messages": []}'),
    "not HTTP": lambda box: b"\x16\x03\x01 hello\r\n\r\n",
    "two lengths": lambda box: request_bytes(box, more=b"content-length: 3\r\n"),
    "bad gzip": lambda box: request_bytes(box, b"no gzip", more=b"content-encoding: gzip\r\n"),
    "long target": lambda box: request_bytes(box, target=b"/v1/" + b"a" * 70_000),
    "many headers": lambda box: request_bytes(box, more=b"a: b\r\n" * 5_000),
    "upgrade": lambda box: request_bytes(box, b"{", more=b"upgrade: h2c\r\nconnection: upgrade\r\n", version=b"1.0"),
    "proxy": lambda box: b"CONNECT /x HTTP/1.1\r\nhost: t\r\n\r\n",
}


@in_the_module
@pytest.mark.parametrize("what", BAD)
async def test_a_refused_request_leaves_nothing(box: Box, what: str) -> None:
    async def refused() -> None:
        assert (await box.raw(BAD[what](box))).status >= 400

    assert await left(box, refused) == {}


@in_the_module
@pytest.mark.parametrize("path", ENDPOINTS)
async def test_other_endpoints_leave_nothing(box: Box, path: str) -> None:
    async def asked() -> None:
        assert (await box.request(path, ENDPOINTS[path])).status == 200
        assert (await box.request(path, {**ENDPOINTS[path], "model": "nobody"})).status >= 400
        for fault in ("503", "reset"):
            box.sim.fault(fault)
            assert (await box.request(path, ENDPOINTS[path])).status >= 200
            box.sim.reset()

    assert await left(box, asked) == {}


async def _over_tls(folder: Path, *, others: bool) -> dict[str, int]:
    """others: one client that does not speak TLS too."""
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("server", addresses=("127.0.0.1",))
    tls = {"certificate_file": str(certificate), "key_file": str(key)}
    context = authority.client_context()
    async with running(folder / "state", {"server": {"tls": tls}}) as box:

        async def call(number: int) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", box.port, ssl=context)
            writer.write(request_bytes(box))
            if number % 3 == 0:
                writer.transport.abort()
                return
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()

        async def in_the_clear() -> None:
            with contextlib.suppress(OSError, IndexError):
                await box.raw(request_bytes(box))

        async def calls() -> None:
            await asyncio.gather(*map(call, range(12)), *([in_the_clear()] if others else []))

        return await left(box, calls)


@pytest.mark.parametrize("loop_factory", [asyncio.SelectorEventLoop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_call_over_tls_leaves_nothing(tmp_path: Path, loop_factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    # After a handshake that failed, asyncio's own objects hold each other.
    others = loop_factory is uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(_over_tls(tmp_path, others=others)) == {}
