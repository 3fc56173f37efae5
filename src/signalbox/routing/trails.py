"""Where each conversation was answered last, and how much of it that provider's prompt cache knows. Bounded, ageing."""

from __future__ import annotations

import msgspec

from signalbox.core.snapshot import Deployment
from signalbox.core.usage import Usage

# Providers keep a prompt for five minutes after it was last read, unless an hour was paid for.
WARM_NS = 300_000_000_000
WARM_1H_NS = 3_600_000_000_000
# Those that cache by themselves begin at so many tokens.
AUTOMATIC_TOKENS_MIN = 1024
TRAILS_MAX = 20_000
# So long a conversation that went quiet stays where it was, cached or not.
STAY_NS = 3_600_000_000_000


class Trail(msgspec.Struct, frozen=True, gc=False):
    """deployment: its name. cached: tokens of the beginning that its cache holds until warm_ns; until_ns: how long it
    is remembered. Both on the caller's monotonic clock."""

    deployment: str
    cached: int
    warm_ns: int
    until_ns: int

    def warm(self, now_ns: int) -> int:
        """Tokens that are still cached."""
        return self.cached if now_ns < self.warm_ns else 0


class Trails:
    """By conversation (a number that two tenants never share), the oldest forgotten first. Each process knows its own:
    what it does not know costs a cache miss, never a wrong answer."""

    __slots__ = ("by_conversation",)

    def __init__(self) -> None:
        self.by_conversation: dict[int, Trail] = {}

    def find(self, conversation: int, now_ns: int) -> Trail | None:
        trail = self.by_conversation.get(conversation)
        if trail is not None and trail.until_ns <= now_ns:
            del self.by_conversation[conversation]
            return None
        return trail

    def follow(self, conversation: int, deployment: Deployment, usage: Usage, now_ns: int) -> None:
        """An answer came from `deployment` for a conversation."""
        self.by_conversation.pop(conversation, None)
        if len(self.by_conversation) >= TRAILS_MAX:
            del self.by_conversation[next(iter(self.by_conversation))]
        cached = cached_tokens(deployment, usage)
        warm_ns = WARM_1H_NS if usage.cache_write_1h else WARM_NS
        self.by_conversation[conversation] = Trail(deployment.name, cached, now_ns + warm_ns, now_ns + STAY_NS)


def lost_pico(trail: Trail, home: Deployment, usage: Usage, now_ns: int) -> int:
    """What it cost, at the prices of where a conversation was before, that its cached beginning was not read there."""
    missed = min(trail.warm(now_ns), usage.input_total) - usage.cache_read
    rates = home.rates
    cheaper = rates.priced and 0 <= rates.cache_read < rates.tokens_in
    return missed * (rates.tokens_in - rates.cache_read) if missed > 0 and cheaper else 0


def cached_tokens(deployment: Deployment, usage: Usage) -> int:
    """What a provider's cache holds of a prompt after it answered: what it said that it read and wrote, or all of it
    where reading from the cache is cheaper and writing to it is nothing that one asks for."""
    told = usage.cache_read + usage.cache_write_5m + usage.cache_write_1h
    rates = deployment.rates
    automatic = deployment.protocol == "openai" and 0 <= rates.cache_read < rates.tokens_in
    if automatic and usage.input_total >= AUTOMATIC_TOKENS_MIN:
        return usage.input_total
    return told
