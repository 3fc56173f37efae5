"""`signalbox schema`: the JSON Schema of signalbox.yaml or of a workload file, for editors and other programs."""

from __future__ import annotations

import argparse

import msgspec

from signalbox.config.reference import json_schema
from signalbox.planner.reading import plan_json_schema


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--plan", action="store_true", help="of the workload file of `signalbox plan` instead")
    parser.add_argument("--json", action="store_true", help="as one line")


def run(options: argparse.Namespace) -> int:
    text = msgspec.json.encode(plan_json_schema() if options.plan else json_schema())
    print((text if options.json else msgspec.json.format(text, indent=2)).decode())
    return 0
