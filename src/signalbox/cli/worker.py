"""`signalbox _worker`: a data-plane process, started by the supervisor and by nobody else."""

from __future__ import annotations

import argparse
from pathlib import Path

from signalbox.bootstrap.worker import run_worker


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--listen-fd", type=int, required=True)
    parser.add_argument("--link-fd", type=int, required=True)
    parser.add_argument("--metrics-fd", type=int, required=True)
    parser.add_argument("--spans-fd", type=int, required=True)
    parser.add_argument("--state-dir", type=Path, required=True)


def run(options: argparse.Namespace) -> int:
    return run_worker(options.listen_fd, options.link_fd, options.metrics_fd, options.spans_fd, options.state_dir)
