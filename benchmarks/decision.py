"""What a decision of the rules costs with 200 deployments and 500 rules: `python -m benchmarks.decision [--rounds N]`.

CPU microseconds, best of rounds. Rules that all ask the same are decided by one AND, so the second configuration gives
each deployment an operator of its own and each rule an answer of its own, half of them only for some labels.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from datetime import date

from signalbox.config.load import load_text
from signalbox.core.labels import TAG_BIT, Labels, labels_of
from signalbox.core.snapshot import Snapshot, Workload
from signalbox.core.usage import Rates
from signalbox.policy.compiling import compile_snapshot
from signalbox.policy.rules import permitted

DEPLOYMENTS, RULES, REFUSED = 200, 500, 4
CALLS = 50


def _unpriced(_provider: str, _model: str, _on: date) -> Rates | None:
    return None


def compiled(environments: list[str], rules: list[str]) -> Snapshot:
    lines = ["environments:", *(f"  env{at}: {{kind: cloud, {facts}}}" for at, facts in enumerate(environments))]
    lines.append("deployments:")
    lines += [
        f"  dep{at}: {{environment: env{at % len(environments)}, protocol: openai, model: m,"
        f" base_url: 'http://10.0.0.{at}:8000/v1'}}"
        for at in range(DEPLOYMENTS)
    ]
    lines += ["rules:", *(f"  - {{id: r{at}, {rule}}}" for at, rule in enumerate(rules))]
    return compile_snapshot(load_text("\n".join(lines), "signalbox.yaml", {}), 1, "2026-11-21", _unpriced)


def alike() -> Snapshot:
    environments = [f"region: eu/r{at}, attests: [{{name: baa, covers: [chat]}}]" for at in range(40)]
    return compiled(environments, ["allow: {any: [{region: [eu]}, {attests: [baa]}]}"] * RULES)


def each_its_own() -> Snapshot:
    chance = random.Random(1)
    operators = [f"op{at}" for at in range(DEPLOYMENTS)]
    rules: list[str] = []
    for at in range(RULES):
        when = f"when: {{data: [{', '.join(chance.sample(list(TAG_BIT), 2))}]}}, " if at % 2 else ""
        rules.append(f"{when}allow: {{operator: [{', '.join(chance.sample(operators, DEPLOYMENTS - REFUSED))}]}}")
    return compiled([f"region: eu, operator: {name}" for name in operators], rules)


def best_us(rounds: int, decide: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(rounds):
        start = time.thread_time_ns()
        for _ in range(CALLS):
            decide()
        best = min(best, (time.thread_time_ns() - start) / CALLS / 1000)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=400)
    rounds = parser.parse_args().rounds
    print(f"| {DEPLOYMENTS} deployments, {RULES} rules | new, µs | remembered, µs |\n| --- | --- | --- |")
    for name, snapshot in (("rules alike", alike()), ("each with its own answer", each_its_own())):
        workload, labels = snapshot.workloads["default"], labels_of(["phi"])

        def again(snapshot: Snapshot = snapshot, workload: Workload = workload, labels: Labels = labels) -> None:
            permitted(snapshot, workload, labels, False, "chat")

        def anew(snapshot: Snapshot = snapshot, again: Callable[[], None] = again) -> None:
            snapshot.permitted.clear()
            again()

        print(f"| {name} | {best_us(rounds, anew):.1f} | {best_us(rounds, again):.2f} |")


if __name__ == "__main__":
    main()
