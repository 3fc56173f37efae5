"""TLS over processes: workers show a renewed certificate without a restart, and identities hold on all of them."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

from installation import Served

from certificates import Authority
from harness import parse_answer
from signalbox.simulator.server import Simulator
from signalbox.simulator.settings import SimulatorSettings


async def models(port: int, context: ssl.SSLContext) -> tuple[int, bytes | None]:
    """(status, the server's certificate) of one request without a key."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    inside: ssl.SSLObject = writer.get_extra_info("ssl_object")
    writer.write(b"GET /v1/models HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    received = await asyncio.wait_for(reader.read(-1), 30)
    writer.close()
    return parse_answer(received).status, inside.getpeercert(binary_form=True)


async def test_workers_take_certificates_and_show_a_renewed_one(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    certificate, key = authority.issue("server", addresses=("127.0.0.1",))
    held = authority.issue("job", client=True, uris=("spiffe://example.org/job",))
    sim = Simulator(SimulatorSettings())
    await sim.start()
    served = Served(tmp_path, sim)
    served.config["server"] = {
        "tls": {"certificate_file": str(certificate), "key_file": str(key), "client_ca_file": str(authority.ca_file)}
    }
    served.config["certificates"] = {"job": {"uris": ["spiffe://example.org/job"]}}
    try:
        shown = await served.start(workers=2)
        assert shown["url"].startswith("https://")
        before = {await models(served.port, authority.client_context(held)) for _ in range(6)}
        assert len(before) == 1
        assert before.pop()[0] == 200
        assert (await models(served.port, authority.client_context()))[0] == 401
        old = (await models(served.port, authority.client_context()))[1]
        authority.issue("server", addresses=("127.0.0.1",))
        async with asyncio.timeout(60):
            while old in {(await models(served.port, authority.client_context(held)))[1] for _ in range(6)}:
                await asyncio.sleep(0.2)
        assert (await models(served.port, authority.client_context(held)))[0] == 200
    finally:
        if served.process is not None:
            served.process.terminate()
            await asyncio.to_thread(served.process.wait, 60)
        await sim.stop()
