"""A process that dies with leases: what it had paid is booked from its journal, and the rest is free again."""

from __future__ import annotations

import contextlib
from decimal import Decimal
from pathlib import Path

from installation import body_of, installation, until

from signalbox.bootstrap.storage import open_store
from signalbox.core.usage import PICO


async def test_leases_of_killed_processes_are_booked_at_the_next_start(tmp_path: Path) -> None:
    async with installation(tmp_path) as served:
        await served.start(2)
        (made,) = served.cli("keys", "create", "--name", "b", "--budget-usd", "1")

        async def accepted() -> bool:
            answer = await served.request("/v1/chat/completions", body_of("chat", "w-chat", "hello"), key=made["key"])
            return answer.status == 200

        await until(accepted, "the key works")
        for _ in range(5):
            assert await accepted()
        served.kill_all()
        with contextlib.closing(open_store(served.state)) as store:
            assert store.leases(), "nothing was leased, so that there is nothing to show"
        await served.start(2)
        with contextlib.closing(open_store(served.state)) as store:
            assert store.leases() == []
            booked = sum(balance.spent for balance in store.balances(1) if made["id"] in balance.account)
        settled = sum(Decimal(row["cost_usd"]) for row in served.rows() if row["key_id"] == made["id"])
        assert Decimal(booked) / PICO == settled > 0
        assert await accepted()
