"""`signalbox bench deployment NAME`: measures a live deployment through the gateway, with the mix that a plan expects.

Calls go in by the front door with a virtual key that was granted the deployment, so that rules, permits and the ledger
see them like any other. What comes out is one JSON line for each number of calls at once, as `catalogue calibrate`
takes it from the ledger.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

import msgspec

from signalbox.cli.options import add_json
from signalbox.cli.words import read_plan
from signalbox.control.deployment_bench import Mix, Target, measure, verdict
from signalbox.core.errors import ConfigError

KEY = "SIGNALBOX_KEY"
CONCURRENCY_MAX = 512


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="deployment", required=True)
    one = verbs.add_parser(
        "deployment", help="times and throughput of one deployment at rising numbers of calls at once"
    )
    one.add_argument("name", help="the deployment; the key has to be granted it")
    one.add_argument("--url", default="http://127.0.0.1:8700", help="the gateway (%(default)s)")
    one.add_argument("--plan", type=Path, help="a plan.json whose mix is to be measured")
    one.add_argument("--input-tokens", type=int, default=1000, help="without a plan (%(default)s)")
    one.add_argument("--output-tokens", type=int, default=200, help="without a plan (%(default)s)")
    one.add_argument("--concurrency", default="1,4,16", help="numbers of calls at once (%(default)s)")
    one.add_argument("--calls", type=int, default=16, help="for each of them (%(default)s)")
    one.add_argument("--timeout-s", type=float, default=300.0, help="for one call (%(default)s)")
    add_json(one)


def run(options: argparse.Namespace) -> int:
    """0 when all calls were answered, 1 when some were not, 2 for options that cannot be meant. The key is read from
    the environment, because what stands on a command line is seen by everybody on the machine."""
    key = os.environ.get(KEY, "")
    if not key:
        print(f"Set {KEY} to a virtual key that was granted {options.name!r}.", file=sys.stderr)
        return 2
    try:
        levels = [int(each) for each in options.concurrency.split(",")]
    except ValueError:
        levels = []
    if not levels or not all(1 <= each <= CONCURRENCY_MAX for each in levels) or not 1 <= options.calls <= 100_000:
        print(f"--concurrency: write numbers from 1 to {CONCURRENCY_MAX}; --calls: 1 to 100000.", file=sys.stderr)
        return 2
    mix, planned = _mix(options)
    target = Target.of(options.url, options.name, key, options.timeout_s)
    failed = 0
    for level in levels:
        found = asyncio.run(measure(target, mix, level, max(level, options.calls)))
        failed += found.failed
        if options.json:
            print(msgspec.json.encode(found).decode())
        else:
            print(
                f"{level:4d} at once: {found.output_tokens_per_s:,.1f} tokens/s, first token p50 "
                f"{found.ttft_p50_ms:,.0f} ms, p95 {found.ttft_p95_ms:,.0f} ms, {found.tpot_ms:.1f} ms a token, "
                f"{found.failed} failed"
            )
            if found.error:
                print(f"     the first that failed: {found.error}")
        if planned is not None and not options.json:
            print(f"     {verdict(found, planned)}")
    return 1 if failed else 0


def _mix(options: argparse.Namespace) -> tuple[Mix, int | None]:
    """The plan's mix over the workloads that begin with the deployment, and its planned concurrency."""
    if options.plan is None:
        return Mix(options.input_tokens, options.output_tokens), None
    plan = read_plan(options.plan)
    option = plan.deployments.get(options.name, options.name)
    mine = [plan.facts[name] for name, row in plan.routing.items() if row.order[0] == option]
    calls = sum(each.requests_per_day for each in mine)
    if not calls:
        raise ConfigError([f"{options.plan}: no workload begins with {options.name!r}. Name one that does."])
    mix = Mix(
        round(sum(each.input_tokens * each.requests_per_day for each in mine) / calls),
        round(sum(each.output_tokens * each.requests_per_day for each in mine) / calls),
    )
    return mix, next((pool.concurrency for pool in plan.pools if pool.option == option), None)
