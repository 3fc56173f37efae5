"""`signalbox plan`: where each workload should run, at what cost, why, and at ten times the volume.

`plan FILE`, `plan --from-ledger 30d`, and what belongs to it: `plan init`, `plan audit CLAIMS`, `plan check PLAN`. Each
is a module of its own, loaded when it is asked for: the economics need numpy and SciPy, the rest does not.
"""

from __future__ import annotations

import argparse

from signalbox.cli.words import run_word

# Word -> module with `arguments(parser)` and `run(options)`.
WORDS = {"init": "plan_init", "audit": "plan_audit", "check": "plan_check"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "rest",
        nargs=argparse.REMAINDER,
        metavar="WORKLOADS.yaml | init | audit CLAIMS.yaml | check PLAN.json",
        help="a workload file, or one of the words; `signalbox plan WORD --help` tells more",
    )
    parser.usage = "signalbox plan [WORKLOADS.yaml | init | audit | check] …"
    parser.prefix_chars = "\0"


def run(options: argparse.Namespace) -> int:
    rest: list[str] = list(options.rest)
    word = rest[0] if rest and rest[0] in WORDS else ""
    module = WORDS[word] if word else "plan_run"
    return run_word(f"signalbox plan {word}".strip(), module, rest[1:] if word else rest)
