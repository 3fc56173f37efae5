"""What a budget adds to a request: admission, reservation and settlement, in microseconds of CPU on one core.

Run: python -m benchmarks.budget_cpu; prints one JSON object, the best of ROUNDS. Leases come from a real store, as in
serving. first_calls_us: of a deployment that has not told yet what it counts, so that bodies are weighed one by one.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from signalbox.bootstrap.clock import now_ms
from signalbox.bootstrap.data_plane import DataPlane
from signalbox.config.load import load_text
from signalbox.control.state import StateDir
from signalbox.core.call import Call, Principal
from signalbox.core.usage import Usage
from signalbox.ledger.estimate import Metering
from signalbox.ledger.journal import new_chain
from signalbox.pipeline import money
from signalbox.pipeline.state import Attempt
from signalbox.policy.budgets import Budgets
from signalbox.policy.compiling import compile_snapshot
from signalbox.telemetry.log import Log
from signalbox.wire import body as wire_body
from signalbox.wire.table import DIALECTS

CALLS = 4_000
ROUNDS = 5
TOLD = 8
CONFIG = """
environments: {e: {kind: cloud}}
deployments:
  d:
    {environment: e, protocol: openai, model: m, base_url: http://127.0.0.1:1/v1,
     price: {input_mtok: 1, output_mtok: 2}}
workloads: {w: {budget: {usd_per_month: 9000000, tokens_per_minute: 1000000000000}}}
teams: {t: {budget: {usd_per_month: 9000000, requests_per_minute: 1000000000}}}
"""
MESSAGES = [{"role": "user", "content": "x" * 300}]
BODY = json.dumps({"model": "w", "stream": True, "max_tokens": 800, "messages": MESSAGES})


class Stages:
    """As much of pipeline.stages.Stages as money needs."""

    def __init__(self, budgets: Budgets) -> None:
        self.budgets = budgets
        self.metering = Metering()


async def measure(text: str, budget_pico: int | None, root: Path, *, told: int = TOLD) -> float:
    snapshot = compile_snapshot(load_text(text, "bench.yaml"), 1, "2026-11-20", lambda *_: None)
    plane = DataPlane(StateDir(root), new_chain("bench"), Log("bench"))
    stages: Any = Stages(Budgets(snapshot, plane.purse, now_ms))
    principal = Principal("k", "acme", "t", None, frozenset(), budget_pico=budget_pico)
    body = BODY.encode()
    doc = wire_body.parse(body)
    deployment = snapshot.deployments[0]
    for _ in range(told):
        stages.metering.of(deployment.name, "chat").observe_in(len(body), 80)

    def call() -> Call:
        return Call(
            id="c", api="chat", snapshot=snapshot, principal=principal, body=body, doc=doc,
            envelope=DIALECTS["chat"].envelope(doc), model="w", workload=snapshot.workloads["w"], pinned=None,
            data_header=principal.labels, headers=[], query=b"", received_ns=0, auth_ns=0,
        )  # fmt: skip

    made = [Attempt(call(), deployment, "chat", 0) for _ in range(CALLS)]
    usage = Usage(tokens_in=80, tokens_out=200)
    began_s = time.process_time()
    for this in made:
        if stages.budgets.any or this.call.principal.budget_pico is not None:
            await money.reserve(this, body, stages)
        this.cost_pico = 480_000_000
        if this.hold is not None:
            money.settle(this, usage)
    spent_s = time.process_time() - began_s
    await plane.close()
    return spent_s / CALLS * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="signalbox-budget-cpu-") as folder:
        plain = CONFIG.replace("budget: {usd_per_month: 9000000, tokens_per_minute: 1000000000000}", "").replace(
            "budget: {usd_per_month: 9000000, requests_per_minute: 1000000000}", "workloads: []"
        )
        root = Path(folder)
        key = 9 * 10**18

        def best(name: str, text: str, budget_pico: int | None, **more: int) -> float:
            rounds = (measure(text, budget_pico, root / f"{name}{turn}", **more) for turn in range(ROUNDS))
            return min(map(uvloop.run, rounds))

        found = {
            "no_budget_us": best("a", plain, None),
            "key_budget_us": best("b", plain, key),
            "five_budgets_us": best("c", CONFIG, key),
            "first_calls_us": best("d", CONFIG, key, told=0),
        }
    print(json.dumps({name: round(value, 2) for name, value in found.items()}))


if __name__ == "__main__":
    main()
