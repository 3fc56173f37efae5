"""What five guards add to the first token while 200 streams are open: python -m benchmarks.guard_first_token.

Simulator, gateway and this client are three processes on real sockets. One workload has no guards, one has all five
of benchmarks/guards.py; both answer from the same model of the simulator with the same prose, 36 words, one every
100 ms after 100 ms. They take turns (off, on, on, off, …) in one run on one gateway. Each turn holds 200 streams
open, their starts spread over one stream's length, and measures those that begin once all are open. A stream is asked
for on a connection that is kept; first token is the time from writing the request to the first bytes with content.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.guards import SETS, TEXT
from benchmarks.installation import Installation

PACE_MS, FIRST_MS = 100, 100
WORDS = len(TEXT.split())
STREAM_S = (FIRST_MS + WORDS * PACE_MS) / 1000
MODEL = "chat/sim-small"
# The last chunk. (A head may end in `0` and two line ends as well.)
END = b"\r\n0\r\n\r\n"
CONTENT = re.compile(rb'"content":"[^"]')


def request_of(workload: str, key: str) -> bytes:
    asked = f"[[text:{TEXT.strip()}]][[delay_ms:{PACE_MS}]][[ttft_ms:{FIRST_MS}]]"
    doc = {"model": workload, "stream": True, "messages": [{"role": "user", "content": asked}]}
    body = json.dumps(doc).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Turn:
    """Streams of one workload held open for a while. first_s: of those that began when all were open."""

    def __init__(self, port: int, request: bytes, streams: int) -> None:
        self._port = port
        self._request = request
        self._streams = streams
        self._counts = self._over = False
        self.first_s: list[float] = []
        self.wrong: list[str] = []

    async def run(self, seconds: float) -> None:
        tasks = [asyncio.create_task(self._asked(at * STREAM_S / self._streams)) for at in range(self._streams)]
        await asyncio.sleep(STREAM_S * 1.2)
        self._counts = True
        await asyncio.sleep(seconds)
        self._counts, self._over = False, True
        await asyncio.gather(*tasks)

    async def _asked(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        while not self._over:
            counts, began = self._counts, time.perf_counter()
            writer.write(self._request)
            seen = b""
            while CONTENT.search(seen) is None and not seen.endswith(END):
                seen += await reader.read(65536) or END
            if counts:
                self.first_s.append(time.perf_counter() - began)
            while not seen.endswith(END):
                seen += await reader.read(65536) or END
            if not seen.startswith(b"HTTP/1.1 200") or b"[DONE]" not in seen:
                self.wrong.append(seen[:80].decode("latin-1"))
                break
        writer.close()


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measured(port: int, key: str, pid: int, streams: int, seconds: float, rounds: int) -> dict[str, Any]:
    found: dict[str, list[dict[str, float]]] = {"off": [], "on": []}
    for at in range(rounds):
        for workload in ("off", "on") if at % 2 == 0 else ("on", "off"):
            turn = Turn(port, request_of(workload, key), streams)
            spent, began = cpu_s(pid), time.perf_counter()
            await turn.run(seconds)
            if turn.wrong:
                raise SystemExit(f"{len(turn.wrong)} answers went wrong: {turn.wrong[0]}")
            ordered = sorted(turn.first_s)
            found[workload].append(
                {
                    "first": len(ordered),
                    "p50_ms": median(ordered) * 1000,
                    "p99_ms": ordered[int(0.99 * len(ordered))] * 1000,
                    "core": (cpu_s(pid) - spent) / (time.perf_counter() - began),
                }
            )
            print(workload, {name: round(value, 2) for name, value in found[workload][-1].items()}, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=4)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        box = Installation(Path(folder))
        try:
            box.configure({"off": MODEL, "on": MODEL})
            config = json.loads((box.root / "signalbox.yaml").read_text())
            config["workloads"]["on"]["guards"] = SETS["all five"]
            (box.root / "signalbox.yaml").write_text(json.dumps(config))
            box.start()
            assert box.gateway is not None
            found = asyncio.run(
                measured(box.port, box.key, box.gateway.pid, asked.streams, asked.seconds, asked.rounds)
            )
        finally:
            box.close()
    print(f"| {asked.streams} streams | first token p50 ms | p99 ms | core used |\n|---|---|---|---|")
    for name, turns in found.items():
        shown = [median([turn[what] for turn in turns]) for what in ("p50_ms", "p99_ms", "core")]
        print(f"| guards {name} | {shown[0]:.1f} | {shown[1]:.1f} | {shown[2]:.2f} |")
    added = [on["p50_ms"] - off["p50_ms"] for off, on in zip(found["off"], found["on"], strict=True)]
    print(
        f"added to the first token, p50: {median(added):.2f} ms (by round: {', '.join(f'{one:.2f}' for one in added)})"
    )


if __name__ == "__main__":
    main()
