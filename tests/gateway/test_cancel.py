"""A client that leaves: its upstream is closed within a second, its slot is free, and what it cost is booked."""

import asyncio
import contextlib
import json
import math
import socket
import struct
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from conversations import PATHS
from harness import Box, running, simulated_config

# Every endpoint to an upstream of its own protocol, and to another one.
PAIRS = [
    ("chat", "w-chat"),
    ("chat", "w-messages"),
    ("messages", "w-messages"),
    ("messages", "w-chat"),
    ("responses", "w-responses"),
    ("responses", "w-messages"),
]
CLOSES = ["rst", "fin", "half"]
DELTAS = {"chat": b'"content":"', "messages": b'"text_delta"', "responses": b"response.output_text.delta"}
# What an estimate may exceed the truth by: a tenth, what surrounds a prompt, and what can be on its way at the cut.
SHARE_MAX, INPUT_TOKENS_MAX, OUTPUT_TOKENS_MAX = Decimal("0.10"), 150, 16
WITHIN_S = 1.0


def body_of(api: str, workload: str, text: str, **more: Any) -> dict[str, Any]:
    if api == "responses":
        return {"model": workload, "input": text, "max_output_tokens": 800, **more}
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": 800, **more}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def warm(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Box]:
    """One installation that has seen some whole answers of every deployment."""
    async with running(tmp_path_factory.mktemp("cancel") / "state") as box:
        script = "Say something [[tokens:60]][[delay_ms:15]]"
        calls = [(api, workload, size) for api, workload in PAIRS for size in (1, 2, 4, 8, 12, 16)]
        await asyncio.gather(
            *(
                box.request(PATHS[api], body_of(api, workload, script + " more" * size, stream=size > 1))
                for api, workload, size in calls
            )
        )
        yield box


class Client:
    """One call on a raw socket, left in the middle. received: everything so far."""

    def __init__(self, box: Box, api: str, key: str, body: dict[str, Any]) -> None:
        self._box = box
        data = json.dumps(body).encode()
        self._bytes = (
            f"POST {PATHS[api]} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        ).encode() + data
        self.received = b""
        self._mark = DELTAS[api]

    async def __aenter__(self) -> "Client":
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._box.port)
        self._writer.write(self._bytes)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def deltas(self, count: int) -> None:
        while self.received.count(self._mark) < count:
            piece = await asyncio.wait_for(self._reader.read(65536), 10)
            assert piece, self.received
            self.received += piece

    async def leave(self, how: str) -> None:
        if how == "half":
            self._writer.write_eof()
            await asyncio.wait_for(self._reader.read(-1), 5)  # the gateway closes its side too
            return
        if how == "rst":
            sock = self._writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort() if how == "rst" else self._writer.close()


async def until(condition: Any, what: str, within_s: float = 5.0) -> Any:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if found := condition():
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"not within {within_s} s: {what}")


async def cancelled(box: Box, api: str, workload: str, point: str, how: str) -> None:
    """One call that is left at `point`, and everything that must be true of it."""
    name = f"{api} -> {workload}, {point}, {how}"
    key = await box.new_key(name=name, deployments=("*",))
    key_id = box.keys[-1].id
    pace = "[[tokens:700]][[delay_ms:15]]" + ("[[ttft_ms:5000]]" if point == "before-headers" else "")
    body = body_of(api, workload, f"Tell me about {name} {pace}", stream=point != "unary")
    marker = name.encode()

    def entry() -> Any:
        return next((found for found in reversed(box.sim.log.entries) if marker in found.body), None)

    async with Client(box, api, key, body) as client:
        await until(entry, f"{name}: the upstream has the call")
        if point in ("before-headers", "unary"):
            await asyncio.sleep(0.4)
        else:
            await client.deltas(1 if point == "first-token" else 20)
        left_s = time.monotonic()
        await client.leave(how)
        closed = await until(lambda: entry().closed_s, f"{name}: the upstream sees the close")
    assert closed - left_s < WITHIN_S, name
    await until(lambda: mine(box, key_id), f"{name}: the ledger has it")
    (row,) = mine(box, key_id)
    assert (row["state"], row["error"]) == ("cancelled", "client_gone"), (name, row)
    assert row["usage_source"] in ("estimated", "provider"), name
    bill = next(found for found in box.bill() if found.client_request_id == row["attempt_id"])
    assert bill.end == "cut", name
    cost, truth = Decimal(row["cost_usd"]) * 10**12, Decimal(bill.cost_pico)
    prices = box.sim.prices[bill.provider][bill.model]
    more = (on_its_way(box) * prices.output_mtok + INPUT_TOKENS_MAX * prices.input_mtok) * 10**6
    assert truth > 0, name
    assert truth <= cost <= truth * (1 + SHARE_MAX) + more, (name, row, bill)


