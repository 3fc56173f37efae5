"""Time of the solver to a gap of 0, on organisations of 200 workloads and 30 options; every answer re-checked exactly.

    python -m benchmarks.planner.solver --seeds 30

Workloads that nothing may serve are left out first, as `signalbox plan` does. Seconds are those that the thread
computed for, which another process on the machine lengthens less than those on the clock.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from datetime import date
from pathlib import Path

from msgspec.structs import replace

from benchmarks.planner.organisation import organisation
from signalbox.control.plan_rules import compile_options, refused_options
from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.instance import Instance
from signalbox.planner.program import Program
from signalbox.planner.reading import read_plan_file
from signalbox.planner.routes import Built, build
from signalbox.planner.solver import solve
from signalbox.pricing.catalogue import rates

DAY = date(2026, 11, 20)


def built(seed: int) -> Built:
    """The decision of one organisation as numbers."""
    file = read_plan_file(organisation(seed), f"seed {seed}").file
    refused = refused_options(compile_options(file, None, DAY.isoformat()), file)

    def numbers(of: object) -> Built:
        return build(of, refused, shipped(), lambda p, m: rates(p, m, DAY), calibration=fitted())  # type: ignore[arg-type]

    found = numbers(file)
    unserved = set(found.instance.without_routes())
    if not unserved:
        return found
    kept = {name: each for name, each in file.workloads.items() if name not in unserved}
    return numbers(replace(file, workloads=kept))


def told(instance: Instance, row: dict[str, object]) -> dict[str, object]:
    """A program with the answer to it, in plain numbers; None where a row has no limit."""
    program = Program(instance)
    return {
        "cost": program.cost,
        "upper": program.upper,
        "integer": program.integer,
        "starts": program.starts,
        "columns": program.columns,
        "values": program.values,
        "row_low": [None if math.isinf(each) else each for each in program.row_low],
        "row_high": [None if math.isinf(each) else each for each in program.row_high],
        "usd": row["usd_per_month"],
        "seconds": row["seconds"],
    }


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=30)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--limit-s", type=float, default=30.0)
    parser.add_argument("--programs", type=Path, help="a folder for each program and its answer, for cp_sat.py")
    options = parser.parse_args()
    seconds: list[float] = []
    for seed in range(options.first, options.first + options.seeds):
        began = time.perf_counter()
        instance = built(seed).instance
        build_s = time.perf_counter() - began
        computed = time.thread_time()
        found = solve(instance, time_limit_s=options.limit_s)
        computed = time.thread_time() - computed
        seconds.append(computed)
        row = {
            "seed": seed,
            "workloads": len(instance.workloads),
            "routes": len(instance.routes),
            "pools": len(instance.pools),
            "opened": len(found.opened()),
            "status": found.status,
            "seconds": round(computed, 3),
            "on_the_clock_s": round(found.seconds, 3),
            "build_s": round(build_s, 3),
            "usd_per_month": round(found.usd_per_month, 2) if found.found else None,
            "gap_usd": round(found.usd_per_month - found.bound, 4) if found.found else None,
            "broken": list(found.checked),
        }
        print(json.dumps(row), flush=True)
        if options.programs is not None:
            (options.programs / f"{seed}.json").write_text(json.dumps(told(instance, row)))
    print(
        json.dumps(
            {name: round(percentile(seconds, part), 3) for name, part in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))}
        )
    )


if __name__ == "__main__":
    main()
