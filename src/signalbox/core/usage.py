"""Token usage in disjoint classes, and money as integer pico-dollars."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

PICO = 10**12

# The rate of a token class that nobody priced: usage in that class makes the cost unknown, never zero.
UNPRICED = -1


class Rare(NamedTuple):
    """A class of usage that few answers have. counts: what is counted, tokens of the input or of the output, or a
    number of units that have a price of their own. falls_back: the class whose price holds where it has none; None for
    a class that is unpriced then."""

    counts: str
    falls_back: str | None


# Every class beyond those that Usage names, by its name in ledger rows, rates and stated prices. A modality that a
# provider does not price apart costs what its text costs; a fee per unit has no such price to fall back to.
RARE: dict[str, Rare] = {
    "image_in": Rare("input", "tokens_in"),
    "image_out": Rare("output", "tokens_out"),
    "video_in": Rare("input", "tokens_in"),
    "video_out": Rare("output", "tokens_out"),
    "image_cache_read": Rare("input", "cache_read"),
    "audio_cache_read": Rare("input", "audio_in"),
    "citation_out": Rare("output", None),
    "web_search": Rare("unit", None),
    "file_search": Rare("unit", None),
    "maps_search": Rare("unit", None),
    "rerank_search": Rare("unit", None),
    "image": Rare("unit", None),
    "audio_ms": Rare("unit", None),
    "code_session": Rare("unit", None),
}


class Usage(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one attempt consumed. Every class is disjoint: their sum is what the provider counted.

    tokens_in: uncached input. cache_read: input served from a provider's cache. cache_write_5m/1h: input written
    to it. tokens_out: visible output. reasoning: hidden output, billed as output. audio_in/audio_out: audio tokens.
    unknown: names of usage fields this version does not know, which raise an alert instead of being ignored.
    rare: (class of RARE, count) of what has no field of its own. tier: the price tiers under which the provider says
    it served the call, joined by "+", such as flex or fast+us; empty for the standard one.
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
    rare: tuple[tuple[str, int], ...] = ()
    tier: str = ""

    def has_seldom(self) -> bool:
        """Whether it has anything besides plain input and visible output, what is rare aside."""
        return bool(
            self.cache_read
            or self.reasoning
            or self.cache_write_5m
            or self.cache_write_1h
            or self.audio_in
            or self.audio_out
        )

    @property
    def input_total(self) -> int:
        total = self.tokens_in + self.cache_read + self.cache_write_5m + self.cache_write_1h + self.audio_in
        return total + self._rare("input") if self.rare else total

    @property
    def output_total(self) -> int:
        total = self.tokens_out + self.reasoning + self.audio_out
        return total + self._rare("output") if self.rare else total

    def _rare(self, counts: str) -> int:
        return sum(count for name, count in self.rare if name in RARE and RARE[name].counts == counts)


NO_USAGE = Usage()


class Rates(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Prices in pico-dollars a token (1 USD per million tokens = 1,000,000), `request` in pico-dollars a call.

    UNPRICED for a class without a price; audio has none unless stated.
    tiers: (input tokens above which it holds, rates) in rising order, for long-context prices.
    priced: False for a model whose price nobody stated: its cost is unknown, never zero in silence.
    rare: (class of RARE, pico-dollars a unit). share: (numerator, denominator) by which the whole is multiplied, for a
    discount or a currency; a fraction of a pico-dollar is rounded up once, at the end.
    gpu_ns: GPU-nanoseconds that a token takes where the GPUs are one's own, at the load they are sized for; else 0.
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
    rare: tuple[tuple[str, int], ...] = ()
    share: tuple[int, int] | None = None
    gpu_ns: int = 0


class Window(msgspec.Struct, frozen=True):
    """Rates that hold daily from minute `since` of the UTC day until before minute `until`; over midnight when
    since > until."""

    since: int
    until: int
    rates: Rates
    tiers: dict[str, Rates] = {}


class Tariff(msgspec.Struct, frozen=True):
    """What else a deployment costs than its plain rates. tiers: rates under a service tier. shares: by which a tier
    multiplies whatever else holds. windows: by time of day, the first that holds."""

    tiers: dict[str, Rates] = {}
    shares: dict[str, tuple[int, int]] = {}
    windows: tuple[Window, ...] = ()


def usd(pico: int) -> str:
    """Pico-dollars as an exact decimal string of dollars, no exponent: 1500000 -> '0.0000015'."""
    if 0 < pico < PICO:
        return f"0.{str(pico).zfill(12).rstrip('0')}"
    whole, rest = divmod(abs(pico), PICO)
    text = f"{whole}.{rest:012d}".rstrip("0").rstrip(".")
    return f"-{text}" if pico < 0 else text
