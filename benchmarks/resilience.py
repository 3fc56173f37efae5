"""What faults of providers cost: attempts in a storm, healthy calls beside a black hole, and what judging costs at all.

Run: python -m benchmarks.resilience [--calls N] [--seconds S]. Gateway, simulator and clients share one process and one
loop, so that times are upper bounds; what is compared was measured in turns within one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from harness import Box, running, simulated_config
from signalbox.core.snapshot import Health, Origin
from signalbox.routing.group import Credential, Group
from signalbox.routing.replica import Replica

CHAT = "/v1/chat/completions"
# What an SDK does with an overloaded provider: two more requests, half a second to eight seconds apart.
SDK_TRIES = 3
TURNS = 5


class Client:
    """One keep-alive connection that reads whole answers."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, workload: str, said: str) -> int:
        """The status of one call."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._box.port)
        reader, writer = self._streams
        body = json.dumps(
            {"model": workload, "max_tokens": 8, "messages": [{"role": "user", "content": said}]}
        ).encode()
        writer.write(
            b"POST %b HTTP/1.1\r\nhost: b\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
            % (CHAT.encode(), self._box.key.encode(), len(body), body)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)
        if b"connection: close" in head.lower():
            await self.close()
        return int(head[9:12])

    async def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def storm(box: Box, calls: int, at_a_time: int) -> dict[str, Any]:
    """Every provider answers 529 for ever, and every client tries three times."""
    box.sim.reset()
    box.sim.fault("529")
    requests = 0

    async def one(first: int) -> None:
        nonlocal requests
        client = Client(box)
        for number in range(first, calls, at_a_time):
            for _ in range(SDK_TRIES):
                requests += 1
                await client.ask("storm", f"storm {number}")
        await client.close()

    await asyncio.gather(*(one(first) for first in range(at_a_time)))
    attempts = len([row for row in box.bill() if row.end == "rejected"])
    return {"at_a_time": at_a_time, "requests": requests, "attempts": attempts, "ratio": round(attempts / requests, 3)}


async def beside(box: Box, seconds: float, *, black_hole: bool) -> list[float]:
    """Latencies in ms of healthy calls while 50 calls a second go to another deployment, alive or a black hole."""
    box.sim.faults.clear()
    if black_hole:
        box.sim.fault("hang", provider="azure")
    took: list[float] = []
    until = time.perf_counter() + seconds
    others: set[asyncio.Task[int]] = set()
    clients: list[Client] = []

    async def other(number: int) -> int:
        client = Client(box)
        clients.append(client)
        return await client.ask("sick", f"sick {number} {time.perf_counter()}")

    async def offer() -> None:
        number = 0
        while time.perf_counter() < until:
            others.add(asyncio.get_running_loop().create_task(other(number)))
            number += 1
            await asyncio.sleep(0.02)

    async def healthy() -> None:
        client = Client(box)
        while time.perf_counter() < until:
            began = time.perf_counter()
            assert await client.ask("well", "well") == 200
            took.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(0.002)
        await client.close()

    await asyncio.gather(offer(), *(healthy() for _ in range(4)))
    await asyncio.gather(*others)
    for client in clients:
        await client.close()
    return took


def judging_ns(loops: int = 200_000) -> float:
    """What a healthy attempt pays for being judged: picked, begun, ended, learnt from."""
    group = Group([Replica(Origin("http", "h", 80, ""), Health())], Credential(), lambda: 0.5)
    best = float("inf")
    for _ in range(5):
        began = time.thread_time_ns()
        for number in range(loops):
            replica = group.pick(number)
            assert replica is not None
            group.attempts += 1
            group.active += 1
            replica.begin(number)
            replica.succeeded(number, 120_000_000, 900_000_000, 40)
            group.active -= 1
            replica.end()
        best = min(best, (time.thread_time_ns() - began) / loops)
    return best


async def measure(calls: int, seconds: float) -> dict[str, Any]:
    report: dict[str, Any] = {"judging_us": round(judging_ns() / 1e3, 2), "storm": [], "beside": {}}
    for at_a_time in (1, 8, 64):
        with tempfile.TemporaryDirectory() as folder:
            async with running(Path(folder) / "state") as box:
                error = await box.configure(_config(box))
                assert not error, error
                report["storm"].append(await storm(box, calls, at_a_time))
    with tempfile.TemporaryDirectory() as folder:
        async with running(Path(folder) / "state") as box:
            error = await box.configure(_config(box))
            assert not error, error
            await beside(box, 1.0, black_hole=False)
            pairs: list[tuple[list[float], list[float]]] = []
            for _ in range(TURNS):
                alive = await beside(box, seconds, black_hole=False)
                pairs.append((alive, await beside(box, seconds, black_hole=True)))
            report["beside"] = _compared(pairs)
    return report


def _config(box: Box) -> dict[str, Any]:
    config = simulated_config(box.sim)
    sick = {**config["deployments"]["chat"], "base_url": box.sim.base_url("azure")}
    sick["timeouts"] = {"connect_s": 0.5, "headers_s": 0.5, "first_token_s": 0.5}
    config["deployments"]["hole"] = sick
    config["workloads"] |= {
        "storm": {"placements": ["chat", "local"]},
        "sick": {"placements": ["hole", "local"]},
        "well": {"placements": ["chat"]},
    }
    return config


def _compared(pairs: list[tuple[list[float], list[float]]]) -> dict[str, float]:
    """Medians over the turns, so that one bad moment of the machine decides nothing."""

    def p99(took: list[float]) -> float:
        return quantiles(took, n=100)[98]

    alive50, hole50 = median(median(a) for a, _ in pairs), median(median(b) for _, b in pairs)
    alive99, hole99 = median(p99(a) for a, _ in pairs), median(p99(b) for _, b in pairs)
    return {
        "calls": sum(len(a) + len(b) for a, b in pairs),
        "p50_ms_alive": round(alive50, 2),
        "p50_ms_black_hole": round(hole50, 2),
        "p50_change": round(hole50 / alive50 - 1, 3),
        "p99_ms_alive": round(alive99, 2),
        "p99_ms_black_hole": round(hole99, 2),
        "p99_added_ms": round(hole99 - alive99, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="of each storm, each made three times")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn beside a black hole")
    options = parser.parse_args()
    report = uvloop.run(measure(options.calls, options.seconds))
    print(json.dumps(report, indent=2))
    stormy = max(one["ratio"] for one in report["storm"])
    beside_it = report["beside"]
    good = stormy <= 1.2 and beside_it["p50_change"] <= 0.10 and beside_it["p99_added_ms"] <= 5.0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
