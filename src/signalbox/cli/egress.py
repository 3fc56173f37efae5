"""`signalbox egress`: what a configuration connects to, for firewalls and network policies."""

from __future__ import annotations

import argparse
import sys

import msgspec

from signalbox.bootstrap.compiling import compile_declared
from signalbox.cli.options import add_config, add_json, needed_config
from signalbox.config.load import load
from signalbox.control.egress import addresses_of, egress, helm_values


def arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    add_json(parser)
    parser.add_argument(
        "--helm-values",
        action="store_true",
        help="print the networkPolicy values of the Helm chart, as JSON (and YAML)",
    )
    parser.add_argument(
        "--resolve", action="store_true", help="with --helm-values: also the addresses that names have now"
    )


def run(options: argparse.Namespace) -> int:
    declared = load(needed_config(options.config))
    places = egress(declared, compile_declared(declared, 1).snapshot)
    if options.helm_values:
        nowhere: list[str] = []

        def resolve(host: str) -> list[str]:
            addresses = addresses_of(host)
            if not addresses:
                nowhere.append(host)
            return addresses

        values = helm_values(places, resolve if options.resolve else None)
        print(msgspec.json.format(msgspec.json.encode(values), indent=2).decode())
        if not options.resolve and any("." in place.host for place in places):
            print("Names need --resolve, or a policy that knows names.", file=sys.stderr)
        if nowhere:
            print(f"Closed, for they have no address now: {', '.join(sorted(set(nowhere)))}", file=sys.stderr)
        return 1 if nowhere else 0
    for place in places:
        if options.json:
            print(msgspec.json.encode(place).decode())
        else:
            print(f"{place.host}:{place.port}  ({', '.join(place.why)})")
    return 0
