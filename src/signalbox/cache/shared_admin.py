"""What operators ask of a shared cache server: to end what has a tag, and what it holds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from signalbox.cache.shared import FRESH_S
from signalbox.cache.shared_log import Log, ending
from signalbox.cache.shared_server import CONNECT_S, reach
from signalbox.cache.shelf import EVERYTHING
from signalbox.core.caching import SharedCache


class Held(msgspec.Struct, frozen=True):
    """What the server holds of this installation. bytes: of all entries."""

    entries: int
    bytes: int


async def invalidate(at: SharedCache, secret: bytes, tags: Sequence[str]) -> None:
    """Ends every entry that has one of these tags; EVERYTHING stands for all. When it returns, no process of any
    machine gives one any more. Raises StoreError when that cannot be said."""
    connection, run = await reach(at)
    try:
        log = Log(secret)
        log.name(run)
        await connection.run(ending(log, () if EVERYTHING in tags else tags), within_s=CONNECT_S)
    finally:
        connection.close()
    # Until then processes may go by what they read before.
    await asyncio.sleep(FRESH_S)


async def held(at: SharedCache, secret: bytes) -> Held:
    """Raises StoreError when the server does not tell."""
    connection, run = await reach(at)
    try:
        log = Log(secret)
        log.name(run)
        told = await connection.run(("ZCARD", log.index), ("ZSCORE", log.index, "="), within_s=CONNECT_S)
    finally:
        connection.close()
    total = int(-float(told[1])) if told[1] is not None else 0
    return Held(max(0, told[0] - 1), max(0, total))
