"""`signalbox schema`: the JSON Schema of signalbox.yaml, for editors and for other programs."""

from __future__ import annotations

import argparse

import msgspec

from signalbox.config.reference import json_schema


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as one line")


def run(options: argparse.Namespace) -> int:
    text = msgspec.json.encode(json_schema())
    print((text if options.json else msgspec.json.format(text, indent=2)).decode())
    return 0
