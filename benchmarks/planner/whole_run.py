"""Time and memory of a whole run: 200 workloads, 30 options, three scales, 1,000 futures, tornado, every question.

    python -m benchmarks.planner.whole_run --seeds 3

Besides, every route of the plan is asked of the rules again in every state of failure.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

from benchmarks.planner.organisation import organisation
from signalbox.control.planning import Wanted, plan_from
from signalbox.planner.calibration import fitted
from signalbox.planner.catalogue.read import shipped
from signalbox.planner.report import page


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    for seed in range(options.first, options.first + options.seeds):
        began = time.perf_counter()
        wanted = Wanted(organisation(seed), f"seed {seed}", None, shipped(), fitted(), "2026-11-20", seed)
        planned = plan_from(wanted, lambda line: None)
        size = len(page(planned.plan))
        row = {
            "seed": seed,
            "seconds": round(time.perf_counter() - began, 2),
            "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "status": planned.plan.status,
            "solver_s": planned.plan.solver_s,
            "placed": len(planned.plan.placed),
            "unplaced": len(planned.plan.unplaced),
            "page_bytes": size,
            "routes_tried": planned.tried,
            "violations": len(planned.violations),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
