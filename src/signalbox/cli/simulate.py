"""`signalbox simulate`: the built-in providers on a port of their own."""

from __future__ import annotations

import argparse

from signalbox.simulator.main import add_arguments, serve


def arguments(parser: argparse.ArgumentParser) -> None:
    add_arguments(parser)


def run(options: argparse.Namespace) -> int:
    return serve(options)
