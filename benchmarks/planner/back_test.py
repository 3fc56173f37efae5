"""How near a plan's cost comes to the month after it: `python -m benchmarks.planner.back_test --data DIR [--seeds 5]`.

Two months of calls are put into a real store: four workloads whose lengths are drawn from the Azure traces in DIR
(`traces/azure_conv.csv.gz`, `traces/azure_code.csv.gz`; CC-BY 4.0), by a weekly profile with daily noise, on three
deployments by shares that a plan would choose, with prompt caching, a cascade's second questions, and prices as
signalbox.yaml states them. Each call's cost is what the product's own pricing says of its tokens. A plan is made from
the first month (`plan --from-ledger 30d` at its last day) and held to the second (`plan check --since 30d`), which
grows, whose calls grow longer and whose cache hits fall, by amounts that a seed draws.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from signalbox.bootstrap.compiling import compile_declared
from signalbox.config.load import load_text
from signalbox.control.plan_ledger import BackTest, back_test, workloads_from_ledger
from signalbox.control.planning import Wanted, plan_from
from signalbox.core.ports import ShipMark, Store
from signalbox.core.records import DOUBTED, Opened, Record, Settled
from signalbox.core.snapshot import Snapshot
from signalbox.core.usage import Usage
from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.pricing.cost import cost
from signalbox.store import open_store

CONFIG = """\
environments: {us: {kind: cloud, region: us}, eu: {kind: private-cloud, region: eu/de}}
deployments:
  small: {environment: us, protocol: openai, base_url: http://127.0.0.1:9/v1, model: s,
          price: {input_mtok: 0.15, cache_read_mtok: 0.075, output_mtok: 0.6}}
  large: {environment: us, protocol: openai, base_url: http://127.0.0.1:9/v1, model: l,
          price: {input_mtok: 2.5, cache_read_mtok: 1.25, output_mtok: 10}}
  code: {environment: eu, protocol: openai, base_url: http://127.0.0.1:9/v1, model: c,
         price: {input_mtok: 0.9, cache_read_mtok: 0.2, output_mtok: 0.9}}
workloads:
  chat: {placements: [small, large]}
  support: {placements: [large]}
  completion: {placements: [code]}
  tagging: {placements: [small]}
"""
# What a ledger does not know: how good the two models of the cascade are.
BASE = b"""\
options:
  small: {environment: us, kind: cloud-api, model: s, deployment: small, quality: {general: 0.7},
          price: {input_mtok: 0.15, cache_read_mtok: 0.075, output_mtok: 0.6}}
  large: {environment: us, kind: cloud-api, model: l, deployment: large, quality: {general: 0.95},
          price: {input_mtok: 2.5, cache_read_mtok: 1.25, output_mtok: 10}}
workloads:
  chat: {quality: {minimum: 0.72}}
