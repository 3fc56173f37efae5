"""kill -9 in the middle of many calls: one row an attempt, exact where the end is known, a close bound elsewhere.

Run: python -m benchmarks.crash [--calls 500] [--seconds 8] [--workers 1] [--seed 1]; prints one JSON object and exits
with 1 when the ledger and the simulator's bill disagree by more than they may.

The load is a closed loop of `calls` connections over three endpoints, seven in ten streamed, one in six to an upstream
of another protocol: prompts of 200 to 6,000 characters, answers of 30 to 600 tokens at 20 to 100 tokens a second (each
deployment has its own pace, each call is within a tenth of it), token limits as clients write them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.installation import Installation

PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
PACE = {"chat": 90.0, "responses": 45.0, "messages": 22.0}
OVER_MAX = Decimal("0.10")
_TEXT = (
    "signal track lever route section frame bell block train guard platform semaphore junction points crossing lamp "
    "yard distant home starter detonator ballast sleeper interlocking register accept offer clear danger caution line"
)
_WORDS = _TEXT.split()


def prompt(chance: random.Random, chars: int) -> str:
    words: list[str] = []
    left = chars
    while left > 0:
        words.append(chance.choice(_WORDS))
        left -= len(words[-1]) + 1
    return " ".join(words)


def request(chance: random.Random, key: str) -> bytes:
    """One call as it goes over the wire."""
    api = chance.choice(list(PATHS))
    target = api if chance.random() > 1 / 6 else chance.choice(list(PATHS))
    tokens = min(600, max(30, int(math.exp(chance.gauss(math.log(150), 0.7)))))
    delay_ms = round(1000 / PACE[target] / chance.uniform(0.9, 1.1))
    script = f"[[tokens:{tokens}]][[delay_ms:{delay_ms}]][[ttft_ms:{chance.randint(100, 600)}]]"
    text = f"{prompt(chance, int(math.exp(chance.uniform(math.log(200), math.log(6000)))))} {script}"
    limit = chance.choice([n for n in (256, 512, 1024, 2048, 4096) if n >= tokens])
    doc: dict[str, Any] = {"model": target}
    if api == "responses":
        doc |= {"input": text, "max_output_tokens": limit}
    else:
        doc |= {"messages": [{"role": "user", "content": text}], "max_tokens": limit}
    if chance.random() < 0.7:
        doc["stream"] = True
    body = json.dumps(doc).encode()
    head = f"POST {PATHS[api]} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


class Caller(asyncio.Protocol):
    """One connection, one call after another until the gateway is gone."""

    def __init__(self, chance: random.Random, key: str, statuses: dict[bytes, int]) -> None:
        self._chance, self._key, self._statuses = chance, key, statuses
        self._tail = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._head = b""
        self._transport.write(request(self._chance, self._key))

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, data, self._head = self._head[:end].lower(), self._head[end + 4 :], None
            self._statuses[head[9:12]] = self._statuses.get(head[9:12], 0) + 1
            at = head.find(b"content-length:")
            self._missing = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else -1
            self._tail = b""
        if self._missing >= 0:
            self._missing -= len(data)
            if self._missing <= 0:
                self._ask()
            return
        self._tail = (self._tail + data)[-5:]
        if self._tail == b"0\r\n\r\n":
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        pass


async def load(installation: Installation, calls: int, seconds: float, seed: int) -> dict[str, int]:
    """Holds `calls` calls open, begun over the first second, and kills the gateway in the middle of them."""
    loop = asyncio.get_running_loop()
    statuses: dict[bytes, int] = {}
    began_s = loop.time()
    for number in range(calls):
        chance = random.Random(f"{seed}/{number}")
        wait_s = began_s + number / calls - loop.time()
        if wait_s > 0:
            await asyncio.sleep(wait_s)
        await loop.create_connection(
            lambda chance=chance: Caller(chance, installation.key, statuses), "127.0.0.1", installation.port
        )
    await asyncio.sleep(max(0.0, began_s + seconds - loop.time()))
    installation.kill()
    await asyncio.sleep(0.05)
    return {status.decode(): count for status, count in statuses.items()}


def judge(
    rows: list[dict[str, Any]], bill: dict[str, dict[str, Any]], over_max: Decimal
) -> tuple[dict[str, Any], list[str]]:
    """The figures, and what is wrong with them."""
    wrong: list[str] = []
    by_id = {row["attempt_id"]: row for row in rows}
    if len(by_id) != len(rows):
        wrong.append("an attempt has more than one row")
    if lost := bill.keys() - by_id.keys():
        wrong.append(f"{len(lost)} billed attempts have no row")
    known = [row for row in rows if row["state"] == "settled"]
    cut = [row for row in rows if row["state"] == "unknown"]
    if len(known) + len(cut) != len(rows):
        wrong.append(f"states: {sorted({row['state'] for row in rows})}")
    inexact = [row for row in known if _pico(row) != bill.get(row["attempt_id"], {}).get("cost_pico")]
    if inexact:
        wrong.append(f"{len(inexact)} settled rows differ from the bill, such as {inexact[0]}")
    truth = {row["attempt_id"]: bill.get(row["attempt_id"], {}).get("cost_pico", 0) for row in cut}
    below = [row for row in cut if _pico(row) < truth[row["attempt_id"]]]
    if below:
        short = max(truth[row["attempt_id"]] / _pico(row) - 1 for row in below)
        wrong.append(f"{len(below)} bounds are below the truth, by up to {short:.1%}, such as {below[0]}")
    bounds, truths = sum(map(_pico, cut)), sum(truth.values())
    over = Decimal(bounds) / Decimal(truths) - 1 if truths else Decimal(0)
    if over > over_max:
        wrong.append(f"the bounds are {over:.1%} above the truth in sum")
    figures: dict[str, Any] = {
        "attempts": len(rows),
        "settled": len(known),
        "unknown": len(cut),
        "settled_inexact": len(inexact),
        "unknown_below_truth": len(below),
        "unknown_truth_usd": float(Decimal(truths) / 10**12),
        "unknown_bound_usd": float(Decimal(bounds) / 10**12),
        "over_percent": round(float(over) * 100, 2),
    }
    for name, chosen in (("stream", True), ("unary", False)):
        part = [(row, bill[row["attempt_id"]]) for row in cut if row["stream"] is chosen and row["attempt_id"] in bill]
        figures[name] = {
            "cut": len(part),
            "in_bound": sum(row["tokens_in"] for row, _ in part),
            "in_truth": sum(billed["tokens_in"] for _, billed in part),
            "out_bound": sum(row["tokens_out"] for row, _ in part),
            "out_truth": sum(billed["tokens_out"] for _, billed in part),
        }
    return figures, wrong


def _pico(row: dict[str, Any]) -> int:
    return int(Decimal(row["cost_usd"]) * 10**12)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--over", type=Decimal, default=OVER_MAX, help="by how much the bounds may exceed the truth")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        installation = Installation(Path(root))
        try:
            installation.configure({api: f"{api}/sim-small" for api in PATHS})
            installation.start(words.workers)
            statuses = uvloop.run(load(installation, words.calls, words.seconds, words.seed))
            installation.settle_down()
            began_s = time.perf_counter()
            installation.start()
            restart_s = time.perf_counter() - began_s
            installation.stop()
            figures, wrong = judge(installation.cli("ledger", "query"), installation.bill(), words.over)
            verified = installation.cli("ledger", "verify")[0]
            if not verified["ok"] or any(chain["open"] for chain in verified["chains"]):
                wrong.append("the chains do not verify")
        finally:
            installation.close()
    figures |= {"answers": statuses, "restart_s": round(restart_s, 2), "seed": words.seed, "wrong": wrong}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
