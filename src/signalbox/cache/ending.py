"""Ends kept answers wherever they lie: in the file of this machine, and on the server that all machines share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from signalbox.cache import shared_admin, shelf
from signalbox.core.caching import SharedCache


def end(path: Path, secret: bytes, tags: Sequence[str], now_ms: int, at: SharedCache | None) -> int:
    """Ends every entry that has one of these tags; returns how many were in the file. When it returns, no process of
    this machine gives one any more, and with a server none of any machine. Raises StoreError when that cannot be said.
    Takes a while: not for an event loop."""
    gone = shelf.invalidate(path, secret, tags, now_ms)
    if at is not None:
        asyncio.run(shared_admin.invalidate(at, secret, tags))
    return gone


def held(at: SharedCache, secret: bytes) -> shared_admin.Held:
    """What the server holds. Raises StoreError when it does not tell. Not for an event loop."""
    return asyncio.run(shared_admin.held(at, secret))