"""
# Workload: (trace, deployment, calls a day, share of the input that is cached, share that is asked again of large).
WORKLOADS: dict[str, tuple[str, str, int, float, float]] = {
    "chat": ("conv", "small", 900, 0.3, 0.12),
    "support": ("conv", "large", 300, 0.5, 0.0),
    "completion": ("code", "code", 700, 0.6, 0.0),
    "tagging": ("conv", "small", 500, 0.0, 0.0),
}
FIRST = date(2026, 9, 1)
DAYS = 30
BATCH = 2000
Lengths = list[tuple[int, int]]


def lengths(folder: Path) -> dict[str, Lengths]:
    found: dict[str, Lengths] = {}
    for name in ("conv", "code"):
        with gzip.open(folder / "traces" / f"azure_{name}.csv.gz", "rt") as file:
            found[name] = [(int(row["ContextTokens"]), int(row["GeneratedTokens"])) for row in csv.DictReader(file)]
    return found


class _Month:
    """Calls of one month. growth, longer, misses: factors on calls, on lengths, and on what is cached."""

    def __init__(self, snapshot: Snapshot, traces: dict[str, Lengths], first: date, chance: random.Random) -> None:
        self._snapshot, self._traces, self._first, self._chance = snapshot, traces, first, chance
        self.growth = self.longer = self.cached = 1.0

    def records(self) -> Iterator[Record]:
        for day in range(DAYS):
            when = self._first + timedelta(days=day)
            start_ms = int(datetime(when.year, when.month, when.day, tzinfo=UTC).timestamp() * 1000)
            for name, (trace, deployment, calls, cached, again) in WORKLOADS.items():
                busy = 0.3 if when.weekday() >= 5 else 1.0
                for number in range(int(calls * self.growth * busy * self._chance.uniform(0.85, 1.15))):
                    hour = min(23.99, max(0.0, self._chance.gauss(13, 4)))
                    at_ms = start_ms + int(hour * 3_600_000)
                    asked, told = self._chance.choice(self._traces[trace])
                    size = Usage(tokens_in=max(1, int(asked * self.longer)), tokens_out=max(1, int(told * self.longer)))
                    hit = int(size.tokens_in * min(1.0, self._chance.uniform(0.6, 1.4) * cached * self.cached))
                    usage = replace(size, tokens_in=size.tokens_in - hit, cache_read=hit)
                    call = f"req_{self._first.month:02d}{day:02d}{name}{number:06d}"
                    yield from self._attempt(call, 1, name, deployment, usage, at_ms, "cascade" if again else "fixed")
                    if self._chance.random() < again:
                        yield from self._attempt(call, 2, name, "large", size, at_ms + 900, f"cascade{DOUBTED}")

    def _attempt(
        self, call: str, number: int, workload: str, deployment: str, usage: Usage, at_ms: int, reason: str
    ) -> Iterator[Record]:
        target = self._snapshot.deployment_by_name[deployment]
        yield Opened(
            attempt_id=f"{call}-{number}", call_id=call, time_ms=at_ms, tenant="default", team="t", key_id="k",
            workload=workload, deployment=deployment, environment=target.environment.name, model=target.model,
            api="chat", labels=("internal",), reason=reason, config="c", attempt=number,
        )  # fmt: skip
        usd = cost(usage, target.rates)
        yield Settled(f"{call}-{number}", at_ms + 800, "settled", usage, "provider", usd, 200, "", 300, 800)


def ship(store: Store, records: Iterator[Record], chain: str) -> None:
    before, batch, count = None, list[Record](), 0
    for record in records:
        batch.append(record)
        if len(batch) >= BATCH and isinstance(record, Settled):
            count += 1
            after = ShipMark(chain, count, 0, count, "")
            assert store.ship(before, after, batch)
            before, batch = after, []
    assert store.ship(before, ShipMark(chain, count + 1, 0, count + 1, ""), batch)


def run(traces: dict[str, Lengths], seed: int) -> tuple[BackTest, BackTest]:
    """The plan of the first month, held to that month and to the next."""
    chance = random.Random(seed)
    declared = load_text(CONFIG, "signalbox.yaml", {})
    snapshot = compile_declared(declared, 1).snapshot
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(f"sqlite:{folder}/store.db")
        try:
            second = FIRST + timedelta(days=DAYS)
            ship(store, _Month(snapshot, traces, FIRST, chance).records(), "a")
            today = (second - timedelta(days=1)).isoformat()
            content = workloads_from_ledger(store, declared, snapshot, f"{DAYS}d", today, BASE, "base")
            wanted = Wanted(content, "ledger", declared, shipped(), fitted(), today, 1, 50)
            plan = plan_from(wanted, lambda line: None).plan
            last = (second + timedelta(days=DAYS - 1)).isoformat()
            own = back_test(plan, plan.deployments, store, f"{DAYS}d", today)
            month = _Month(snapshot, traces, second, chance)
            month.growth, month.longer = chance.uniform(0.9, 1.4), chance.uniform(0.95, 1.05)
            month.cached = chance.uniform(0.9, 1.1)
            ship(store, month.records(), "b")
            return own, back_test(plan, plan.deployments, store, f"{DAYS}d", last)
        finally:
            store.close()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, required=True, help="the folder with traces/")
    options.add_argument("--seeds", type=int, default=5)
    given = options.parse_args()
    traces = lengths(given.data)
    for seed in range(1, given.seeds + 1):
        told: dict[str, Any] = {"seed": seed}
        for name, found in zip(("same_month", "next_month"), run(traces, seed), strict=True):
            told[name] = {
                "calls": found.calls,
                "paid_usd": round(found.measured_usd, 4),
                "modelled_usd": round(found.modelled_usd, 4),
                "error": round(found.error, 4),
                "foreign": found.foreign,
                "drifts": [f"{each.workload} {each.what} {each.ratio:.2f}x" for each in found.drifts],
            }
        print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
