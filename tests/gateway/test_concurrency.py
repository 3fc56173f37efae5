"""A deployment's own limit of concurrent calls: the next placement takes over, and without one the caller may retry."""

import asyncio
from pathlib import Path

from harness import running, simulated_config

SLOW = {"messages": [{"role": "user", "content": "Hello [[tokens:4]] [[delay_ms:150]]"}], "stream": True}
QUICK = {"messages": [{"role": "user", "content": "Hello [[tokens:4]]"}]}


async def test_a_full_deployment_is_passed_over(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as box:
        config = simulated_config(box.sim)
        config["deployments"]["chat"]["limits"] = {"concurrency": 1}
        assert not await box.configure(config)
        slow = asyncio.create_task(box.request("/v1/chat/completions", {**SLOW, "model": "w-chat"}))
        await asyncio.sleep(0.1)
        over = await box.request("/v1/chat/completions", {**QUICK, "model": "w-fallback"})
        assert (over.status, over.headers["x-signalbox-placement"]) == (200, "local@vllm-env")
        full = await box.request("/v1/chat/completions", {**QUICK, "model": "w-chat"})
        assert full.status == 503
        assert int(full.headers["retry-after"]) <= 5
        assert (await slow).status == 200
        again = await box.request("/v1/chat/completions", {**QUICK, "model": "w-chat"})
        assert again.status == 200
        assert len(await box.settled(3)) == 3
