"""What conversations must have carried on, and what they may have at the most."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from proof.oracle import LEVELS, Caller, level_of
from proof.worlds import Sent

EVERY_LABEL = frozenset(("everything",))


@dataclass
class Memory:
    """What each conversation must have kept, and what it may have kept at the most, workloads' own classes included."""

    must: dict[Any, set[str]] = field(default_factory=dict[Any, set[str]])
    may: dict[Any, set[str]] = field(default_factory=dict[Any, set[str]])

    def labels(
        self, sent: Sent, caller: Caller, key: str, stated: set[str], whole: set[str]
    ) -> tuple[set[str], set[str]]:
        """(least, most) labels of this call, which are remembered. stated: what is beyond the floor.

        key: the caller's, whose conversations without a name are nobody else's."""
        keys: list[tuple[Any, bool]] = []
        if sent.session is not None:
            keys.append(((caller.tenant, sent.session), True))
        if sent.origin is not None:
            keys.append(((caller.tenant, key, sent.origin), sent.turns > 1))
        least, most = set(whole), set(whole)
        if sent.facts.holds:
            most |= EVERY_LABEL
        for conversation, reads in keys:
            if reads:
                least |= self.must.get(conversation, set())
                most |= self.may.get(conversation, set())
        for conversation, _ in keys:
            self.must.setdefault(conversation, set()).update(stated)
            self.may.setdefault(conversation, set()).update(most)
        return least, most


def beyond(names: set[str], floor: set[str]) -> set[str]:
    """What conversations keep of labels: not what every call of this workload and key has anyway."""
    level = LEVELS[level_of(names)]
    return (names - set(LEVELS) - floor) | ({level} if level_of(names) > level_of(floor) else set())


def within(names: set[str], bound: set[str]) -> bool:
    """Whether every label and the level are within a bound."""
    if EVERY_LABEL.issubset(bound):
        return True
    return names - set(LEVELS) <= bound - set(LEVELS) and level_of(names) <= level_of(bound)
