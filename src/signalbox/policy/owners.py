"""Whose the ids are under which providers keep things: answers that can be gone on with, and the items in them.

All tenants of an installation share a provider's account, so the provider would show anyone what any of them left
there. While keys of more than one tenant exist, an id may only be named by the tenant that it was made for; to anyone
else, and for ids that this installation has not seen made, it does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from signalbox.core.call import Call
from signalbox.core.errors import NotFound, Overloaded
from signalbox.core.labels import NONE
from signalbox.policy.sticky import Conversations

# As long as the provider that keeps them longest without being asked to does (OpenAI, thirty days).
LIFETIME_S = 30 * 86_400
# Items of one answer beyond which the rest cannot be named again.
IDS_MAX = 256
# An id of a document; in a text that a model wrote, the quotation marks would be escaped.
_ID = re.compile(rb'"id"\s*:\s*"([a-z]{2,16}_[A-Za-z0-9_-]{4,200})"')


class Owners:
    """The ids of one installation, in a file that all its processes share. shared: keys of several tenants exist."""

    def __init__(self, path: Path, key: bytes, time_ms: Callable[[], int]) -> None:
        self._path = path
        self._key = key
        self._time_ms = time_ms
        self._table: Conversations | None = None
        self.shared = False

    def check(self, call: Call) -> None:
        """Raises NotFound for an id that is not the tenant's, and Overloaded when that cannot be told."""
        if not self.shared or call.snapshot.share_provider_state:
            return
        table, now_s = self._opened(), self._time_ms() // 1000
        tenant = call.principal.tenant.encode()
        for name in call.envelope.stateful:
            if table.recall(table.identity(b"state", tenant, name.encode("utf-8", "replace")), now_s) is None:
                raise NotFound(f"There is no {name[:128]!r}.", code="provider_state_not_found")

    def keep(self, call: Call, *parts: bytes) -> None:
        """Remembers what an answer of `call` was named, and what is in it. parts: the beginning and the end of it."""
        table, now_s = self._opened(), self._time_ms() // 1000
        tenant = call.principal.tenant.encode()
        for name in list(dict.fromkeys(name for part in parts for name in _ID.findall(part)))[:IDS_MAX]:
            try:
                table.keep(table.identity(b"state", tenant, name), NONE, now_s)
            except Overloaded:
                return  # who cannot be remembered as its owner cannot go on with it, which is safe

    def close(self) -> None:
        if self._table is not None:
            self._table.close()

    def _opened(self) -> Conversations:
        if self._table is None:
            self._table = Conversations(self._path, self._key, lifetime_s=LIFETIME_S)
        return self._table
