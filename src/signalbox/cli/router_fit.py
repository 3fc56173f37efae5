"""`signalbox router fit`: a head for one workload from labelled rows, for `workloads.NAME.tiered.head`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from signalbox.cli.encoders import add_encoder, encoder_of
from signalbox.cli.options import add_json, add_state_dir, write
from signalbox.control.state import StateDir
from signalbox.core.errors import ConfigError
from signalbox.core.tiering import write_head
from signalbox.embedding.encoder import Encoder
from signalbox.routing.difficulty.bounds import ROWS_MIN, safe_score
from signalbox.routing.difficulty.fit import fit_head
from signalbox.routing.difficulty.labels import LabelBook
from signalbox.routing.difficulty.rows import Labelled, encoded, read
from signalbox.routing.difficulty.scorer import rank_of
from signalbox.routing.difficulty.shipped import shipped


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rows", type=Path, nargs="?", help="JSON lines: prompt or request, and outcomes by deployment")
    parser.add_argument(
        "--from-ledger", action="store_true", help="learn from what the shadow slice of a workload has labelled"
    )
    parser.add_argument("--workload", help="with --from-ledger: which one")
    add_state_dir(parser)
    parser.add_argument("--out", type=Path, required=True, help="where the head is written")
    parser.add_argument(
        "--tiers", default="", help="deployments from the cheapest to the strongest, with commas; as in the first row"
    )
    parser.add_argument("--loss-share-max", type=float, default=0.05, help="to say what it would allow (%(default)s)")
    parser.add_argument("--confidence", type=float, default=0.9, help="of that (%(default)s)")
    parser.add_argument("--alone", action="store_true", help="do not consider the head that ships with signalbox")
    add_encoder(parser, "also compare questions by meaning, as far as that helps on rows left out")
    add_json(parser)


def _labelled(
    options: argparse.Namespace, named: tuple[str, ...], encoder: Encoder | None
) -> tuple[tuple[str, ...], list[Labelled]]:
    """What the shadow slice of a workload has labelled. Raises ConfigError when that is nothing."""
    state = StateDir(options.state_dir)
    book = LabelBook(state.labels, state.pepper())
    pairs = book.pairs(options.workload)
    pair = next((pair for pair in pairs if not named or pair == named), None)
    if pair is None:
        known = "; ".join(f"{weak},{strong}: {count} rows" for (weak, strong), count in pairs.items())
        raise ConfigError([f"workload {options.workload!r} has no labels of such a pair ({known or 'none at all'})."])
    rows = book.read(options.workload, pair, encoder.id if encoder is not None else "")
    if not rows and encoder is not None:
        raise ConfigError(
            [f"no labels of workload {options.workload!r} hold vectors of {encoder.id}: set `tiered.encoder` there."]
        )
    return pair, rows


def _read(
    options: argparse.Namespace, named: tuple[str, ...], encoder: Encoder | None
) -> tuple[tuple[str, ...], list[Labelled]]:
    tiers, rows = read(options.rows, named)
    return tiers, rows if encoder is None else encoded(rows, encoder)


def run(options: argparse.Namespace) -> int:
    if not (0 < options.loss_share_max < 1 and 0.5 <= options.confidence < 1):
        print("--loss-share-max lies between 0 and 1, --confidence from 0.5 to below 1.", file=sys.stderr)
        return 2
    if (options.rows is None) != options.from_ledger or bool(options.workload) != options.from_ledger:
        print("Give a file of rows, or --from-ledger with --workload.", file=sys.stderr)
        return 2
    named = tuple(name for name in options.tiers.split(",") if name)
    encoder = encoder_of(options.encoder)
    tiers, rows = (_labelled if options.from_ledger else _read)(options, named, encoder)
    whence = options.rows or f"{options.state_dir}, workload {options.workload}"
    try:
        head = fit_head(tiers, rows, None if options.alone else shipped(), encoder.id if encoder is not None else "")
    except ValueError as error:
        print(f"{whence}: nothing can be learnt from {error}.", file=sys.stderr)
        return 2
    write(options.out, write_head(head))
    delta = (1 - options.confidence) / (len(tiers) - 1)
    kept: dict[str, float] = {}
    for place, tier in enumerate(tiers[:-1]):
        score = safe_score(head.judged, place, options.loss_share_max, delta)
        kept[tier] = 0.0 if score is None else round(rank_of(score, head.ranks), 4)
    told = {
        "head": head.id,
        "out": str(options.out),
        "tiers": tiers,
        "rows": head.rows,
        "made": head.made,
        "kept": kept,
        "encoder": head.near.encoder if head.near is not None else "",
    }
    if options.json:
        print(msgspec.json.encode(told).decode())
        return 0
    print(f"{options.out}: head {head.id} for {' < '.join(tiers)} from {head.rows} rows")
    for name, value in head.made.items():
        print(f"  {name:<14} {value:.3f}")
    if head.near is not None:
        print("It compares questions by meaning: the workload needs `encoder: true`.")
    elif encoder is not None:
        print("Comparing questions by meaning adds nothing here: the workload needs no encoder.")
    if len(head.judged) < ROWS_MIN:
        print(f"Only {len(head.judged)} rows prove thresholds: below {ROWS_MIN}, a bound lets nothing stay cheap.")
    for tier, share in kept.items():
        print(f"With loss_share_max {options.loss_share_max:g}, about {share:.0%} of calls may stay at {tier}.")
    return 0
