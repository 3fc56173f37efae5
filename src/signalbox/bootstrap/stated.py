"""Which database a configuration file names, for commands that need nothing else of it."""

from __future__ import annotations

from pathlib import Path

from signalbox.config.load import read_bytes, store_of
from signalbox.core.secret import Secret


def stated_store(config: Path | None) -> Secret | None:
    """None where there is no file, or it names none. Raises ConfigError."""
    return store_of(read_bytes(config), str(config)) if config is not None else None
