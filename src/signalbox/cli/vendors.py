"""`signalbox vendors list`: what is on file about each operator, and how long it still counts."""

from __future__ import annotations

import argparse
from datetime import date

import msgspec

from signalbox.bootstrap.clock import today
from signalbox.cli.options import add_config, add_json, needed_config
from signalbox.config.load import load
from signalbox.policy.register import Operator, Register


def arguments(parser: argparse.ArgumentParser) -> None:
    verbs = parser.add_subparsers(dest="what", metavar="list", required=True)
    listed = verbs.add_parser("list", help="every operator of an environment, with what it attests and until when")
    add_config(listed)
    add_json(listed)


def run(options: argparse.Namespace) -> int:
    """0, or 2 when there is no configuration; expired entries are `signalbox check`'s to judge."""
    path = needed_config(options.config)
    now = date.fromisoformat(today())
    for operator in Register(load(path).config).operators():
        if options.json:
            print(msgspec.json.encode(_shown(operator, now)).decode())
        else:
            _print(operator, now)
    return 0


def _shown(operator: Operator, now: date) -> dict[str, object]:
    vendor = operator.vendor
    return {
        "vendor": operator.name,
        "registered": vendor is not None,
        "owner": vendor.owner if vendor else None,
        "environments": list(operator.environments),
        "subprocessors": vendor.subprocessors if vendor else [],
        "regions": vendor.regions if vendor else [],
        "retention_days": vendor.retention_days if vendor else None,
        "trains_on_data": vendor.trains_on_data if vendor else None,
        "attests": [
            {
                "name": entry.name,
                "stated_by": entry.holder,
                "until": entry.until,
                "days_left": entry.days_left(now),
                "state": entry.state(now),
                "evidence": entry.evidence,
                "owner": entry.owner,
                "covers": list(entry.covers),
                "environments": list(entry.environments),
            }
            for entry in operator.entries
        ],
    }


def _print(operator: Operator, now: date) -> None:
    places = ", ".join(operator.environments) or "no environment"
    print(f"{operator.name} ({places}){'' if operator.vendor else ', not in the register'}")
    for entry in operator.entries:
        left = entry.days_left(now)
        when = "no end" if left is None else f"{left} {'day' if left == 1 else 'days'} left" if left >= 0 else "expired"
        until = f" until {entry.until}" if entry.until else ""
        owner = f", owner {entry.owner}" if entry.owner else ""
        print(f"  {entry.name}{until} ({when}{owner}), stated by {entry.holder}")
