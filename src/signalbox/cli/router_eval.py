"""`signalbox router eval`: what a head is worth on labelled rows that it was not fitted on."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec
import numpy as np

from signalbox.cli.encoders import add_encoder, encoder_of, refuse_other
from signalbox.cli.options import add_json
from signalbox.core.errors import ConfigError
from signalbox.core.tiering import Head, read_head
from signalbox.routing.difficulty.measure import Floats, apgr, cpt, strong_share_at
from signalbox.routing.difficulty.rows import encoded, read
from signalbox.routing.difficulty.scorer import Scorer
from signalbox.routing.difficulty.shipped import shipped

BOOTSTRAPS = 500


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, help="JSON lines as for `fit`")
    parser.add_argument("--head", type=Path, help="a head that `fit` wrote (default: the one that ships)")
    parser.add_argument("--tiers", default="", help="deployments from the cheapest to the strongest, with commas")
    parser.add_argument("--all", action="store_true", help="also rows of the split that `fit` fits on")
    add_encoder(parser, "what the head compares questions by")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    head = _head(options.head)
    named = tuple(name for name in options.tiers.split(",") if name) or head.tiers
    tiers, rows = read(options.rows, named)
    if not options.all:
        rows = [row for row in rows if row.cal]
    weak = np.array([row.outcomes[0] for row in rows])
    strong = np.array([row.outcomes[-1] for row in rows])
    if not rows or strong.sum() <= weak.sum():
        print(f"{options.rows}: {tiers[-1]} is no better than {tiers[0]} on these {len(rows)} rows.", file=sys.stderr)
        return 1
    scorer = Scorer(head)
    encoder = encoder_of(options.encoder)
    refuse_other(head, encoder)
    if encoder is not None:
        rows = encoded(rows, encoder)
    score = np.array([scorer.score(row.features()) for row in rows])
    length = np.array([float(len(row.asked.text)) for row in rows])
    low, high = _interval(score, weak, strong)
    told = {
        "head": head.id,
        "tiers": tiers,
        "rows": len(rows),
        "quality_weak": round(float(weak.mean()), 4),
        "quality_strong": round(float(strong.mean()), 4),
        "apgr": round(apgr(score, weak, strong), 4),
        "apgr_low": round(low, 4),
        "apgr_high": round(high, 4),
        "apgr_length": round(apgr(length, weak, strong), 4),
        "cpt50": round(cpt(score, weak, strong, 0.5), 2),
        "cpt80": round(cpt(score, weak, strong, 0.8), 2),
        "strong_share_at_95": round(strong_share_at(score, weak, strong, 0.95), 4),
    }
    if options.json:
        print(msgspec.json.encode(told).decode())
        return 0
    for name, value in told.items():
        print(f"{name:<18} {' < '.join(value) if isinstance(value, tuple) else value}")
    return 0


def _head(path: Path | None) -> Head:
    if path is None:
        return shipped()
    try:
        return read_head(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"{path}: cannot be used: {reason}."]) from None


def _interval(score: Floats, weak: Floats, strong: Floats) -> tuple[float, float]:
    chance = np.random.default_rng(7)
    drawn = [chance.integers(0, len(score), len(score)) for _ in range(BOOTSTRAPS)]
    low, high = np.nanquantile([apgr(score[at], weak[at], strong[at]) for at in drawn], (0.025, 0.975))
    return float(low), float(high)
