"""`signalbox _ship`: the process that moves journals into the store, started by the supervisor and by nobody else."""

from __future__ import annotations

import argparse

from signalbox.bootstrap.shipper import run_shipper


def arguments(parser: argparse.ArgumentParser) -> None:
    """None: what it needs comes on its standard input."""


def run(options: argparse.Namespace) -> int:
    return run_shipper()
