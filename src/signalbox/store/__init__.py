"""The databases behind the gateway, all behind the port `core.ports.Store`, and the one place that lists them."""

from __future__ import annotations

from collections.abc import Callable

from signalbox.core.ports import Store
from signalbox.store.postgres import PostgresStore
from signalbox.store.sqlite import SqliteStore

# URL scheme -> constructor. A URL is `<scheme>:<rest>`; the rest is the constructor's own matter.
STORES: dict[str, Callable[[str], Store]] = {
    "sqlite": SqliteStore.open_url,
    "postgresql": PostgresStore.open_url,
}


def open_store(url: str) -> Store:
    """The store at a URL such as `sqlite:/var/lib/signalbox/signalbox.db` or `postgresql://…`, migrated to this
    version. Raises StoreError, and ValueError for a scheme that is not in STORES."""
    scheme, colon, _ = url.partition(":")
    if not colon or scheme not in STORES:
        raise ValueError(f"no store for {scheme!r}; known: {', '.join(sorted(STORES))}")
    return STORES[scheme](url)
