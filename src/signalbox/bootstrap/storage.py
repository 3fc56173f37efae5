"""The one place that opens the database of an installation."""

from __future__ import annotations

from signalbox import store as stores
from signalbox.control.state import StateDir
from signalbox.core.ports import Store
from signalbox.core.secret import Secret


def open_store(state: StateDir, url: Secret | None = None) -> Store:
    """The database of an installation: the one that its configuration names, or a file in its state directory."""
    return stores.open_store(url.reveal() if url is not None else f"sqlite:{state.database}")
