"""A real `signalbox serve` in processes of its own, and a client for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from harness import Answer, parse_answer, simulated_config
from signalbox.bootstrap.storage import open_store
from signalbox.control.state import StateDir
from signalbox.ledger.query import query
from signalbox.ledger.ship import Shipping
from signalbox.ledger.verify import verify
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings

COMMAND = (sys.executable, "-m", "signalbox")
ADMIN = "an-admin-secret-for-tests"
PATHS = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
    "completions": "/v1/completions",
    "embeddings": "/v1/embeddings",
}


def body_of(api: str, workload: str, text: str, max_tokens: int = 800, **more: Any) -> dict[str, Any]:
    if api == "responses":
        return {"model": workload, "input": text, "max_output_tokens": max_tokens, **more}
    if api == "embeddings":
        return {"model": workload, "input": text, **more}
    if api == "completions":
        return {"model": workload, "prompt": text, "max_tokens": max_tokens, **more}
    return {"model": workload, "messages": [{"role": "user", "content": text}], "max_tokens": max_tokens, **more}


class Stream:
    """One streamed call on a connection of its own. data: everything received, head included."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.data = b""

    async def until(self, mark: bytes, within_s: float = 60.0) -> None:
        async with asyncio.timeout(within_s):
            while mark not in self.data:
                piece = await self._reader.read(65536)
                assert piece, f"closed before {mark!r}: {self.data[-400:]!r}"
                self.data += piece

    async def rest(self, within_s: float = 60.0) -> bytes:
        """Everything until the answer ends, or the connection does, with or without a reset."""
        async with asyncio.timeout(within_s):
            with contextlib.suppress(ConnectionError):
                while not self.data.endswith(b"\r\n0\r\n\r\n") and (piece := await self._reader.read(65536)):
                    self.data += piece
        self._writer.close()
        return self.data

    def hang_up(self) -> None:
        self._writer.transport.abort()


