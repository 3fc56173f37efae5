"""Where state lies that only one provider can read: stored answers, signatures of thinking, encrypted reasoning."""

from __future__ import annotations

from hashlib import blake2b

import msgspec

# As long as a provider's own stored answers are asked for in practice; after that, order decides again.
HELD_NS = 3_600_000_000_000
# Bonds of one minute, place and conversation are one object: as many as there may be take .7 MB then, and 1.7 where
# each is of a conversation of its own.
STEP_NS = 60_000_000_000
BONDS_MAX = 10_000
_LATEST_MAX = 1024


class Bond(msgspec.Struct, frozen=True, gc=False):
    """deployment: its name. key: what kept the call on one of its replicas, 0 for nothing. until_ns: on the caller's
    monotonic clock."""

    deployment: str
    key: int
    until_ns: int


class Bonds:
    """Bonds by tenant and name (an answer's id, a file's, a conversation), the oldest forgotten first when there are
    too many. Each process knows its own; a call that comes to another one is served in the usual order. known: to be
    looked at for whether there are any; every call asks that. It holds digests of the names, which can be long."""

    __slots__ = ("_latest", "known")

    def __init__(self) -> None:
        self.known: dict[int, Bond] = {}
        # The last one made to each deployment, by name.
        self._latest: dict[str, Bond] = {}

    def tie(self, tenant: str, name: str | int, deployment: str, key: int, now_ns: int) -> None:
        mark = _mark(tenant, name)
        self.known.pop(mark, None)
        if len(self.known) >= BONDS_MAX:
            del self.known[next(iter(self.known))]
        self.known[mark] = self._bond(deployment, key, now_ns + HELD_NS - now_ns % STEP_NS)

    def _bond(self, deployment: str, key: int, until_ns: int) -> Bond:
        bond = self._latest.get(deployment)
        if bond is None or bond.key != key or bond.until_ns != until_ns:
            if len(self._latest) >= _LATEST_MAX:
                self._latest.clear()  # names that reloads have dropped
            bond = self._latest[deployment] = Bond(deployment, key, until_ns)
        return bond

    def find(self, tenant: str, name: str | int, now_ns: int) -> Bond | None:
        mark = _mark(tenant, name)
        bond = self.known.get(mark)
        if bond is not None and bond.until_ns <= now_ns:
            del self.known[mark]
            return None
        return bond


def _mark(tenant: str, name: str | int) -> int:
    kind = "#" if isinstance(name, int) else ":"
    said = f"{tenant}\0{kind}{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(said, digest_size=8).digest(), "big")
