"""A client that leaves before a byte of its call has left owes nothing; from the first byte on, its input is booked."""

import asyncio
import json
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conversations import PATHS
from harness import Box, running
from signalbox.ledger.verify import verify

BUDGET = {"usd_per_day": 1, "hard": True}


@pytest.fixture
def black_hole() -> Iterator[int]:
    """A port whose accept queue is full: the nearest thing on loopback to an address that answers nothing."""
    listener = socket.socket()
    fillers = [socket.socket() for _ in range(8)]
    try:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]
    finally:
        for one in (listener, *fillers):
            one.close()


def _body(api: str, workload: str, *, stream: bool) -> dict[str, Any]:
    if api == "responses":
        return {"model": workload, "stream": stream, "input": "hi " * 99}
    messages = [{"role": "user", "content": "hi " * 99}]
    return {"model": workload, "stream": stream, "messages": messages, "max_tokens": 64}


async def _left_after(box: Box, api: str, workload: str, *, stream: bool, after_s: float) -> dict[str, Any]:
    """The row of a call whose client left."""
    data = json.dumps(_body(api, workload, stream=stream)).encode()
    head = (
        f"POST {PATHS[api]} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {box.key}\r\ncontent-length: {len(data)}\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", box.port)
    writer.write(head.encode() + b"content-type: application/json\r\n\r\n" + data)
    await asyncio.sleep(after_s)
    writer.transport.abort()
    (row,) = await box.settled(1)
    for _ in range(100):
        if row["state"] != "open":
            break
        await asyncio.sleep(0.02)
        (row,) = box.rows()
    return row


@pytest.mark.parametrize("hedge", [None, {"after_ms": 5000}], ids=["alone", "hedged"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", PATHS)
async def test_nothing_was_sent_and_nothing_is_owed(
    tmp_path: Path, black_hole: int, api: str, stream: bool, hedge: dict[str, int] | None
) -> None:
    async with running(tmp_path) as box:
        config = box.config
        far = config["deployments"]["chat"]
        far["base_url"] = f"http://127.0.0.1:{black_hole}/v1"
        far["price"]["request_usd"] = 0.01
        config["workloads"]["far"] = {"placements": ["chat"], "budget": BUDGET}
        if hedge is not None:
            config["workloads"]["far"]["hedge"] = hedge
        assert not await box.configure(config)
        row = await _left_after(box, api, "far", stream=stream, after_s=0.4)
        assert (row["state"], row["error"], row["usage_source"]) == ("cancelled", "client_gone", "none")
        assert Decimal(row["cost_usd"]) == 0
        assert (row["tokens_in"], row["tokens_out"]) == (0, 0)
        assert not any(account.reserved or account.spent for account in box.plane.purse.accounts())
        assert verify(box.state.journal).ok


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("api", PATHS)
async def test_an_address_that_refuses_is_owed_nothing(tmp_path: Path, api: str, stream: bool) -> None:
    async with running(tmp_path) as box:
        config = box.config
        far = config["deployments"]["chat"]
        with socket.create_server(("127.0.0.1", 0)) as gone:
            far["base_url"] = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
        far["price"]["request_usd"] = 0.01
        config["workloads"]["far"] = {"placements": ["chat"], "budget": BUDGET}
        assert not await box.configure(config)
        answer = await box.request(PATHS[api], _body(api, "far", stream=stream))
        assert answer.status == 503
        rows = await box.settled(1)
        assert {(row["state"], row["error"], row["usage_source"]) for row in rows} == {("failed", "connect", "none")}
        assert {Decimal(row["cost_usd"]) for row in rows} == {0}
        assert not any(account.reserved or account.spent for account in box.plane.purse.accounts())


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_from_the_first_byte_on_the_input_is_booked(tmp_path: Path, stream: bool) -> None:
    async with running(tmp_path) as box:
        box.sim.fault("hang", provider="openai")
        row = await _left_after(box, "chat", "w-chat", stream=stream, after_s=0.4)
        assert (row["state"], row["usage_source"]) == ("cancelled", "estimated")
        assert row["tokens_in"] > 0
        assert Decimal(row["cost_usd"]) > 0