class Served:
    """One installation: its state directory, its configuration file, and the process while it runs."""

    def __init__(self, root: Path, sim: Simulator) -> None:
        self.sim = sim
        self.root = root
        self.state = StateDir(root / "state")
        self.file = root / "signalbox.yaml"
        self.errors = root / "stderr"
        self.config = simulated_config(sim)
        self.process: subprocess.Popen[bytes] | None = None
        self.url = self.admin_url = self.key = ""
        self.port = 0

    def write(self, config: dict[str, Any] | str | None = None) -> None:
        """Puts a configuration on disk the way editors do: a new file in the old one's place."""
        # Through JSON first: what occurs twice is to be written twice, not as an anchor and a reference to it.
        doc = config if isinstance(config, str) else json.loads(json.dumps(config or self.config))
        text = doc if isinstance(doc, str) else yaml.safe_dump(doc, sort_keys=False)
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.file)

    async def start(self, workers: int = 1, *, port: int = 0) -> dict[str, Any]:
        """Starts it and waits for its greeting."""
        if not self.file.exists():
            self.write()
        self.spawn(workers, port=port)
        assert self.process is not None
        assert self.process.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.process.stdout.readline), 120)
        assert line, self.stderr()
        shown: dict[str, Any] = json.loads(line)
        self.url, self.admin_url = shown["url"], shown["admin_url"]
        self.port = int(self.url.rpartition(":")[2])
        self.key = shown["first_key"] or self.key
        return shown

    def spawn(self, workers: int = 1, *, port: int = 0) -> None:
        command = [*COMMAND, "serve", "--config", str(self.file), "--state-dir", str(self.state.root), "--json"]
        command += ["--port", str(port), "--admin-port", "0", "--workers", str(workers)]
        environ = {**os.environ, "SIGNALBOX_ADMIN_SECRET": ADMIN}
        with self.errors.open("ab") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=environ)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def worker_pids(self) -> list[int]:
        return children(self.pid)

    def busiest(self, pids: list[int]) -> int:
        """The worker with the most open descriptors."""
        return max(pids, key=lambda pid: len(os.listdir(f"/proc/{pid}/fd")))

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    async def exit_code(self, within_s: float = 15.0) -> int:
        assert self.process is not None
        return await asyncio.to_thread(self.process.wait, within_s)

    def kill_all(self) -> None:
        """kill -9, whole family, in the middle of whatever it does."""
        pids = [self.pid, *self.worker_pids()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert self.process is not None
        self.process.wait()

    def stderr(self) -> str:
        return self.errors.read_text()

    def cli(self, *words: str, code: int = 0) -> list[Any]:
        """A verb of the command line on this installation's state; returns its JSON lines."""
        done = subprocess.run(
            [*COMMAND, *words, "--state-dir", str(self.state.root), "--json"], capture_output=True, check=False
        )
        assert done.returncode == code, done.stderr.decode()
        return [json.loads(line) for line in done.stdout.splitlines()]

    # --- calls ---

    async def request(self, path: str, body: dict[str, Any] | None = None, *, key: str | None = None) -> Answer:
        """One request on a connection of its own."""
        reader, writer = await self._send(path, body, key, b"connection: close\r\n")
        try:
            received = await asyncio.wait_for(reader.read(-1), 60)
        finally:
            writer.close()
        return parse_answer(received)

    async def stream(self, path: str, body: dict[str, Any], *, key: str | None = None) -> Stream:
        return Stream(*await self._send(path, body, key, b""))

    async def _send(
        self, path: str, body: dict[str, Any] | None, key: str | None, more: bytes
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        data = b"" if body is None else json.dumps(body).encode()
        method = "GET" if body is None else "POST"
        head = f"{method} {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {key or self.key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(data)}\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(head.encode() + more + b"\r\n" + data)
        return reader, writer

    async def admin(self, path: str, body: dict[str, Any] | None = None, *, post: bool = False) -> Answer:
        host, _, port = self.admin_url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        verb = "POST" if post or body is not None else "GET"
        data = b"" if body is None else json.dumps(body).encode()
        writer.write(
            f"{verb} {path} HTTP/1.1\r\nhost: t\r\nauthorization: Bearer {ADMIN}\r\n"
            f"content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode()
            + data
        )
        received = await asyncio.wait_for(reader.read(-1), 60)
        writer.close()
        return parse_answer(received)

    # --- books ---

    def rows(self, **filters: str) -> list[dict[str, Any]]:
        """The ledger as a user would query it, everything in the journals included."""
        store = open_store(self.state)
        try:
            Shipping(store, self.state.journal).ship_once()
            return [dict(row) for row in query(store, filters)]
        finally:
            store.close()

    def stored(self) -> list[dict[str, Any]]:
        """What the shipper has brought into the store so far."""
        store = open_store(self.state)
        try:
            return [dict(row) for row in query(store, {})]
        finally:
            store.close()

    def bill(self) -> dict[str, Any]:
        """The simulator's rows by attempt id."""
        return {row.client_request_id: row for row in self.sim.bill.rows}

    def chain_is_whole(self) -> bool:
        report = verify(self.state.journal)
        return report.ok and not any(chain.open for chain in report.chains)

    def chains(self) -> list[Any]:
        return list(verify(self.state.journal).chains)


def children(pid: int, verb: str = "_worker") -> list[int]:
    """The living processes of a supervisor that were started as `signalbox VERB`: its workers, or `_ship`."""
    try:
        found = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [child for child in found if alive(child) and verb in words(child)]


def words(pid: int) -> list[str]:
    """A process's command line; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(condition: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
    deadline_s = time.monotonic() + within_s
    while time.monotonic() < deadline_s:
        found = condition()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"not within {within_s} s: {what}")


@contextlib.asynccontextmanager
async def installation(root: Path, settings: SimulatorSettings | None = None) -> AsyncIterator[Served]:
    """An installation that is not started yet; whatever runs of it at the end is killed. settings: its providers'."""
    sim = Simulator(settings or SimulatorSettings())
    await sim.start()
    served = Served(root, sim)
    try:
        yield served
    finally:
        if served.process is not None:
            if served.process.poll() is None:
                served.kill_all()
            if served.process.stdout is not None:
                served.process.stdout.close()
        await sim.stop()
