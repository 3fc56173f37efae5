"""Token usage in disjoint classes, and money as integer pico-dollars."""

from __future__ import annotations

import msgspec

PICO = 10**12

# The rate of a token class that nobody priced: usage in that class makes the cost unknown, never zero.
UNPRICED = -1


class Usage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one attempt consumed. Every class is disjoint: their sum is what the provider counted.

    tokens_in: uncached input. cache_read: input served from a provider's cache. cache_write_5m/1h: input written
    to it. tokens_out: visible output. reasoning: hidden output, billed as output. audio_in/audio_out: audio tokens.
    unknown: names of usage fields this version does not know, which raise an alert instead of being ignored.
    """

    tokens_in: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    audio_in: int = 0
    audio_out: int = 0
    unknown: tuple[str, ...] = ()

    @property
    def input_total(self) -> int:
        return self.tokens_in + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.audio_in

    @property
    def output_total(self) -> int:
        return self.tokens_out + self.reasoning + self.audio_out


NO_USAGE = Usage()


class Rates(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Prices in pico-dollars a token (1 USD per million tokens = 1,000,000), `request` in pico-dollars a call.

    UNPRICED for a class without a price; audio has none unless stated.
    tiers: (input tokens above which it holds, rates) in rising order, for long-context prices.
    priced: False for a model whose price nobody stated: its cost is unknown, never zero in silence.
    """

    tokens_in: int = 0
    cache_read: int = 0
    cache_write_5m: int = 0
    cache_write_1h: int = 0
    tokens_out: int = 0
    reasoning: int = 0
    audio_in: int = UNPRICED
    audio_out: int = UNPRICED
    request: int = 0
    tiers: tuple[tuple[int, Rates], ...] = ()
    priced: bool = True
    source: str = ""


def usd(pico: int) -> str:
    """Pico-dollars as an exact decimal string of dollars, no exponent: 1500000 -> '0.0000015'."""
    whole, rest = divmod(abs(pico), PICO)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if pico < 0 else text
