"""Where a coding agent runs: gateway and simulator, a recorder between, no network, a home of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from recorder import Recorder, Refuser

from harness import Box, running, simulated_config

MODULES = Path(__file__).parent / "node_modules"
RUN_S = 120.0
# Upstream models with room for an agent's prompt, by deployment: provider, base URL's protocol, API.
DEPLOYMENTS = {
    "messages": ("anthropic", "anthropic", ["messages", "count_tokens"]),
    "chat": ("openai", "openai", ["chat"]),
    "responses": ("azure", "openai", ["responses"]),
}
MODEL = "sim-large"


class Ran:
    """One run of an agent: its exit code and what it printed."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code = code
        self.out = out
        self.err = err


class Stage:
    """box: the installation. client: what the agent sent, and was answered. outside: whom else it tried to reach."""

    def __init__(self, box: Box, client: Recorder, outside: Refuser, home: Path) -> None:
        self.box = box
        self.client = client
        self.outside = outside
        self.home = home
        self.work = home / "work"

    async def run(self, *command: str, env: dict[str, str]) -> Ran:
        """The command in an empty directory, with nothing of this machine's configuration but PATH."""
        proxy = f"http://127.0.0.1:{self.outside.port}"
        fenced = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), proxy)
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.work,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.home),
                "TMPDIR": str(self.home),
                "LANG": "C.UTF-8",
                "NO_PROXY": "127.0.0.1,localhost",
                "no_proxy": "127.0.0.1,localhost",
                **fenced,
                **env,
            },
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), RUN_S)
        except TimeoutError:
            process.kill()
            out, err = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


@contextlib.asynccontextmanager
async def staged(home: Path) -> AsyncIterator[Stage]:
    """Workloads `claude-A` and `codex-A`, each over the deployment that speaks API A."""
    (home / "work").mkdir(parents=True)
    async with running(home / "state") as box:
        assert not await box.configure(_config(box))
        client, outside = Recorder(box.port), Refuser()
        await client.start()
        await outside.start()
        try:
            yield Stage(box, client, outside, home)
        finally:
            await client.stop()
            await outside.stop()


def _config(box: Box) -> dict[str, Any]:
    deployments: dict[str, Any] = {}
    for name, (provider, protocol, apis) in DEPLOYMENTS.items():
        prices = box.sim.prices[provider][MODEL]
        deployments[name] = {
            "environment": f"{provider}-env",
            "protocol": protocol,
            "base_url": box.sim.base_url(provider, protocol),
            "allow_private": True,
            "model": MODEL,
            "context_tokens": 200_000,
            "price": {field: float(getattr(prices, field)) for field in prices.__struct_fields__},
            "capabilities": {"apis": apis},
        }
    workloads = {f"{agent}-{name}": {"placements": [name]} for agent in ("claude", "codex") for name in DEPLOYMENTS}
    return simulated_config(box.sim, deployments=deployments, workloads=workloads)


def top_level_model_replaced(body: bytes, model: str) -> bytes:
    """The one licensed edit that these bodies get: the value of the top-level `model`."""
    asked = json.dumps(json.loads(body)["model"]).encode()
    assert body.count(b'"model":' + asked) == 1
    return body.replace(b'"model":' + asked, b'"model":' + json.dumps(model).encode())


def assert_books_agree(box: Box, rows: list[dict[str, Any]]) -> None:
    """The ledger is the provider's bill, attempt by attempt."""
    billed = {row.client_request_id: row.cost_pico for row in box.bill()}
    booked = {row["attempt_id"]: int(Decimal(row["cost_usd"]) * 10**12) for row in rows}
    assert booked == billed
