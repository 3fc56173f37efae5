"""`signalbox drill`: your own configuration against simulated providers that fail, and whether anything escapes."""

from __future__ import annotations

import argparse
import secrets
import sys

import msgspec

from signalbox.bootstrap.drills import run_drill, run_fault_drill, run_outage_drill
from signalbox.cli.options import add_config, add_json, needed_config
from signalbox.config.load import read_bytes
from signalbox.control.drill import CALLS_MAX, Result
from signalbox.control.drill_faults import FaultResult
from signalbox.control.drill_ground import Plan
from signalbox.control.drill_outages import OutageResult
from signalbox.control.drill_watch import Sight

_SEED_BITS = 31


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--calls", type=int, default=1000, help="how many calls to make (default: %(default)s)")
    parser.add_argument("--seed", type=int, help="the calls follow from it; another one every time when left out")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument(
        "--faults", action="store_true", help="each fault of a provider in turn, and how every workload's calls end"
    )
    kinds.add_argument(
        "--outages", action="store_true", help="each deployment down for a moment: is it left alone, and used again"
    )
    parser.add_argument(
        "--watch", action="store_true", help="lines of JSON on standard error meanwhile: how far, and open breakers"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """0 when nothing was found, 1 with a finding, 2 when there is nothing that could be drilled."""
    path = needed_config(options.config)
    if not 1 <= options.calls <= CALLS_MAX:
        print(f"--calls must be between 1 and {CALLS_MAX}.", file=sys.stderr)
        return 2
    seed = secrets.randbits(_SEED_BITS) if options.seed is None else options.seed
    show = sys.stderr.isatty()

    def progress(sight: Sight) -> None:
        if options.watch:
            print(msgspec.json.encode(sight).decode(), file=sys.stderr, flush=True)
        elif show:
            end = "\n" if sight.calls >= options.calls else ""
            said = f"\r{sight.calls} of {options.calls} calls, {sight.findings} findings"
            print(said, end=end, file=sys.stderr, flush=True)

    plan = Plan(read_bytes(path), str(path), options.calls, seed)
    if options.faults:
        found = run_fault_drill(plan, progress)
        print(msgspec.json.encode(found).decode() if options.json else _fault_report(found))
        return 0 if found.good else 1
    if options.outages:
        down = run_outage_drill(plan, progress)
        print(msgspec.json.encode(down).decode() if options.json else _outage_report(down))
        return 0 if down.good else 1
    result = run_drill(plan, progress)
    print(msgspec.json.encode(result).decode() if options.json else _report(result))
    return 0 if result.good else 1


def _fault_report(result: FaultResult) -> str:
    lines = [f"{result.calls} calls, each with a fault at the first provider of its workload, seed {result.seed}"]
    for name, ends in result.workloads.items():
        lines.append(
            f"  workload {name}: {ends.whole} answered ({ends.elsewhere} by another deployment), {ends.status} ended"
            f" with an error, {ends.cut} cut with an error"
        )
    lines += [f"  not drilled: {what} answers nothing even when all is well" for what in result.skipped]
    lines.append(f"  dishonest: {result.dishonest}")
    return "\n".join([*lines, *result.findings])


def _outage_report(result: OutageResult) -> str:
    lines = [f"{result.calls} calls, each deployment that a workload uses first down for a moment"]
    for name, one in result.outages.items():
        lines.append(
            f"  deployment {name}: {'never taken' if one.opened_ms is None else f'taken {one.opened_ms} ms'} out of use"
            f"{'' if one.opened_ms is None else ' after it went down'},"
            f" {'not used again' if one.back_ms is None else f'used again {one.back_ms} ms after it was back'};"
            f" meanwhile {one.elsewhere} answered by another, {one.failed} failed"
        )
    lines += [f"  not drilled: {name}: no workload uses it first, or its breaker is off" for name in result.skipped]
    lines.append(f"  unopened: {result.unopened}   lost: {result.lost}")
    return "\n".join([*lines, *result.findings])


def _report(result: Result) -> str:
    lines = [
        f"{result.calls} calls, {result.attempts} requests at simulated providers, seed {result.seed}",
        f"  {result.answered} answered, {result.refused} refused by rules, {result.incapable} that no permitted"
        f" deployment can serve, {result.unanswered} that all permitted ones failed",
        f"  escapes: {result.escapes}   refused but permitted: {result.refused_but_permitted}"
        f"   content overlooked: {result.unlabelled}   unrecorded: {result.unrecorded}   defects: {result.defects}",
    ]
    for name, hits in result.environments.items():
        lines.append(
            f"  environment {name}: {hits.attempts} requests, {hits.answered} answered, {hits.restricted} restricted"
        )
    for name, of in sorted(result.workloads.items()):
        if of.unanswered:
            lines.append(
                f"  workload {name}: {of.unanswered} of {of.calls} calls failed at all permitted deployments that may"
                " be tried"
            )
    for name, hits in result.rules.items():
        lines.append(f"  rule {name}: applied to {hits.applied} calls, kept {hits.forbade} deployments from them")
    return "\n".join([*lines, *result.findings])
