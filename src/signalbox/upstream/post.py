"""POSTs to addresses that the operator names for telling, never for asking: collectors and webhooks, not models.

Of the answer only its status is believed.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from signalbox.core.snapshot import Origin
from signalbox.upstream.ask import Asker

RETRY_AFTER_S_MAX = 300.0


class Posted(msgspec.Struct, frozen=True):
    """The answer. retry_after_s: how long it asks to wait, None when it does not."""

    status: int
    retry_after_s: float | None


class Poster:
    """Posts to one address. Each POST has a connection of its own: they are few and far between."""

    def __init__(self, origin: Origin, path: str = "", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """path: behind the origin's own. Raises ValueError, which repeats no value, for what cannot stand in a
        request."""
        self._asker = Asker(origin, path, headers)

    async def post(self, body: bytes, headers: Iterable[tuple[bytes, bytes]], within_s: float) -> Posted:
        """Raises UpstreamFault when there is no answer in time."""
        heard = await self._asker.post(body, headers, within_s)
        return Posted(heard.status, _retry_after(heard.headers))

    def close(self) -> None:
        self._asker.close()


def _retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    for name, value in headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 9:
            return min(float(value), RETRY_AFTER_S_MAX)
    return None
