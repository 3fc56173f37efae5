"""`signalbox router explain`: how hard a question looks to a head, and which features say so."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from signalbox.cli.encoders import add_encoder, encoder_of, refuse_other
from signalbox.cli.options import add_json
from signalbox.core.errors import ConfigError
from signalbox.core.tiering import read_head
from signalbox.routing.difficulty.features import Asked, features
from signalbox.routing.difficulty.scorer import Scorer, rank_of
from signalbox.routing.difficulty.shipped import shipped

PUSHES_MAX = 12
TEXT_BYTES_MAX = 8 * 1024 * 1024


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--head", type=Path, help="a head that `fit` wrote (default: the one that ships)")
    add_encoder(parser, "what the head compares questions by")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Reads the question, as plain text, from standard input."""
    head = shipped()
    try:
        if options.head is not None:
            head = read_head(options.head.read_bytes())
        scorer = Scorer(head)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"{options.head}: cannot be used: {reason}."]) from None
    text = sys.stdin.buffer.read(TEXT_BYTES_MAX).decode("utf-8", "replace")
    encoder = encoder_of(options.encoder)
    refuse_other(head, encoder)
    found = features(Asked(text))
    if encoder is not None:
        found = msgspec.structs.replace(found, vector=encoder.encode(found.text))
    score = scorer.score(found)
    pushes = scorer.contributions(found)[:PUSHES_MAX]
    told = {
        "head": head.id,
        "score": round(score, 4),
        "difficulty": round(rank_of(score, head.ranks), 4),
        "pushes": [{"feature": name, "by": round(amount, 4)} for name, amount in pushes],
    }
    if options.json:
        print(msgspec.json.encode(told).decode())
        return 0
    print(f"difficulty {told['difficulty']} (score {told['score']}, head {told['head']})")
    for name, amount in pushes:
        print(f"  {amount:+.4f}  {name}")
    return 0
