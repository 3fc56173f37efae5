"""Plans a workload file, or what the ledger has seen: a short answer here, plan.json, and a page with charts.

0 with a plan, 1 when something fits nowhere or a limit is broken, 2 when the files cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signalbox.bootstrap.clock import today
from signalbox.bootstrap.compiling import compile_declared
from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path, write
from signalbox.config.load import load, read_bytes
from signalbox.control.plan_ledger import workloads_from_ledger
from signalbox.control.planner_files import PlannerFiles
from signalbox.control.planning import Planned, Wanted, plan_from
from signalbox.control.state import StateDir
from signalbox.ledger.ship import Shipping
from signalbox.planner.plan import Plan, encode
from signalbox.planner.quantity import dollars
from signalbox.planner.report import page

_SHOWN_MAX = 12
_MISSING_SHOWN = 8


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", type=Path, nargs="?", help="the workload file")
    parser.add_argument("--from-ledger", metavar="30d", help="measure the workloads in the ledger over so many days")
    parser.add_argument("--out", type=Path, default=Path("plan.json"), help="where the plan goes (%(default)s)")
    parser.add_argument("--html", type=Path, default=Path("plan.html"), help="where the page goes (%(default)s)")
    parser.add_argument("--no-html", action="store_true", help="write no page")
    parser.add_argument("--seed", type=int, default=1, help="of every draw (%(default)s)")
    parser.add_argument("--draws", type=int, default=1000, help="futures to draw (%(default)s)")
    parser.add_argument("--quiet", action="store_true", help="no progress line")
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if (options.workloads is None) == (options.from_ledger is None) and options.workloads is None:
        print("Name a workload file, or pass --from-ledger 30d. `signalbox plan init` writes a file.", file=sys.stderr)
        return 2
    if not 1 <= options.draws <= 100_000:
        print("--draws: write 1 to 100000.", file=sys.stderr)
        return 2
    path = config_path(options.config)
    declared = load(path) if path is not None else None
    content, name = b"", str(options.workloads)
    if options.workloads is not None:
        content = read_bytes(options.workloads)
    if options.from_ledger is not None:
        if declared is None:
            print("--from-ledger takes its options from signalbox.yaml. Pass --config with its path.", file=sys.stderr)
            return 2
        state = StateDir(options.state_dir)
        snapshot = compile_declared(declared, 1).snapshot
        store = open_store(state, stated_store(path))
        try:
            Shipping(store, state.journal).ship_once()
            content = workloads_from_ledger(
                store, declared, snapshot, options.from_ledger, today(), content or None, name
            )
        finally:
            store.close()
        name = "(from the ledger)"
    files = PlannerFiles(options.state_dir)
    wanted = Wanted(
        content, name, declared, files.catalogue(), files.calibration(), today(), options.seed, options.draws
    )
    planned = plan_from(wanted, _silent if options.quiet or options.json else _progress)
    plan = planned.plan
    written = encode(plan)
    write(options.out, written)
    if not options.no_html:
        write(options.html, page(plan).encode())
    if options.json:
        print(written.decode(), end="")
    else:
        _print(planned, options.out, None if options.no_html else options.html)
    return 1 if plan.unplaced or plan.checked or planned.violations or plan.status == "infeasible" else 0


def _progress(line: str) -> None:
    end = "\n" if not sys.stderr.isatty() else "\r"
    print(f"{line:<78}", end=end, file=sys.stderr, flush=True)


def _silent(line: str) -> None:
    del line


def _print(planned: Planned, out: Path, html: Path | None) -> None:
    plan = planned.plan
    for contradiction in plan.contradictions:
        print(f"note: {contradiction.sentence()}")
    for missing in plan.missing[:_MISSING_SHOWN]:
        print(f"missing: {missing.sentence()}.")
    if len(plan.missing) > _MISSING_SHOWN:
        print(f"missing: and {len(plan.missing) - _MISSING_SHOWN} more in plan.json")
    if plan.status == "infeasible" or not plan.placed:
        print("No plan fits. The smallest change:")
    else:
        _summary(plan)
    for change in plan.unplaced:
        print(f"  ! {change.sentence()}")
        for reason in change.because:
            print(f"      {reason}")
    for broken in plan.checked:
        print(f"  ! {broken}")
    if planned.violations:
        print(f"  ! {len(planned.violations)} routes lead where a rule forbids it; this plan must not be applied")
    elif plan.placed:
        print(f"rules       {planned.tried} routes in failure states asked again, none forbidden")
    print(f"written     {out}{f' and {html}' if html else ''}  (fingerprint {plan.fingerprint[:12]})")


def _summary(plan: Plan) -> None:
    band = plan.futures.usd_per_month if plan.futures is not None else None
    spread = f"  (P10 {dollars(band.p10)} to P90 {dollars(band.p90)})" if band is not None else ""
    proof = "proven least" if plan.status == "optimal" else f"within {plan.gap:.1%} of the least"
    print(f"{plan.name}: {dollars(plan.usd_per_month)} USD a month{spread}, {proof}")
    for row in plan.placed[:_SHOWN_MAX]:
        way = " > ".join(row.options) + (f", over {row.pattern} to {row.spill}" if row.spill else "")
        share = "" if row.share > 0.9999 else f"{row.share:.0%} "
        print(f"  {row.workload:<24.24} {share}{way:<40.60} {dollars(row.usd_per_month):>12}")
    if len(plan.placed) > _SHOWN_MAX:
        print(f"  and {len(plan.placed) - _SHOWN_MAX} more in plan.json")
    for pool in plan.pools:
        lots = ", ".join(f"{count} {tier}" for tier, count in pool.lots.items())
        print(f"lots        {pool.option}: {lots} ({pool.gpus} GPUs), {pool.used:.0%} used at the mean")
    print(f"people      {plan.people_fte:.2f} engineers; capital {plan.capex_usd:,.0f} USD")
    for scale in plan.scales[1:]:
        fits = scale.usd_per_month is not None
        told = f"{dollars(scale.usd_per_month or 0)} USD a month" if fits else "nothing fits"
        limits = f"; {'at its limit: ' if fits else ''}{', '.join(scale.limits)}" if scale.limits else ""
        opened = f" with {', '.join(scale.opened)}" if scale.opened else ""
        print(f"at {scale.factor:g}x{'':<{8 - len(f'{scale.factor:g}')}} {told}{opened}{limits}")
    if plan.no_regret is not None:
        print(f"no regret   {', '.join(plan.no_regret) or 'tokens only, no lots'}")
    if plan.futures is not None and plan.futures.tornado:
        print(f"depends on  {', '.join(driver.what for driver in plan.futures.tornado[:3])}")
    for crossing in plan.crossovers[:3]:
        print(f"crossover   {crossing.sentence()}")
    for price in plan.constraints[:3]:
        if price.saves_usd:
            print(f"constraint  {price.constraint} costs {dollars(price.saves_usd)} USD a month")
