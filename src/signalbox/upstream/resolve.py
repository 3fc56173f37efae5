"""Names to addresses, off the event loop, with a small cache that follows changes and survives a broken resolver."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable

from signalbox.core.errors import forget_frames
from signalbox.upstream import address

TTL_S = 30.0
# A resolver that fails or dawdles is answered from the last good result for this long.
LAST_GOOD_S = 600.0
REFRESH_WAIT_S = 1.0
NAMES_MAX = 1024

Lookup = Callable[[str], Awaitable[list[str]]]


class ResolveError(OSError):
    """The name has no address, and had none lately."""


class Resolver:
    """Resolves host names for one event loop. lookup: name to addresses, raising OSError; the system's by default."""

    __slots__ = ("_known", "_lookup", "_pending", "_ttl_s")

    def __init__(self, lookup: Lookup | None = None, *, ttl_s: float = TTL_S) -> None:
        self._lookup = lookup or system_lookup
        self._ttl_s = ttl_s
        # name -> (addresses, monotonic second of the lookup), in order of lookup.
        self._known: dict[str, tuple[list[str], float]] = {}
        self._pending: dict[str, asyncio.Task[list[str]]] = {}

    async def resolve(self, host: str) -> list[str]:
        """Addresses in the order to try them, families interleaved. Raises ResolveError."""
        fixed = address.literal(host)
        if fixed is not None:
            return [fixed]
        known = self._known.get(host)
        now = time.monotonic()
        if known is not None and now - known[1] < self._ttl_s:
            return known[0]
        usable = known is not None and now - known[1] < LAST_GOOD_S
        lookup = asyncio.shield(self._shared_lookup(host))
        try:
            return await (asyncio.wait_for(lookup, REFRESH_WAIT_S) if usable else lookup)
        except OSError as failure:
            forget_frames(failure)
            if usable and known is not None:
                return known[0]
            raise ResolveError("the name does not resolve") from None

    def close(self) -> None:
        for task in self._pending.values():
            task.cancel()

    def _shared_lookup(self, host: str) -> asyncio.Task[list[str]]:
        """One lookup a name at a time, however many wait for it and whoever of them is cancelled."""
        task = self._pending.get(host)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._look_up(host))
            self._pending[host] = task
            task.add_done_callback(lambda done: self._forget_pending(host, done))
        return task

    def _forget_pending(self, host: str, task: asyncio.Task[list[str]]) -> None:
        del self._pending[host]
        if not task.cancelled():
            task.exception()  # marks it as seen: those who waited for it may all be gone

    async def _look_up(self, host: str) -> list[str]:
        found = _interleave(await self._lookup(host))
        if not found:
            raise ResolveError("the name has no address")
        self._known.pop(host, None)
        self._known[host] = (found, time.monotonic())
        while len(self._known) > NAMES_MAX:
            del self._known[next(iter(self._known))]
        return found


async def system_lookup(host: str) -> list[str]:
    loop = asyncio.get_running_loop()
    if host.lower() == "localhost.":
        host = "localhost"  # not every system's resolver knows it in this form
    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _interleave(addresses: list[str]) -> list[str]:
    """Alternates families, starting with the one the resolver prefers, so that a dead family costs one attempt."""
    if not addresses:
        return []
    first_is_v6 = ":" in addresses[0]
    first = [a for a in addresses if (":" in a) == first_is_v6]
    second = [a for a in addresses if (":" in a) != first_is_v6]
    mixed: list[str] = []
    for i in range(max(len(first), len(second))):
        mixed.extend(first[i : i + 1])
        mixed.extend(second[i : i + 1])
    return mixed
