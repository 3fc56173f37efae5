"""SIGTERM: no new calls, running ones finish or are told, the books are complete, the exit code is 0."""

import asyncio
import json
import os
import signal
import time
from decimal import Decimal
from pathlib import Path

import pytest
from installation import PATHS, Served, body_of, until

LONG = "Talk on [[tokens:700]][[delay_ms:20]]"  # 14 s
SHORT = "Talk a little [[tokens:20]][[delay_ms:40]]"  # 0.8 s
FIRST = {"chat": b'"content":"', "messages": b"text_delta", "responses": b"output_text.delta"}
COMPLETE = {"chat": b"[DONE]", "messages": b"message_stop", "responses": b"response.completed"}
FAILED = {"chat": b'"error"', "messages": b"event: error", "responses": b"event: error"}


async def refused(served: Served) -> bool:
    """Whether the port takes no new connections."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("workers", [1, 2])
async def test_short_streams_finish_and_long_ones_are_told(served: Served, workers: int) -> None:
    served.config["server"] = {"shutdown_grace_s": 1.5}
    await served.start(workers)
    streams = {}
    for api in FIRST:
        for text in (SHORT, LONG):
            streams[api, text] = await served.stream(PATHS[api], body_of(api, f"w-{api}", text, stream=True))
    unary = asyncio.create_task(served.request(PATHS["chat"], body_of("chat", "w-chat", LONG)))
    for (api, _), stream in streams.items():
        await stream.until(FIRST[api])
    stopped_s = time.monotonic()
    served.signal(signal.SIGTERM)
    await until(lambda: refused(served), "no new connections", 0.5)
    served.signal(signal.SIGTERM)  # twice is the same as once
    for (api, text), stream in streams.items():
        said = await stream.rest()
        assert said.endswith(b"0\r\n\r\n"), (api, text, said[-300:])
        assert (COMPLETE[api] in said) == (text is SHORT), (api, text, said[-300:])
        assert (FAILED[api] in said) == (text is LONG), (api, text, said[-300:])
    answer = await unary
    assert answer.status == 503
    assert answer.json["error"]["code"] == "server_overloaded"
    assert await served.exit_code() == 0
    assert 1.4 < time.monotonic() - stopped_s < 6.0
    rows = served.rows()
    assert sorted(row["state"] for row in rows) == ["cancelled"] * 4 + ["settled"] * 3
    assert {row["error"] for row in rows if row["state"] == "cancelled"} == {"shutdown"}
    assert_booked(served, rows)


def assert_booked(served: Served, rows: list[dict]) -> None:
    """One row per attempt, exact where the end is known, never below the bill, chain whole."""
    bill = served.bill()
    assert sorted(bill) == sorted(row["attempt_id"] for row in rows)
    for row in rows:
        cost_pico = int(Decimal(row["cost_usd"]) * 10**12)
        truth = bill[row["attempt_id"]]
        exact = row["state"] == "settled"
        assert cost_pico == truth.cost_pico if exact else cost_pico >= truth.cost_pico, (str(row), truth)
    assert served.chain_is_whole()


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_idle_gateway_stops_at_once(served: Served, workers: int) -> None:
    await served.start(workers)
    assert (await served.request("/readyz")).status == 200
    pids = served.worker_pids()
    assert len(pids) == (0 if workers == 1 else workers)
    stopped_s = time.monotonic()
    served.signal(signal.SIGTERM)
    assert await served.exit_code() == 0
    assert time.monotonic() - stopped_s < 2.5
    await until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "the workers are gone")
    assert served.chain_is_whole()
    assert all(chain.sealed for chain in served.chains())


@pytest.mark.parametrize("delay_s", [0.45, 0.75])
async def test_sigterm_during_start(served: Served, delay_s: float) -> None:
    served.write()
    served.spawn(2)
    await asyncio.sleep(delay_s)
    served.signal(signal.SIGTERM)
    # Before our own code runs, the interpreter does what it always does.
    assert await served.exit_code() in (0, -signal.SIGTERM)
    greeting = served.process.stdout.read()
    served.process.stdout.close()
    await served.start(2)
    served.key = served.key or json.loads(greeting)["first_key"]
    assert (await served.request(PATHS["chat"], body_of("chat", "w-chat", "Hello"))).status == 200


async def test_sigterm_to_the_whole_group_is_no_worse(served: Served) -> None:
    """Process managers signal every process of a service, not the first alone."""
    await served.start(2)
    stream = await served.stream(PATHS["chat"], body_of("chat", "w-chat", SHORT, stream=True))
    await stream.until(FIRST["chat"])
    for pid in [*served.worker_pids(), served.pid]:
        os.kill(pid, signal.SIGTERM)
    assert COMPLETE["chat"] in await stream.rest()
    assert await served.exit_code() == 0
    (row,) = served.rows()
    assert row["state"] == "settled"
