"""What is loaded when it is asked for: the words of verbs such as `signalbox plan init`, each a module of its own, and
what needs the extra `plan`."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from signalbox.config.load import read_bytes
from signalbox.core.errors import ConfigError

if TYPE_CHECKING:
    from signalbox.planner.plan import Plan

# What the extra `plan` brings; a word that needs it says so instead of failing.
_EXTRA = ("numpy", "scipy", "highspy")


def run_word(prog: str, module: str, rest: Sequence[str]) -> int:
    """Runs `signalbox.cli.<module>`, which has `arguments(parser)` and `run(options)`, on what follows the word.

    prog: the command so far, for its help."""
    verb = with_extra(f"signalbox.cli.{module}")
    parser = argparse.ArgumentParser(prog=prog, description=(verb.__doc__ or "").split("\n")[0])
    verb.arguments(parser)
    return int(verb.run(parser.parse_args(rest)))


def with_extra(module: str) -> ModuleType:
    """A module that needs what the extra `plan` brings. Raises ConfigError that says so where it is not installed."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if missing.name not in _EXTRA:
            raise
        raise ConfigError([f"This needs {missing.name}. Install it with: pip install 'signalbox[plan]'"]) from None


def read_plan(path: Path) -> Plan:
    """What `signalbox plan` wrote. Raises ConfigError for another file, and where the extra is not installed."""
    plans = with_extra("signalbox.planner.plan")
    try:
        return plans.decode(read_bytes(path))
    except ValueError as error:
        raise ConfigError([f"{path}: not a plan: {error}. Make one with `signalbox plan`."]) from None
