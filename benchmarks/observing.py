"""What telling of calls costs the calls: processor time of one through a whole data plane with it off, on, and sampled.

python -m benchmarks.observing [--calls N]: calls one after another in one process against the simulator, in turns so
that what else the machine does falls on all of them; the median of the turns counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from signalbox.bootstrap.data_plane import DataPlane
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.link import ApplyConfig, ApplyKeys, Drain, Listen
from signalbox.ledger.journal import new_chain
from signalbox.simulator.server import Simulator
from signalbox.telemetry.log import Log

PEPPER = b"p" * 32
TURNS = 7
OTLP = {"endpoint": "http://127.0.0.1:4318", "metrics": False}
CASES: dict[str, dict[str, Any]] = {
    "off": {"log_requests": "off"},
    "default (failed requests logged)": {},
    "traces, 1 % sampled": {"otlp": {**OTLP, "sample": 0.01}},
    "traces, all": {"otlp": OTLP},
}


def config(sim: Simulator, telemetry: dict[str, Any]) -> bytes:
    document = {
        "environments": {"e": {"kind": "on-prem"}},
        "deployments": {
            "d": {
                "environment": "e",
                "protocol": "openai",
                "base_url": sim.base_url("openai", "openai"),
                "model": "sim-small",
                "price": "free",
            }
        },
        "telemetry": telemetry,
    }
    return yaml.safe_dump(document).encode()


class Caller:
    """One connection, one call after another."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str) -> None:
        body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": "Hi [[tokens:4]]"}]}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        self._request = head.encode() + body
        self._reader = reader
        self._writer = writer

    async def call(self) -> None:
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await self._reader.readexactly(int(size.partition(b":")[2]))


async def measure(calls: int) -> dict[str, list[float]]:
    """Microseconds of processor time a call, client and simulator included, turn by turn."""
    sim = Simulator()
    await sim.start()
    found: dict[str, list[float]] = {name: [] for name in CASES}
    with TemporaryDirectory() as folder:
        told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        told.setblocking(False)
        telling.setblocking(False)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        plane = DataPlane(StateDir(Path(folder)), new_chain("bench"), Log("bench"), spans=telling)
        worker = plane.worker(listener)
        row, key = make(NewKey("bench", deployments=("*",)), PEPPER, 1)
        await worker.obey(ApplyKeys(PEPPER, [row]))
        await worker.obey(ApplyConfig(config(sim, {}), "signalbox.yaml", 1))
        await worker.obey(Listen())
        reading = asyncio.get_running_loop().create_task(_drain(told))
        caller = Caller(*await asyncio.open_connection(*listener.getsockname()), key.reveal())
        generation = 1
        for _ in range(TURNS):
            for name, telemetry in CASES.items():
                generation += 1
                await worker.obey(ApplyConfig(config(sim, telemetry), "signalbox.yaml", generation))
                for _ in range(50):
                    await caller.call()
                began = time.process_time_ns()
                for _ in range(calls):
                    await caller.call()
                found[name].append((time.process_time_ns() - began) / calls / 1000)
        reading.cancel()
        await worker.obey(Drain(0))
        await plane.close()
    await sim.stop()
    return found


async def _drain(told: socket.socket) -> None:
    """Stands for the exporter, which is another process: what it costs to read is not counted twice."""
    while True:
        await asyncio.get_running_loop().sock_recv(told, 1 << 20)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    found = asyncio.run(measure(parser.parse_args().calls))
    base = statistics.median(found["off"])
    for name, turns in found.items():
        differences = [one - off for one, off in zip(turns, found["off"], strict=True)]
        low, high = min(differences), max(differences)
        median = statistics.median(turns)
        print(f"{name:34} {median:8.1f} µs a call, {median - base:+6.1f} (turns {low:+.1f} to {high:+.1f})")


if __name__ == "__main__":
    main()
