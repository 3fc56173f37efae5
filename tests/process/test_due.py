"""What runs out is told by a running installation: in the log of every start and reload, and as counts."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from installation import Served


async def due(served: Served) -> dict[str, Any]:
    return (await served.admin("/api/status")).json["due"]


async def test_contracts_that_run_out_are_in_the_log_and_in_the_status(served: Served) -> None:
    today = datetime.now(UTC).date()
    environment = served.config["environments"]["openai-env"]
    environment["attests"] = [
        {"name": "dpa", "until": (today + timedelta(days=5)).isoformat()},
        {"name": "baa", "until": (today - timedelta(days=5)).isoformat()},
        {"name": "soc2", "until": (today + timedelta(days=200)).isoformat()},
    ]
    await served.start()
    assert await due(served) == {"expired": 1, "expiring": 1, "obligation": 0}
    log = served.stderr()
    assert "attestation 'dpa' of environment 'openai-env' ends in" in log
    assert "attestation 'baa' of environment 'openai-env' lapsed on" in log
    assert "soc2" not in log
    served.config["rules"] = [{"id": "plan", "when": {"workloads": ["w-chat"]}, "require": {"documents": ["plan"]}}]
    environment["attests"] = []
    served.write()
    async with asyncio.timeout(5):
        while await due(served) != {"expired": 0, "expiring": 0, "obligation": 1}:
            await asyncio.sleep(0.05)
    assert "workload 'w-chat' does not meet 'plan'" in served.stderr()
