"""Bodies that broke whatever they were sent to: kept away from the rest for a while."""

from __future__ import annotations

from hashlib import blake2b

HELD_NS = 60_000_000_000
BODIES_MAX = 1024
# Of long bodies the two ends are hashed, so that a digest costs the same for all of them.
END_BYTES = 32 * 1024


def digest(tenant: str, api: str, body: bytes) -> bytes:
    """What stands for a body of one tenant."""
    found = blake2b(f"{tenant}\0{api}\0{len(body)}\0".encode(), digest_size=16)
    found.update(body[:END_BYTES])
    if len(body) > END_BYTES:
        found.update(body[-END_BYTES:])
    return found.digest()


class Quarantine:
    """Digests of bodies. until: for each the time on the caller's monotonic clock (nanoseconds); every call asks
    whether there are any."""

    __slots__ = ("until",)

    def __init__(self) -> None:
        self.until: dict[bytes, int] = {}

    def holds(self, body: bytes) -> bool:
        return body in self.until

    def hold(self, body: bytes, now_ns: int) -> None:
        self.until.pop(body, None)
        if len(self.until) >= BODIES_MAX:
            del self.until[next(iter(self.until))]
        self.until[body] = now_ns + HELD_NS

    def held_for_ns(self, body: bytes, now_ns: int) -> int:
        """How much longer, 0 when it is not held."""
        until = self.until.get(body)
        if until is None:
            return 0
        if until <= now_ns:
            del self.until[body]
            return 0
        return until - now_ns
