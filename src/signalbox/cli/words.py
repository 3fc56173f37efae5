"""Verbs made of words, such as `signalbox plan init`: each word is a module of its own, loaded when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

# What the extra `plan` brings; a word that needs it says so instead of failing.
_EXTRA = ("numpy", "scipy", "highspy")


def run_word(prog: str, module: str, rest: Sequence[str]) -> int:
    """Runs `signalbox.cli.<module>`, which has `arguments(parser)` and `run(options)`, on what follows the word.

    prog: the command so far, for its help."""
    try:
        verb = importlib.import_module(f"signalbox.cli.{module}")
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        print(f"This needs {missing.name}. Install it with: pip install 'signalbox[plan]'", file=sys.stderr)
        return 2
    parser = argparse.ArgumentParser(prog=prog, description=(verb.__doc__ or "").split("\n")[0])
    verb.arguments(parser)
    return int(verb.run(parser.parse_args(rest)))
