"""A running installation closes the days of its own GPUs by itself, and command and page tell the same."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from installation import COMMAND, Served

from signalbox.bootstrap.storage import open_store
from signalbox.core.days import DAY_MS
from signalbox.ledger.owned import note
from signalbox.pricing.owned import Step


def told(served: Served) -> list[dict[str, Any]]:
    command = [*COMMAND, "ledger", "gpus", "--json", "--state-dir", str(served.state.root)]
    output = subprocess.run(command, check=True, capture_output=True, timeout=60).stdout
    return [json.loads(line) for line in output.splitlines()]


async def test_yesterday_is_closed_and_today_is_told(served: Served) -> None:
    now = datetime.now(UTC)
    if now.hour == 0 and now.minute < 20:
        now -= timedelta(days=1)  # yesterday is not closed before a quarter of an hour is over
    yesterday = (now - timedelta(days=1)).date().isoformat()
    with contextlib.closing(open_store(served.state)) as store:
        note(
            store, {"local": ("vllm-env", "sim-small", (Step(0, 4, 2 * 10**12),))}, time.time_ns() // 10**6 - 5 * DAY_MS
        )
    served.config["deployments"]["local"]["price"] = {"gpu_hour_usd": 3, "gpus_per_replica": 8, "tokens_per_s": 1000}
    await served.start()
    async with asyncio.timeout(60):
        while True:
            days = {day["day"]: day for day in await asyncio.to_thread(told, served)}
            if days[yesterday]["rest_usd"] == "0":
                break
            await asyncio.sleep(0.3)
    assert (days[yesterday]["owed_usd"], days[yesterday]["idle_usd"]) == ("192", "192")
    page = (await served.admin("/api/spend")).json
    shown = {day["day"]: day for day in page["gpus"]}
    assert shown[yesterday] == days[yesterday]
