"""Recomputes somebody's cost table from its own inputs and flags what does not hold.

0 when every claim holds, 1 when one does not, 2 when the file cannot be read.
"""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import msgspec

from signalbox.bootstrap.clock import today
from signalbox.cli.options import add_json
from signalbox.config.load import read_bytes
from signalbox.planner.claims import audit, read_claims
from signalbox.pricing.catalogue import rates


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claims", type=Path, help="the file of claims; examples/plan/claims.yaml is one")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    file = read_claims(read_bytes(options.claims), str(options.claims))
    day = date.fromisoformat(today())
    found = audit(file, lambda provider, model: rates(provider, model, day))
    for each in found:
        if options.json:
            print(msgspec.json.encode(each).decode())
            continue
        print(f"{' ' if each.holds else '!'} {each.sentence()}")
        for note in each.notes:
            print(f"      {note}")
    wrong = sum(not each.holds for each in found)
    if not options.json:
        print(f"{file.name}: {len(found)} claims, {wrong} do not hold")
    return 1 if wrong else 0
