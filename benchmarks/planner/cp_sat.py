"""CP-SAT on the programs of the solver's benchmark, for comparison: cost, proof and time. Needs `ortools` alone.

    python -m benchmarks.planner.solver --seeds 12 --programs DIR
    python benchmarks/planner/cp_sat.py DIR

CP-SAT knows whole numbers only, so its shares are thousandths of a workload and its coefficients are rounded against
it: its best plan may cost a little more than the best one with free shares, and never less. One worker; time is that of
the process. (A file and a process of its own, because both bring a HiGHS library and only one can be loaded.)
"""

from __future__ import annotations

import importlib
import json
import math
import sys
import time
from pathlib import Path
from typing import Any, cast

cp_model = cast(Any, importlib.import_module("ortools.sat.python.cp_model"))

PARTS = 1000
# CP-SAT's own count of work, about a second of one quiet core each; and on the clock, whatever else runs.
WORK_MAX, LIMIT_S = 30.0, 600.0
# Whole numbers for what rows and costs hold: a millionth of the largest coefficient of a row, a millionth of a USD.
FINE = 10**6


def modelled(program: dict[str, Any]) -> Any:
    """Every column and row of the program. Columns of shares count parts."""
    model = cp_model.CpModel()
    whole = set(program["integer"])
    columns = [
        model.new_int_var(0, round(high) if at in whole else int(high * PARTS), f"c{at}")
        for at, high in enumerate(program["upper"])
    ]
    for row, (low, high) in enumerate(zip(program["row_low"], program["row_high"], strict=True)):
        span = range(program["starts"][row], program["starts"][row + 1])
        if not span:
            continue
        scale = FINE / max(abs(program["values"][at]) for at in span)
        entries = [(program["columns"][at], program["values"][at] * scale) for at in span]
        parts = [(columns[at], value * (PARTS if at in whole else 1)) for at, value in entries]
        if low == high:
            model.add(sum(column * round(value) for column, value in parts) == round(low * scale) * PARTS)
        elif high is not None:
            total = sum(column * math.ceil(value - 1e-9) for column, value in parts)
            model.add(total <= math.floor(high * scale * PARTS + 1e-6))
        else:
            model.add(sum(column * math.floor(value + 1e-9) for column, value in parts) >= round(low * scale) * PARTS)
    costs = [round(cost * FINE / (1 if at in whole else PARTS)) for at, cost in enumerate(program["cost"])]
    model.minimize(sum(column * cost for column, cost in zip(columns, costs, strict=True)))
    return model


def main() -> None:
    for path in sorted(Path(sys.argv[1]).glob("*.json"), key=lambda each: int(each.stem)):
        program = json.loads(path.read_text())
        solver = cp_model.CpSolver()
        solver.parameters.max_deterministic_time = WORK_MAX
        solver.parameters.max_time_in_seconds = LIMIT_S
        solver.parameters.num_workers = 1
        began = time.process_time()
        status = solver.solve(modelled(program))
        found = status in (cp_model.OPTIMAL, cp_model.FEASIBLE)
        row = {
            "seed": int(path.stem),
            "usd": program["usd"],
            "seconds": program["seconds"],
            "cp_sat": solver.status_name(status),
            "cp_sat_usd": round(solver.objective_value / FINE, 2) if found else None,
            "cp_sat_bound_usd": round(solver.best_objective_bound / FINE, 2) if found else None,
            "cp_sat_seconds": round(time.process_time() - began, 2),
        }
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
