"""What every encoder offers, and which one an installation has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from signalbox.embedding.hashed import HashedEncoder
from signalbox.embedding.sentence import SentenceEncoder


class Encoder(Protocol):
    """Turns a text into a vector of unit length, a numpy array of float32. id: names model and quantisation: vectors
    and thresholds of one say nothing about another's. Used from one thread at a time."""

    @property
    def id(self) -> str: ...

    @property
    def dimensions(self) -> int: ...

    def encode(self, text: str) -> Any: ...


def built_in(folder: Path | None) -> Encoder:
    """The encoder in a folder that scripts/build_encoder.py wrote, or the one without weights. Raises ConfigError."""
    return HashedEncoder() if folder is None else SentenceEncoder(folder)
