"""What GET /api/budgets tells: limits with their units, a rotated key's one purse, nothing of another tenant."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from console_desk import SECRET, Desk
from signalbox.core.budgets import LeaseAsk
from signalbox.core.ports import Store
from signalbox.policy.windows import period

TEXT = """
environments:
  dc: {kind: on-prem, region: eu/de}
deployments:
  mini:
    environment: dc
    protocol: openai
    base_url: http://127.0.0.1:9/v1
    model: m
    price: {input_mtok: 1, output_mtok: 2}
workloads:
  support: {placements: [mini], budget: {usd_per_month: 5, hard: true}}
budgets:
  - {for: tenant, usd_per_day: 12.50, hard: false}
  - {for: tenant, name: other, tokens_per_hour: 1000}
  - {for: user, requests_per_minute: 3}
  - {for: deployment, name: mini, gpu_seconds_per_week: 3}
"""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    made = Desk(tmp_path / "state", TEXT)
    yield await made.loaded()
    made.close()


def spend(desk: Desk, account: str, amount: int) -> None:
    """Books so much in the account's present window."""
    window = account.rpartition("/")[2]
    start_ms, end_ms = period(window, "UTC", time.time_ns() // 1_000_000)

    def book(store: Store) -> None:
        ask = LeaseAsk(account, start_ms, end_ms, 10**15, 1, 0, 0, need=amount, want=amount)
        store.lend(f"of {account}", [ask], 1)
        done = msgspec.structs.replace(ask, keep=amount, spent=amount, need=0, want=0, done=True)
        store.lend(f"of {account}", [done], 1)

    desk.store.run_now(book)


async def told(desk: Desk, token: str = SECRET) -> dict[str, dict[str, Any]]:
    status, answer = await desk.ask("GET", "/api/budgets", f"Bearer {token}")
    assert status == 200
    return {one["account"]: one for one in answer["budgets"]}


async def test_limits_are_told_with_their_units(desk: Desk) -> None:
    spend(desk, "tenant/acme/usd/day", 1_234_567_890_123)
    spend(desk, "deployment/mini/gpu_seconds/week", 1_500_000_000)
    spend(desk, "user/ann/requests/minute", 2)
    found = await told(desk)
    assert found.keys() == {
        "workload/support/usd/month", "tenant/acme/usd/day", "tenant/other/tokens/hour", "user/ann/requests/minute",
        "deployment/mini/gpu_seconds/week",
    }  # fmt: skip
    day = found["tenant/acme/usd/day"]
    assert (day["scope"], day["subject"], day["unit"], day["window"], day["hard"]) == (
        "tenant", "acme", "usd", "day", False
    )  # fmt: skip
    assert (day["limit"], day["spent"], day["leased"]) == ("12.5", "1.234567890123", "0")
    assert day["end_ms"] - day["start_ms"] == 86_400_000
    gpu, ann = found["deployment/mini/gpu_seconds/week"], found["user/ann/requests/minute"]
    assert (gpu["limit"], gpu["spent"], gpu["share"]) == ("3", "1.5", 0.5)
    assert (ann["limit"], ann["spent"], ann["leased"]) == (3, 2, 0)
    assert found["tenant/other/tokens/hour"]["limit"] == 1000
    assert found["workload/support/usd/month"]["hard"] is True


async def test_a_rotated_key_has_one_budget(desk: Desk) -> None:
    first, _ = desk.key(budget_usd=Decimal(20))
    spend(desk, f"key/{first}/usd/total", 5 * 10**12)
    assert (await desk.ask("POST", f"/api/keys/{first}/rotate", f"Bearer {SECRET}", {}))[0] == 201
    keys = [one for one in (await told(desk)).values() if one["scope"] == "key"]
    assert [(one["subject"], one["limit"], one["spent"], one["end_ms"]) for one in keys] == [(first, "20", "5", None)]


async def test_nothing_is_told_of_another_tenant(desk: Desk) -> None:
    _, watcher = desk.key(tenant="acme", role="auditor")
    ours, _ = desk.key(tenant="acme", budget_usd=Decimal(1))
    spend(desk, "user/ann/requests/minute", 2)
    spend(desk, "tenant/acme/usd/day", 1)
    everything = {"workload/support/usd/month", "deployment/mini/gpu_seconds/week", "tenant/acme/usd/day"}
    everything |= {f"key/{ours}/usd/total", "tenant/other/tokens/hour", "user/ann/requests/minute"}
    # While there is nobody else, there is nothing to hide.
    assert (await told(desk, watcher)).keys() == everything
    theirs, _ = desk.key(tenant="other", budget_usd=Decimal(1))
    spend(desk, "tenant/other/usd/day", 1)
    assert (await told(desk, watcher)).keys() == everything - {"tenant/other/tokens/hour", "user/ann/requests/minute"}
    assert (await told(desk)).keys() == everything | {f"key/{theirs}/usd/total", "tenant/other/usd/day"}
