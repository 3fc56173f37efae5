"""A limit of calls over real worker processes: how many of those offered come through, for one worker and for many.

Run: python -m benchmarks.rates [--limit 1000] [--offered 1.3] [--workers 1 2 4 8]; prints one JSON object a number of
workers, and exits with 1 when more than the limit, or less than 98 % of it, is admitted, or a refusal is no 429 with
`retry-after`. Every call comes over a connection of its own, so that all workers get their part of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from benchmarks.installation import Installation

BODY = json.dumps({"model": "w", "max_tokens": 5, "messages": [{"role": "user", "content": "[[tokens:3]]"}]}).encode()
HOUR_S = 3600
PARALLEL = 48


async def ask(port: int, key: str) -> str:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\nconnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{head}content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY)
        received = await asyncio.wait_for(reader.read(-1), 60)
    finally:
        writer.close()
    status = received[9:12].decode()
    return "429 without retry-after" if status == "429" and b"\r\nretry-after: " not in received.lower() else status


async def offer(port: int, key: str, calls: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    left = calls

    async def caller() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            counts[await ask(port, key)] += 1

    await asyncio.gather(*(caller() for _ in range(PARALLEL)))
    return counts


def measure(workers: int, limit: int, offered: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="signalbox-rates-") as folder:
        installation = Installation(Path(folder))
        try:
            budgets = [{"for": "tenant", "name": "limited", "requests_per_hour": limit}]
            installation.configure({"w": "chat/sim-small"}, budgets=budgets)
            installation.start(workers)
            (made,) = installation.cli("keys", "create", "--name", "rates", "--tenant", "limited")
            time.sleep(1.0)
            if HOUR_S - time.time() % HOUR_S < 120:
                time.sleep(125)  # one hour holds the whole run
            began_s = time.monotonic()
            counts = uvloop.run(offer(installation.port, made["key"], round(limit * offered)))
            took_s = time.monotonic() - began_s
            installation.stop()
        finally:
            installation.close()
    admitted = counts.pop("200", 0)
    refused = counts.pop("429", 0)
    return {
        "workers": workers,
        "limit": limit,
        "admitted": admitted,
        "off_percent": round(100 * (admitted / limit - 1), 2),
        "refused": refused,
        "others": dict(counts),
        "took_s": round(took_s, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=1000)
    parser.add_argument("--offered", type=float, default=1.3, help="calls, as a multiple of the limit")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    words = parser.parse_args()
    good = True
    for workers in words.workers:
        found = measure(workers, words.limit, words.offered)
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        good = good and 0.98 * words.limit <= int(str(found["admitted"])) <= words.limit and not found["others"]
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
