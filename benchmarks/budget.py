"""A hard budget under many streams and processes: never exceeded, refused in the caller's words, free again at the end.

Run: python -m benchmarks.budget [--streams 200] [--workers 4] [--usd 1.00] [--pause 0]; prints one JSON object and
exits with 1 when the ledger or the provider's bill is above the budget, a refusal is not in its dialect, an answer
ended in another way than an answer does, or anything stays reserved.

Every caller asks again until it was refused for good, with the token limit that clients send by habit. --pause: for so
many seconds in the middle nobody can write to the store.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.installation import Installation
from signalbox.bootstrap.storage import open_store
from signalbox.control.state import StateDir
from signalbox.core.usage import PICO

MODELS = {"w-chat": "chat/sim-large", "w-messages": "messages/sim-large", "w-responses": "responses/sim-large"}
PATHS = {"w-chat": "/v1/chat/completions", "w-messages": "/v1/messages", "w-responses": "/v1/responses"}
REFUSED_MAX = 3
CUT = b": signalbox: the budget is used up"
ENDS = {"w-chat": b"[DONE]", "w-messages": b"message_stop", "w-responses": b"response."}


class Caller:
    """One caller, who asks until it was refused REFUSED_MAX times for good, or the time is over."""

    def __init__(self, installation: Installation, key: str, number: int, counts: Counter[str], until_s: float) -> None:
        self._installation, self._key, self._counts, self._until_s = installation, key, counts, until_s
        self._workload = ("w-chat", "w-messages", "w-chat", "w-responses")[number % 4]
        self._stream = number % 8 != 7

    async def run(self) -> None:
        refused = 0
        while refused < REFUSED_MAX and time.monotonic() < self._until_s:
            status, headers, body = await self._call()
            if status == 200:
                self._judge_answer(headers, body)
            elif status == 503:
                self._counts["unavailable"] += 1
                await asyncio.sleep(0.5)
            else:
                refused += 1
                self._counts["refused" if self._in_dialect(status, headers, body) else "wrong_refusals"] += 1
                await asyncio.sleep(0.2)

    def _judge_answer(self, headers: bytes, body: bytes) -> None:
        self._counts["answers"] += 1
        self._counts["lowered"] += b"x-signalbox-max-tokens" in headers
        self._counts["cut"] += CUT in body
        if self._stream and (ENDS[self._workload] not in body or b'"error":{' in body):
            self._counts["broken"] += 1

    def _in_dialect(self, status: int, headers: bytes, body: bytes) -> bool:
        if b"x-should-retry: false" not in headers:
            return False
        if self._workload == "w-messages":
            return status == 402 and b"billing_error" in body
        return status == 429 and b"insufficient_quota" in body

    async def _call(self) -> tuple[int, bytes, bytes]:
        doc: dict[str, Any] = {"model": self._workload, "stream": self._stream}
        if self._workload == "w-responses":
            doc |= {"input": "go on", "max_output_tokens": 128_000}
        else:
            doc |= {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 128_000}
        return await call(self._installation.port, PATHS[self._workload], self._key, doc)


async def call(port: int, path: str, key: str, doc: dict[str, Any]) -> tuple[int, bytes, bytes]:
    """(status, head, body) of one call on a connection of its own."""
    data = json.dumps(doc).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
    received = await reader.read(-1)
    writer.close()
    answered, _, body = received.partition(b"\r\n\r\n")
    return int(answered[9:12]), answered.lower(), body


async def warm(installation: Installation) -> None:
    """The workers learn the models: until then nothing is watched, and every call pays for its worst case ahead."""
    short = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    for workload in ("w-chat", "w-messages"):
        doc = {"model": workload, "stream": True, **short}
        calls = [call(installation.port, PATHS[workload], installation.key, doc) for _ in range(120)]
        await asyncio.gather(*calls)


def pause_store(database: Path, seconds: float) -> None:
    """Nobody else can write for a while."""
    with closing(sqlite3.connect(database, timeout=30, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        time.sleep(seconds)
        connection.execute("ROLLBACK")


async def load(installation: Installation, key: str, streams: int, pause_s: float, seconds: float) -> Counter[str]:
    counts: Counter[str] = Counter()
    until_s = time.monotonic() + seconds
    pausing = None
    if pause_s:
        pausing = asyncio.create_task(asyncio.to_thread(pause_store, installation.state / "signalbox.db", pause_s))
    await asyncio.gather(*(Caller(installation, key, number, counts, until_s).run() for number in range(streams)))
    if pausing is not None:
        await pausing
    return counts


def judge(installation: Installation, key_id: str, before: set[str]) -> dict[str, Any]:
    """What ledger, bill and store say once everything has stopped."""
    rows = [row for row in installation.cli("ledger", "query") if row["key_id"] == key_id]
    ledger = sum((Decimal(row["cost_usd"]) for row in rows), Decimal(0))
    bill = installation.bill()
    billed = sum(bill[name]["cost_pico"] for name in bill if name not in before)
    with closing(open_store(StateDir(installation.state))) as store:
        leases, balances = store.leases(), store.balances(1)
    return {
        "settled_usd": str(ledger),
        "billed_usd": str(Decimal(billed) / PICO),
        "estimated_rows": sum(row["usage_source"] == "estimated" for row in rows),
        "rows": len(rows),
        "leases_left": len(leases),
        "booked_usd": str(sum((Decimal(one.spent) for one in balances if key_id in one.account), Decimal(0)) / PICO),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--usd", default="1.00")
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=90.0)
    parser.add_argument("--tokens", type=int, default=1500, help="length of an answer")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="signalbox-budget-") as folder:
        installation = Installation(Path(folder), {"latency": "on", "answer_tokens": options.tokens})
        try:
            installation.configure(MODELS)
            installation.start(options.workers)
            uvloop.run(warm(installation))
            before = set(installation.bill())
            (made,) = installation.cli("keys", "create", "--name", "budget", "--budget-usd", options.usd)
            time.sleep(1.0)
            counts = uvloop.run(load(installation, made["key"], options.streams, options.pause, options.seconds))
            installation.settle_down(30)
            code = installation.stop()
            found = judge(installation, made["id"], before)
        finally:
            installation.close()
    limit = Decimal(options.usd)
    wrong = [
        what
        for what, bad in (
            ("settled above the budget", Decimal(found["settled_usd"]) > limit),
            ("billed above the budget", Decimal(found["billed_usd"]) > limit),
            ("booked is not what was settled", Decimal(found["booked_usd"]) != Decimal(found["settled_usd"])),
            ("something is still leased", found["leases_left"] > 0),
            ("a refusal was not in its dialect", counts["wrong_refusals"] > 0),
            ("an answer did not end as one", counts["broken"] > 0),
            ("nobody was refused", not counts["refused"]),
            ("it did not stop cleanly", code != 0),
        )
        if bad
    ]
    print(json.dumps({"budget_usd": options.usd, "pause_s": options.pause, **counts, **found, "wrong": wrong}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
