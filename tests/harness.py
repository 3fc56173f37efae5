"""A whole installation inside a test: simulator, gateway on a real socket, keys, journal, store."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import yaml

from signalbox.bootstrap.data_plane import DataPlane
from signalbox.bootstrap.storage import open_store
from signalbox.control.keys import NewKey, make
from signalbox.control.state import StateDir
from signalbox.core.link import Applied, ApplyConfig, ApplyKeys, Drain, Listen
from signalbox.core.ports import VirtualKey
from signalbox.ledger.journal import new_chain
from signalbox.ledger.query import query, query_refused
from signalbox.ledger.ship import Shipping
from signalbox.ledger.verify import verify
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings
from signalbox.telemetry.log import Log

PEPPER = b"p" * 32


class Answer:
    """One HTTP answer as received."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[str]:
        return [block for block in self.body.decode().split("\n\n") if block]


class Box:
    """The running installation. url: the gateway's. sim: the fake providers. key: a key that may do everything."""

    def __init__(self, sim: Simulator, plane: DataPlane, state: StateDir, listener: socket.socket) -> None:
        self.sim = sim
        self.plane = plane
        self.state = state
        self.listener = listener
        self.worker = plane.worker(listener)
        self.port: int = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys: list[VirtualKey] = []
        self.key = ""
        self.generation = 0
        self.config: dict[str, Any] = {}

    async def configure(self, config: dict[str, Any] | str) -> str:
        """Put a configuration in force; returns the error, empty when it is. config: what was given last as mapping."""
        if not isinstance(config, str):
            self.config = config
        # Through JSON first: what occurs twice is to be written twice, not as an anchor and a reference to it.
        text = config if isinstance(config, str) else yaml.safe_dump(json.loads(json.dumps(config)), sort_keys=False)
        self.generation += 1
        report = await self.worker.obey(ApplyConfig(text.encode(), "signalbox.yaml", self.generation))
        assert isinstance(report, Applied)
        return report.error

    async def new_key(self, **wanted: Any) -> str:
        row, key = make(NewKey(**{"name": "test", **wanted}), PEPPER, 1)
        self.keys.append(row)
        await self.worker.obey(ApplyKeys(PEPPER, self.keys))
        return key.reveal()

    async def request(
        self,
        path: str,
        body: dict[str, Any] | bytes | None = None,
        *,
        method: str | None = None,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        within_s: float = 30,
    ) -> Answer:
        """One request on a connection of its own. key '' sends none."""
        data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        method = method or ("GET" if body is None else "POST")
        lines = {"host": "test", "content-length": str(len(data)), "connection": "close"}
        if body is not None:
            lines["content-type"] = "application/json"
        if key != "":
            lines["authorization"] = f"Bearer {key or self.key}"
        lines |= headers or {}
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        return await self.raw(head.encode() + data, within_s)

    async def raw(self, data: bytes, within_s: float = 30) -> Answer:
        """Exactly these bytes, and what comes back until the gateway closes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(data)
            received = await asyncio.wait_for(reader.read(-1), within_s)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return parse_answer(received)

    def rows(self, **filters: str) -> list[dict[str, Any]]:
        """The ledger as a user would query it, everything in the journal included."""
        store = open_store(self.state)
        try:
            Shipping(store, self.state.journal).ship_once()
            return [dict(row) for row in query(store, filters)]
        finally:
            store.close()

    def refused(self) -> list[dict[str, Any]]:
        """The same for calls that made no attempt."""
        store = open_store(self.state)
        try:
            Shipping(store, self.state.journal).ship_once()
            return [dict(row) for row in query_refused(store, {})]
        finally:
            store.close()

    def bill(self) -> list[Any]:
        return list(self.sim.bill.rows)

    async def settled(self, rows: int, within_s: float = 5.0) -> list[dict[str, Any]]:
        """The ledger once it has at least so many rows."""
        for _ in range(int(within_s / 0.02)):
            found = self.rows()
            if len(found) >= rows:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError(f"the ledger has {len(self.rows())} rows, not {rows}")

    def chain_is_whole(self) -> bool:
        return verify(self.state.journal).ok


def parse_answer(received: bytes) -> Answer:
    """Splits head and body, and takes chunked framing apart."""
    head, _, body = received.partition(b"\r\n\r\n")
    while head.startswith(b"HTTP/1.1 1"):
        head, _, body = body.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    status = int(lines[0].split(" ")[1]) if lines[0] else 0
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return Answer(status, headers, body)


def unchunk(body: bytes) -> bytes:
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size, 16)
        if count == 0:
            return out
        out += rest[:count]
        body = rest[count + 2 :]
    return out + b"<no last chunk>"


def simulated_config(sim: Simulator, **more: Any) -> dict[str, Any]:
    """Deployments for the simulator: one for each protocol, priced as the simulator bills. `health` among more: the
    section of every deployment, for tests in which failures of one call are to mean nothing for the next."""
    health = more.pop("health", None)

    def deployment(provider: str, protocol: str, apis: list[str], model: str = "sim-small") -> dict[str, Any]:
        prices = sim.prices[provider][model]
        return {
            "environment": f"{provider}-env",
            "protocol": protocol,
            "base_url": sim.base_url(provider, protocol),
            "allow_private": True,
            "model": model,
            "price": {
                "input_mtok": float(prices.input_mtok),
                "output_mtok": float(prices.output_mtok),
                "cache_read_mtok": float(prices.cache_read_mtok),
                "cache_write_mtok": float(prices.cache_write_mtok),
                "cache_write_1h_mtok": float(prices.cache_write_1h_mtok),
            },
            "capabilities": {"apis": apis},
        }

    config: dict[str, Any] = {
        "environments": {
            "openai-env": {"kind": "cloud", "region": "us", "operator": "sim"},
            "anthropic-env": {"kind": "cloud", "region": "us", "operator": "sim"},
            "azure-env": {"kind": "private-cloud", "region": "eu/de", "operator": "sim"},
            "vllm-env": {"kind": "on-prem", "region": "eu/de"},
        },
        "deployments": {
            "chat": deployment("openai", "openai", ["chat", "completions"]),
            "responses": deployment("azure", "openai", ["responses"]),
            "messages": deployment("anthropic", "anthropic", ["messages", "count_tokens"]),
            "local": deployment("vllm", "openai", ["chat", "completions"]),
            "embed": deployment("openai", "openai", ["embeddings"], "sim-embed"),
        },
        "workloads": {
            "w-chat": {"placements": ["chat"]},
            "w-responses": {"placements": ["responses"]},
            "w-messages": {"placements": ["messages"]},
            "w-local": {"placements": ["local"]},
            "w-embed": {"placements": ["embed"]},
            "w-fallback": {"placements": ["chat", "local"]},
        },
    }
    for name, value in more.items():
        config[name] = {**config.get(name, {}), **value} if isinstance(value, dict) else value
    if health is not None:
        config["deployments"] = {name: {**one, "health": dict(health)} for name, one in config["deployments"].items()}
    return config


@contextlib.asynccontextmanager
async def running(
    state_dir: Path, config: dict[str, Any] | None = None, settings: SimulatorSettings | None = None
) -> AsyncIterator[Box]:
    """A Box that serves. config: added to simulated_config, whole sections replaced key by key."""
    sim = Simulator(settings or SimulatorSettings())
    await sim.start()
    state = StateDir(state_dir)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(512)
    listener.setblocking(False)
    plane = DataPlane(state, new_chain("test"), Log("test"))
    box = Box(sim, plane, state, listener)
    box.key = await box.new_key(deployments=("*",))
    error = await box.configure(simulated_config(sim, **(config or {})))
    assert not error, error
    await box.worker.obey(Listen())
    try:
        yield box
    finally:
        await box.worker.obey(Drain(0))
        await plane.close()
        await sim.stop()
