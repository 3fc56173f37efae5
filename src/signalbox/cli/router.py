"""`signalbox router`: learns which questions need a strong model, says what that is worth, and explains one question.

`router fit ROWS`, `router fit-answers ROWS` and `router eval ROWS` need numpy and SciPy, `router explain` does not;
each is loaded when asked for.
"""

from __future__ import annotations

import argparse

from signalbox.cli.words import run_word

# Word -> module with `arguments(parser)` and `run(options)`.
WORDS = {"fit": "router_fit", "fit-answers": "router_answers", "eval": "router_eval", "explain": "router_explain"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", choices=tuple(WORDS), help="`signalbox router WORD --help` tells more")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…")


def run(options: argparse.Namespace) -> int:
    return run_word(f"signalbox router {options.word}", WORDS[options.word], options.rest)
