"""Published keys over processes: a worker of its own asks for newer ones, and takes what it is given."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

from harness import PEPPER, parse_answer, simulated_config
from identity_provider import jwk, new_key, provider
from signalbox.config.jwks import public_keys
from signalbox.control.links import ProcessLink
from signalbox.control.state import StateDir
from signalbox.core.budgets import LeaseAsk, Lent
from signalbox.core.issuers import KeySet
from signalbox.core.link import Applied, ApplyConfig, ApplyKeys, ApplyKeySets, Drain, Listen
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings


async def lend(holder: str, asks: list[LeaseAsk]) -> list[Lent]:
    return []


async def status_of(port: int, token: str) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
    writer.write(lines.encode())
    received = await asyncio.wait_for(reader.read(-1), 30)
    writer.close()
    return parse_answer(received).status


async def test_a_worker_asks_for_newer_keys_once_and_takes_them(tmp_path: Path) -> None:
    StateDir(tmp_path / "state")
    sim = Simulator(SimulatorSettings())
    await sim.start()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    port = listener.getsockname()[1]
    wanted: list[str] = []
    spans, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    async with provider(tmp_path / "idp") as source:
        entry = {"issuer": source.url, "audience": "signalbox", "jwks_url": f"{source.url}/jwks"}
        link = await ProcessLink.spawn(listener, telling, ["--state-dir", str(tmp_path / "state")], lend, wanted.append)
        try:
            await link.ask(ApplyKeys(PEPPER, []))
            text = json.dumps(simulated_config(sim, issuers={"corp": entry})).encode()
            report = await link.ask(ApplyConfig(text, "signalbox.yaml", 1))
            assert isinstance(report, Applied)
            assert not report.error
            await link.ask(Listen())
            token = source.token(sub="job", aud="signalbox")
            assert [await status_of(port, token) for _ in range(5)] == [401] * 5
            keys = public_keys(json.dumps({"keys": [jwk("k1", source.keys["k1"])]}), published=True)
            await link.ask(ApplyKeySets([KeySet("corp", entry["jwks_url"], keys)]))
            assert wanted == ["corp"], "told before the next answer, and once only"
            assert await status_of(port, token) == 200
            source.signer = new_key()
            assert await status_of(port, source.token(sub="job", aud="signalbox")) == 401
            await link.ask(ApplyKeySets([]))
            assert await status_of(port, token) == 401
            await link.ask(Drain(0))
        finally:
            await link.stop()
            listener.close()
            spans.close()
            telling.close()
            await sim.stop()
