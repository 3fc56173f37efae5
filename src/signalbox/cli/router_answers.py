"""`signalbox router fit-answers`: a scorer of a weak model's answers, for `workloads.NAME.cascade.scorer`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from signalbox.cli.encoders import add_encoder, encoder_of
from signalbox.cli.options import add_json, write
from signalbox.core.choosing import write_scorer
from signalbox.routing.answer_rows import learn, read
from signalbox.routing.difficulty.bounds import ROWS_MIN, safe_score


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, help="JSON lines: prompt, answer, good, and what the call demanded")
    parser.add_argument("--out", type=Path, required=True, help="where the scorer is written")
    parser.add_argument("--loss-share-max", type=float, default=0.05, help="to say what it would allow (%(default)s)")
    parser.add_argument("--confidence", type=float, default=0.9, help="of that (%(default)s)")
    add_encoder(parser, "also compare questions by meaning")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if not (0 < options.loss_share_max < 1 and 0.5 <= options.confidence < 1):
        print("--loss-share-max lies between 0 and 1, --confidence from 0.5 to below 1.", file=sys.stderr)
        return 2
    try:
        with options.rows.open("rb") as lines:
            scorer = learn(read(lines), encoder_of(options.encoder))
    except OSError as error:
        print(f"{options.rows}: cannot be read: {error.strerror}.", file=sys.stderr)
        return 2
    except ValueError as error:
        print(f"{options.rows}: {error}", file=sys.stderr)
        return 2
    write(options.out, write_scorer(scorer))
    doubt = safe_score(scorer.judged, 0, options.loss_share_max, 1 - options.confidence)
    kept = sum(one.score <= doubt for one in scorer.judged) / len(scorer.judged) if doubt is not None else 0.0
    told = {"scorer": scorer.id, "out": str(options.out), "made": scorer.made, "kept": kept}
    told |= {"threshold": None if doubt is None else 1.0 - doubt}
    if options.json:
        print(msgspec.json.encode(told).decode())
        return 0
    print(f"{options.out}: scorer {scorer.id}, area under its curve {scorer.made['auc']:.3f}")
    if len(scorer.judged) < ROWS_MIN:
        print(f"Only {len(scorer.judged)} rows prove thresholds: below {ROWS_MIN}, every answer is asked for again.")
    print(f"With loss_share_max {options.loss_share_max:g}, {kept:.0%} of weak answers may be kept.")
    return 0
