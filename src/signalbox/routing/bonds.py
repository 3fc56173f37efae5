"""Where state lies that only one provider can read: stored answers, signatures of thinking, encrypted reasoning."""

from __future__ import annotations

import msgspec

# As long as a provider's own stored answers are asked for in practice; after that, order decides again.
HELD_NS = 3_600_000_000_000
BONDS_MAX = 20_000


class Bond(msgspec.Struct, frozen=True, gc=False):
    """deployment: its name. key: what kept the call on one of its replicas, 0 for nothing. until_ns: on the caller's
    monotonic clock."""

    deployment: str
    key: int
    until_ns: int


class Bonds:
    """Bonds by tenant and name (an answer's id, a conversation), the oldest forgotten first when there are too many.
    Each process knows its own; a call that comes to another one is served in the usual order. by_name: to be looked at
    for whether there are any; every call asks that."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        self.by_name: dict[tuple[str, str | int], Bond] = {}

    def tie(self, tenant: str, name: str | int, deployment: str, key: int, now_ns: int) -> None:
        self.by_name.pop((tenant, name), None)
        if len(self.by_name) >= BONDS_MAX:
            del self.by_name[next(iter(self.by_name))]
        self.by_name[tenant, name] = Bond(deployment, key, now_ns + HELD_NS)

    def find(self, tenant: str, name: str | int, now_ns: int) -> Bond | None:
        bond = self.by_name.get((tenant, name))
        if bond is not None and bond.until_ns <= now_ns:
            del self.by_name[tenant, name]
            return None
        return bond
