"""What the metrics count is what the ledger holds and what the providers billed.

Over two workers, with faults, streamed and not, through the death of a worker and what recovery settles after it.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections import Counter
from decimal import Decimal
from typing import Any

from installation import PATHS, Served, body_of, until

SERIES = re.compile(r"^(signalbox_\w+)(?:\{(.*)\})? (\S+)$")


async def scraped(served: Served) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric to its series: label values to number."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for line in (await served.admin("/metrics")).body.decode().splitlines():
        match = SERIES.match(line)
        if match and "_bucket" not in match[1]:
            labels = tuple(re.findall(r'="((?:[^"\\]|\\.)*)"', match[2] or ""))
            found.setdefault(match[1], {})[labels] = float(match[3])
    return found


def counts(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    return Counter((row["deployment"], row["state"]) for row in rows)


def nonzero(series: dict[tuple[str, ...], float]) -> Counter[tuple[str, ...]]:
    return Counter({labels: int(value) for labels, value in series.items() if value})


def with_faults(config: dict[str, Any]) -> dict[str, Any]:
    """A deployment that refuses, one whose answers break off, and workloads that meet them."""
    for name, fault in (("broken", "500"), ("torn", "eof@6")):
        config["deployments"][name] = {**config["deployments"]["chat"], "model": f"sim-small!{fault}"}
    for deployment in config["deployments"].values():
        deployment["health"] = {"enabled": False}
    config["workloads"]["w-broken"] = {"placements": ["broken", "local"]}
    config["workloads"]["w-torn"] = {"placements": ["torn"]}
    return config


async def a_mix(served: Served) -> Counter[str]:
    """Calls of every endpoint and kind at once; how many requests there were by endpoint."""
    calls = [
        (api, body_of(api, workload, f"Call {index} [[tokens:12]]", stream=stream))
        for index in range(3)
        for stream in (True, False)
        for api, workload in (
            ("chat", "w-chat"),
            ("messages", "w-messages"),
            ("responses", "w-responses"),
            ("completions", "w-chat"),
            ("completions", "w-broken"),
            ("chat", "w-broken"),
            ("chat", "w-torn"),
        )
    ]
    calls += [("embeddings", body_of("embeddings", "w-embed", f"Text {index}")) for index in range(3)]
    await asyncio.gather(*(served.request(PATHS[api], body) for api, body in calls))
    return Counter(api for api, _ in calls)


async def agrees(served: Served) -> bool:
    """Metrics, ledger and bill, once the last attempt is settled."""
    seen, rows = await scraped(served), served.rows()
    return nonzero(seen.get("signalbox_attempts_total", {})) == counts(rows) and len(rows) == len(served.bill())


async def test_metrics_ledger_and_bill_agree_over_two_workers(served: Served) -> None:
    served.write(with_faults(served.config))
    await served.start(2)
    asked = await a_mix(served)
    await until(lambda: agrees(served), "metrics, ledger and bill agree")
    # A worker dies with calls open; what recovery settles counts, and nothing counts twice or is forgotten.
    slow = body_of("chat", "w-chat", "Talk on [[tokens:400]][[delay_ms:30]]", stream=True)
    streams = [await served.stream(PATHS["chat"], slow) for _ in range(8)]
    for stream in streams:
        await stream.until(b'"content":"')
    os.kill(served.busiest(served.worker_pids()), signal.SIGKILL)
    await until(lambda: "attempts_recovered" in served.stderr(), "recovery", 15)
    await until(lambda: len(served.worker_pids()) == 2, "the worker is back", 15)
    for stream in streams:
        stream.hang_up()
    asked += await a_mix(served)
    await until(lambda: agrees(served), "metrics, ledger and bill agree after a death", 15)

    seen, rows = await scraped(served), served.rows()
    # And `cancelled`, but where all streams were with the worker that died.
    assert {row["state"] for row in rows} >= {"settled", "failed", "unknown"}
    assert sorted(row["attempt_id"] for row in rows) == sorted(served.bill())
    answered: Counter[str] = Counter()
    for (endpoint, _), count in seen["signalbox_requests_total"].items():
        answered[endpoint] += int(count)
    # Of the streams that died with their worker nobody answered the request.
    died = sum(row["state"] == "unknown" and row["error"] == "process_died" for row in rows)
    assert died > 0
    asked["chat"] += len(streams) - died
    assert answered == asked
    for name, mine in (
        ("input", lambda row: row["tokens_in"]),
        ("output", lambda row: row["tokens_out"]),
    ):
        for deployment in ("chat", "messages", "responses", "embed", "local", "torn"):
            total = sum(mine(row) for row in rows if row["deployment"] == deployment)
            assert seen["signalbox_tokens_total"][deployment, name] == total, (deployment, name)
    for series, field in (
        ("signalbox_cost_usd_total", "deployment"),
        ("signalbox_workload_cost_usd_total", "workload"),
    ):
        cost: Counter[tuple[str, ...]] = Counter()
        for row in rows:
            cost[row[field],] += Decimal(row["cost_usd"] or 0)  # type: ignore[assignment]
        for labels, usd in seen[series].items():
            assert abs(Decimal(repr(usd)) - Decimal(cost[labels])) < Decimal("1e-9"), (series, labels)
    assert seen["signalbox_worker_restarts_total"][()] == 1
    known = [row for row in rows if row["usage_source"] == "provider"]
    bill = served.bill()
    assert all(int(Decimal(row["cost_usd"]) * 10**12) == bill[row["attempt_id"]].cost_pico for row in known)
