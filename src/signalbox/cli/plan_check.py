"""Compares a plan with the ledger: what drifted, and whether its cost model reproduces what was paid within 10 %.

0 when it does and nothing drifted, 1 otherwise. Meant to run every night.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from signalbox.bootstrap.clock import today
from signalbox.bootstrap.stated import stated_store
from signalbox.bootstrap.storage import open_store
from signalbox.cli.options import add_config, add_json, add_state_dir, config_path
from signalbox.config.load import read_bytes
from signalbox.control.plan_ledger import DRIFT, back_test
from signalbox.control.state import StateDir
from signalbox.ledger.ship import Shipping
from signalbox.planner.plan import decode


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("plan", type=Path, help="the plan.json")
    parser.add_argument("--since", default="30d", metavar="30d", help="days of the ledger (%(default)s)")
    add_config(parser)
    add_state_dir(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    try:
        plan = decode(read_bytes(options.plan))
    except ValueError as error:
        print(f"{options.plan}: not a plan: {error}. Make one with `signalbox plan`.", file=sys.stderr)
        return 2
    state = StateDir(options.state_dir)
    store = open_store(state, stated_store(config_path(options.config)))
    try:
        Shipping(store, state.journal).ship_once()
        found = back_test(plan, plan.deployments, store, options.since, today())
    finally:
        store.close()
    good = found.error <= DRIFT and not found.drifts
    if options.json:
        print(msgspec.json.encode({**msgspec.to_builtins(found), "error": found.error, "good": good}).decode())
        return 0 if good else 1
    print(
        f"{found.calls} calls in {found.days} days: {found.measured_usd:,.4f} USD paid, {found.modelled_usd:,.4f} by "
        f"the plan's model ({found.error:.1%} apart)"
    )
    if found.unpriced or found.foreign:
        print(f"left out: {found.unpriced} calls without a price, {found.foreign} on what the plan does not price")
    for drift in found.drifts:
        print(f"drift: {drift.workload}: {drift.what} {drift.measured:,.4g}, planned {drift.planned:,.4g}")
    return 0 if good else 1
