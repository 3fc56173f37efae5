"""`signalbox _export`: the process that sends traces and metrics, started by the supervisor and by nobody else."""

from __future__ import annotations

import argparse

from signalbox.bootstrap.exporting import run_exporter


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--spans-fd", type=int, required=True)


def run(options: argparse.Namespace) -> int:
    return run_exporter(options.spans_fd)
