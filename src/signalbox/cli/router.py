"""`signalbox router`: learns which questions need a strong model, says what that is worth, and explains one question.

`router fit ROWS`, `router fit-answers ROWS` and `router eval ROWS` need numpy and SciPy, `router explain` does not;
each is loaded when asked for.
"""

from __future__ import annotations

import argparse
import importlib
import sys

# Word -> module with `arguments(parser)` and `run(options)`.
WORDS = {"fit": "router_fit", "fit-answers": "router_answers", "eval": "router_eval", "explain": "router_explain"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", choices=tuple(WORDS), help="`signalbox router WORD --help` tells more")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="…")


def run(options: argparse.Namespace) -> int:
    try:
        verb = importlib.import_module(f"signalbox.cli.{WORDS[options.word]}")
    except ModuleNotFoundError as missing:
        if missing.name not in ("numpy", "scipy"):
            raise
        print(f"This needs {missing.name}. Install it with: pip install 'signalbox[plan]'", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(
        prog=f"signalbox router {options.word}", description=(verb.__doc__ or "").split("\n")[0]
    )
    verb.arguments(parser)
    return int(verb.run(parser.parse_args(options.rest)))
