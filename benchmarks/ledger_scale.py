"""How large ledger rows are and how long spend queries take: `python benchmarks/ledger_scale.py [rows]`.

Fills a SQLite store with attempts of many keys, workloads and hours as the shipper does, and prints one JSON object:
bytes a row of the table of attempts, of its indexes and of spend by hour and day, rows shipped a second, and the
slowest of five runs of each query.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

from signalbox.core.ports import AttemptFilter, ShipMark
from signalbox.core.records import Opened, Record, Settled
from signalbox.core.usage import Usage
from signalbox.store.sqlite import SqliteStore

BATCH = 1000
FIRST_MS = 1_790_000_000_000
SPAN_MS = 30 * 86_400_000
ENVIRONMENTS = ("openai-us", "azure-fra", "dc-fra", "branch")


def attempt(number: int, rows: int) -> tuple[Opened, Settled]:
    time_ms = FIRST_MS + number * SPAN_MS // rows
    identity = f"req_6912ab34c0ffee11{number:08x}-1"
    opened = Opened(
        attempt_id=identity, call_id=identity[:-2], time_ms=time_ms, tenant="default", team=f"team-{number % 12}",
        key_id=f"k{number % 200:011d}", workload=f"workload-{number % 40}", deployment=f"model-{number % 8}",
        environment=ENVIRONMENTS[number % 4], model="gpt-5-mini-2025-08-07", api="chat",
        labels=("confidential", "personal"), reason="fixed", config="c0ffee12",
    )  # fmt: skip
    usage = Usage(tokens_in=800 + number % 500, cache_read=1024, tokens_out=100 + number % 90, reasoning=64)
    settled = Settled(identity, time_ms + 900, "settled", usage, "provider", 123_456_789 + number, 200, "", 210, 900)
    return opened, settled


def main() -> int:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scale.db"
        store = SqliteStore(path)
        began = time.perf_counter()
        mark: ShipMark | None = None
        for start in range(0, rows, BATCH):
            records: list[Record] = []
            for number in range(start, min(start + BATCH, rows)):
                records += attempt(number, rows)
            after = ShipMark("bench", 1, start + 1, start + 1, "0" * 64)
            store.ship(mark, after, records)
            mark = after
        shipped_s = time.perf_counter() - began
        month = AttemptFilter()
        hour_ms = FIRST_MS // 3_600_000 * 3_600_000 + 3_600_000
        day = AttemptFilter(since_ms=hour_ms, until_ms=hour_ms + 86_400_000)
        queries = {
            f"spend by {dimension}, {name}": (where, dimension)
            for name, where in (("all", month), ("24 hours", day))
            for dimension in ("team", "key_id", "workload", "model", "day")
        }
        slowest = {
            name: round(max(timed(store, where, dimension) for _ in range(5)), 4)
            for name, (where, dimension) in queries.items()
        }
        total = store.sum_attempts(month, None)[0].attempts
        store.close()
        with sqlite3.connect(path) as database:
            sizes = dict(database.execute("SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"))
        told = {
            "rows": total,
            "bytes_a_row": round(sizes["attempts"] / rows),
            "bytes_of_indexes_a_row": round(sum(v for k, v in sizes.items() if "attempts_" in k) / rows),
            "bytes_of_spend_a_row": round((sizes["spend_hours"] + sizes["spend_days"]) / rows),
            "rows_shipped_a_second": round(rows / shipped_s),
            "slowest_query_s": slowest,
        }
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return 0


def timed(store: SqliteStore, where: AttemptFilter, dimension: str) -> float:
    began = time.perf_counter()
    store.sum_attempts(where, dimension)
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
