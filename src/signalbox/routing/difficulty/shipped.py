"""The head that ships with signalbox, fitted by scripts/train_router.py on permissively licensed data."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from signalbox.core.tiering import Head, read_head
from signalbox.routing.difficulty.scorer import Scorer

SHIPPED = Path(__file__).with_name("shipped.head")


@cache
def shipped() -> Head:
    """Read when it is first needed: most installations never do."""
    return read_head(SHIPPED.read_bytes())


@cache
def shipped_scorer() -> Scorer:
    """One for all workloads."""
    return Scorer(shipped())
