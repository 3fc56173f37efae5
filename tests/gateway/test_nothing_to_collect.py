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
from conversations import PATHS
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
TEXT = "Write to ada@example.org. [[tokens:12]][[delay_ms:2]]"
# "" is an answer; the others are faults of the first placement, or of both.
FAULTS = ("", "503", "400", "reset", "eof@4", "sse_error@4", "cut_json", "hang")
LEAVES_S = 0.02


def config(sim: Simulator) -> dict[str, Any]:
    timeouts = {"connect_s": 1, "headers_s": 0.3, "first_token_s": 0.3, "idle_s": 0.3, "total_s": 5}
    made = simulated_config(sim, health={"enabled": False})
    for deployment in made["deployments"].values():
        deployment["timeouts"] = dict(timeouts)
    for name, control in CONTROLS.items():
        made["workloads"][name] = {"placements": ["chat", "messages"], **control}
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
