"""Which database an installation has, and the one place that opens it."""

from __future__ import annotations

from pathlib import Path

from signalbox import store as stores
from signalbox.config.load import read_bytes, store_of
from signalbox.control.state import StateDir
from signalbox.core.ports import Store
from signalbox.core.secret import Secret


def open_store(state: StateDir, url: Secret | None = None) -> Store:
    """The database of an installation: the one that its configuration names, or a file in its state directory."""
    return stores.open_store(url.reveal() if url is not None else f"sqlite:{state.database}")


def stated_store(config: Path | None) -> Secret | None:
    """The database that a configuration file names. Raises ConfigError."""
    return store_of(read_bytes(config), str(config)) if config is not None else None
