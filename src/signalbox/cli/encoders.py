"""The option that names an encoder of questions, for the words of `signalbox router`."""

from __future__ import annotations

import argparse
from pathlib import Path

from signalbox.core.errors import ConfigError
from signalbox.core.tiering import Head
from signalbox.embedding.encoder import Encoder, built_in

SPELLING = "spelling"


def add_encoder(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument(
        "--encoder",
        metavar="FOLDER",
        help=f"{purpose}: what scripts/build_encoder.py wrote, or `{SPELLING}` for the encoder without weights",
    )


def encoder_of(named: str | None) -> Encoder | None:
    """Raises ConfigError when it cannot be had."""
    return None if named is None else built_in(None if named == SPELLING else Path(named))


def refuse_other(head: Head, encoder: Encoder | None) -> None:
    """Raises ConfigError when a head compares questions by another encoder than this one."""
    if head.near is not None and (encoder is None or encoder.id != head.near.encoder):
        raise ConfigError([f"this head compares questions by {head.near.encoder}: name its folder with --encoder."])
