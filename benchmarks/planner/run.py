"""Runs every measurement of the performance model and writes docs/benchmarks-planner.md.

    python -m benchmarks.planner.run --data DIR [--runs DIR] [--write]

--runs: the folder with the open-loop runs, when it is another one.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from benchmarks.planner import accuracy, ceilings, edge, gpu_choice, points, saturation
from benchmarks.report import BEGIN, END

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks-planner.md"


def measured(data: Path, runs: Path | None, seed: int) -> dict[str, Any]:
    loaded = points.load(data / points.FILE)
    found: dict[str, Any] = {
        "rows": loaded.rows,
        "covered": loaded.covered,
        "points": len(loaded.observations),
        "groups": len(points.by_group(loaded.observations)),
        "seed": seed,
        "accuracy": accuracy.measure(loaded.observations, seed),
        "choice": gpu_choice.measure(loaded.observations),
        "ceilings": ceilings.measure(),
        "edge": edge.measure(data / edge.FILE),
    }
    for folder in (runs, data):
        if folder is not None and (folder / saturation.FILE).is_file():
            found["saturation"] = saturation.measure(folder / saturation.FILE)
            break
    return found


def markdown(found: dict[str, Any]) -> str:
    unseen, two, interval = (found["accuracy"][name] for name in ("unseen", "two_points", "interval"))
    cheapest, vendor, guard, edge_found = (
        found["choice"]["cheapest"],
        found["choice"]["aws"],
        found["ceilings"],
        found["edge"],
    )
    rows = [
        ("unseen groups, median error", f"{unseen['median_pct']:.1f} %", "≤ 18 %", unseen["median_pct"] <= 18),
        ("unseen groups, p90 of the error", f"{unseen['p90_pct']:.1f} %", "≤ 45 %", unseen["p90_pct"] <= 45),
        ("rows predicted", f"{found['covered']:,} of {found['rows']:,}", "all", found["covered"] == found["rows"]),
        ("two points per configuration, median", f"{two['median_pct']:.1f} %", "≤ 10 %", two["median_pct"] <= 10),
        ("two points per configuration, p90", f"{two['p90_pct']:.1f} %", "≤ 30 %", two["p90_pct"] <= 30),
        (
            "P10–P90 holds, unseen groups",
            f"{interval['inside_pct']:.1f} %",
            "72–88 %",
            72 <= interval["inside_pct"] <= 88,
        ),
        *_choice("cheapest offers", cheapest),
        *_choice("one vendor's prices", vendor),
        ("highest over an MLPerf v5.1 result", f"{guard['highest']:.2f}", "≤ 1.25", guard["highest"] <= 1.25),
        ("edge: runs inside P10–P90", f"{edge_found['inside_pct']:.0f} % of {edge_found['runs']}", "72–88 %", None),
    ]
    if "saturation" in found:
        for hardware, goal in (("H100", 10), ("A100_80GB_PCIe", 15)):
            for known, name in (("never measured", "median_pct"), ("after two light runs", "after_two_median_pct")):
                median = found["saturation"][f"{hardware}_{name}"]
                what = f"saturated throughput, {hardware}, {known}, median"
                rows.append((what, f"{median:.1f} %", f"≤ {goal} %", median <= goal))
    lines = ["| what | measured | goal | met |", "| --- | --- | --- | --- |"]
    lines += [f"| {what} | {value} | {goal} | {_met(met)} |" for what, value, goal, met in rows]
    lines += ["", "By group, each predicted by a fit without it:", "", "| group | points | median | p90 |"]
    lines += ["| --- | --- | --- | --- |"]
    for name, group in found["accuracy"]["groups"].items():
        lines.append(f"| {name} | {group['points']} | {group['median_pct']:.1f} % | {group['p90_pct']:.1f} % |")
    if "saturation" in found:
        head = "| configuration | measured | predicted | error | after two light runs | error |"
        lines += ["", "Saturated throughput, output tokens/s:", "", head, "| --- | --- | --- | --- | --- | --- |"]
        for run in found["saturation"]["runs"]:
            cells = [run["configuration"], f"{run['measured']:,.0f}"]
            for name in ("predicted", "after_two"):
                cells += [f"{run[name]:,.0f}", f"{run[name] / run['measured'] - 1:+.1%}"]
            lines.append(f"| {' | '.join(cells)} |")
    about = (
        f"{found['points']:,} distinct points out of {found['rows']:,} rows, {found['groups']} (architecture,"
        f" accelerator) groups, seed {found['seed']}, {found['took_s']:.0f} s on one core."
    )
    return about + "\n\n" + "\n".join(lines) + "\n"


def _choice(what: str, found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    return [
        (
            f"best accelerator, {what}: right",
            f"{found['right_pct']:.1f} % of {found['cases']}",
            "≥ 92 %",
            found["right_pct"] >= 92,
        ),
        (
            f"best accelerator, {what}: mean regret",
            f"{found['mean_regret_pct']:.1f} %",
            "≤ 5 %",
            found["mean_regret_pct"] <= 5,
        ),
    ]


def _met(met: bool | None) -> str:
    return "–" if met is None else "yes" if met else "**no**"


def main() -> None:
    parser = points.arguments(__doc__ or "")
    parser.add_argument("--runs", type=Path, help="the folder with the open-loop runs")
    parser.add_argument("--write", action="store_true", help="put the figures into docs/benchmarks-planner.md")
    options = parser.parse_args()
    started = time.perf_counter()
    found = measured(points.folder(options), options.runs, options.seed)
    found["took_s"] = time.perf_counter() - started
    print(json.dumps(found, indent=1))
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n{markdown(found)}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
