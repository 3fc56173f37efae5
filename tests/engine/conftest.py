"""The real engine: started once, reached through a relay that notes what passes and who is connected."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from harness import Box, running

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-engine" / "bin" / "python"
START_S = 90.0


class Engine:
    """model: the name it is asked for by. port: its own."""

    def __init__(self, model: str, port: int) -> None:
        self.model = model
        self.port = port


class Relay:
    """Passes bytes on to the engine. open: connections now. received: all that the engine answered."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self.port = 0
        self.open = 0
        self.received = b""

    async def serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        engine, forth = await asyncio.open_connection("127.0.0.1", self._to_port)
        self.open += 1
        answering = asyncio.create_task(self._answers(engine, back))
        with contextlib.suppress(ConnectionError):
            while data := await client.read(1 << 16):
                forth.write(data)
        self.open -= 1
        answering.cancel()
        forth.close()
        back.close()

    async def _answers(self, engine: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while data := await engine.read(1 << 16):
            self.received += data
            back.write(data)
        back.close()


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if not PYTHON.exists():
        pytest.fail("There is no engine to test with: run `make engine` first (`make test` does).", pytrace=False)
    directory = tmp_path_factory.mktemp("engine")
    (directory / "home" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(directory / "home"), "CUDA_VISIBLE_DEVICES": ""}
    log = directory / "log"
    model = directory / "tiny"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [PYTHON, Path(__file__).parent / "tiny_engine.py", model, str(port)],
            env={**os.environ, **offline},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_healthy(process, port, log)
        yield Engine(str(model), port)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
            return
        time.sleep(0.1)
    pytest.fail(f"The engine did not start:\n{log.read_text(errors='replace')[-3000:]}", pytrace=False)


@pytest.fixture
async def relay(engine: Engine) -> AsyncIterator[Relay]:
    relay = Relay(engine.port)
    server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    yield relay
    server.close()


@pytest.fixture
async def box(tmp_path: Path, engine: Engine, relay: Relay) -> AsyncIterator[Box]:
    """The installation with the engine as deployment `engine` of workload `w-engine`."""
    deployment = {
        "environment": "vllm-env",
        "protocol": "openai",
        "base_url": f"http://127.0.0.1:{relay.port}/v1",
        "allow_private": True,
        "model": engine.model,
        "price": {"input_mtok": 1, "output_mtok": 2},
        "capabilities": {"apis": ["chat", "completions"]},
    }
    more = {"deployments": {"engine": deployment}, "workloads": {"w-engine": {"placements": ["engine"]}}}
    async with running(tmp_path / "state", more) as made:
        yield made