@pytest.mark.parametrize("deltas", [0, 3])
async def test_hidden_reasoning_is_paid_for_too(tmp_path: Path, deltas: int) -> None:
    """A reasoning model bills tokens that no event shows, also to a client who left."""
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["deployments"]["chat"]["model"] = "sim-reason"
        prices = box.sim.prices["openai"]["sim-reason"]
        config["deployments"]["chat"]["price"] |= {
            "input_mtok": float(prices.input_mtok),
            "output_mtok": float(prices.output_mtok),
        }
        assert not await box.configure(config)
        pace = "[[delay_ms:10]]"
        whole = body_of("chat", "w-chat", f"Think [[tokens:30]]{pace}", stream=True)
        await asyncio.gather(*(box.request(PATHS["chat"], whole) for _ in range(8)))
        async with Client(
            box, "chat", box.key, body_of("chat", "w-chat", f"Think on [[tokens:300]]{pace}", stream=True)
        ) as client:
            await (client.deltas(deltas) if deltas else asyncio.sleep(0.2))
            left_s = time.monotonic()
            await client.leave("fin")
        rows = await box.settled(9)
        row = next(found for found in rows if found["state"] == "cancelled")
        bill = next(found for found in box.bill() if found.client_request_id == row["attempt_id"])
        assert bill.reasoning > 0
        # Where the machine is so busy that the upstream sees the close late, it bills what it made until then.
        entry = next(found for found in box.sim.log.entries if found.client_request_id == row["attempt_id"])
        late = max(0, math.ceil((entry.closed_s - left_s - 0.05) * 100))
        truth = bill.reasoning + bill.tokens_out
        assert truth - late <= row["tokens_out"] <= 24 + 1.2 * bill.tokens_out + on_its_way(box)
        assert Decimal(row["cost_usd"]) * 10**12 >= bill.cost_pico - late * prices.output_mtok * 10**6


async def test_what_nobody_has_counted_yet_is_booked_by_its_characters(tmp_path: Path) -> None:
    """The first calls of a deployment: not at a token a byte, which a hard budget reserves."""
    async with running(tmp_path / "state") as box:
        text = "The signal at danger protects the train that stands in the section ahead of it. " * 20
        body = body_of("chat", "w-chat", f"{text} [[tokens:300]][[delay_ms:15]]", stream=True)
        async with Client(box, "chat", box.key, body) as client:
            await client.deltas(3)
            await client.leave("fin")
        (row,) = await box.settled(1)
        (bill,) = box.bill()
        assert (row["state"], bill.end) == ("cancelled", "cut")
        assert bill.tokens_in <= row["tokens_in"] <= 2.5 * bill.tokens_in


def on_its_way(box: Box) -> int:
    """Output tokens: more where the machine is behind with its work. These deployments make a hundred a second."""
    lag_s = box.plane._open.lag_s if box.plane._open is not None else 0.0
    return OUTPUT_TOKENS_MAX + math.ceil(2 * lag_s * 100)


def mine(box: Box, key_id: str) -> list[dict[str, Any]]:
    return box.rows(key=key_id)


@pytest.mark.parametrize("how", CLOSES)
@pytest.mark.parametrize("point", ["before-headers", "first-token", "middle", "unary"])
@pytest.mark.asyncio(loop_scope="module")
async def test_client_gone(warm: Box, point: str, how: str) -> None:
    await asyncio.gather(*(cancelled(warm, api, workload, point, how) for api, workload in PAIRS))
    pools = warm.worker.gateway.stages.transport.stats()
    assert sum(pool.in_flight + pool.waiting for pool in pools) == 0
    assert not warm.worker.gateway.streams
    assert warm.worker.gateway.stages.limits.in_flight == 0
    assert len(warm.worker.gateway.stages.open) == 0
    assert warm.chain_is_whole()
