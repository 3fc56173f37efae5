"""The pure arithmetic of money: usage times rates in exact integers, and rates from what an operator states."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from signalbox.core.usage import PICO, RARE, UNPRICED, Rates, Usage

TOKENS_PER_MTOK = 10**6
SECONDS_PER_HOUR = 3600

# Stated prices of the rare classes: key -> (class, units that the price is for).
RARE_KEYS: dict[str, tuple[str, int]] = {
    "image_in_mtok": ("image_in", TOKENS_PER_MTOK),
    "image_out_mtok": ("image_out", TOKENS_PER_MTOK),
    "image_cache_read_mtok": ("image_cache_read", TOKENS_PER_MTOK),
    "audio_cache_read_mtok": ("audio_cache_read", TOKENS_PER_MTOK),
    "video_in_mtok": ("video_in", TOKENS_PER_MTOK),
    "video_out_mtok": ("video_out", TOKENS_PER_MTOK),
    "citation_mtok": ("citation_out", TOKENS_PER_MTOK),
    "web_search_usd": ("web_search", 1),
    "file_search_usd": ("file_search", 1),
    "maps_search_usd": ("maps_search", 1),
    "rerank_search_usd": ("rerank_search", 1),
    "code_session_usd": ("code_session", 1),
    "image_usd": ("image", 1),
    "audio_minute_usd": ("audio_ms", 60_000),
}

# The keys of a stated price. All are USD per million tokens, apart from those that end in _usd: USD per unit.
MTOK_KEYS = (
    "input_mtok",
    "cache_read_mtok",
    "cache_write_mtok",
    "cache_write_1h_mtok",
    "output_mtok",
    "reasoning_mtok",
    "audio_in_mtok",
    "audio_out_mtok",
    "request_usd",
    *RARE_KEYS,
)

# A model that is free because somebody said so. Never the default: what nobody priced is Rates(priced=False).
FREE = Rates(audio_in=0, audio_out=0, source="stated as free")

# Models that are paid by the unit alone, such as a reranker, need no price of tokens.
_UNIT_KEYS = frozenset(key for key in ("request_usd", *RARE_KEYS) if key.endswith("_usd"))

# Largest stated price: a million dollars a million tokens. Beyond it the unit was mistaken, not the price high.
USD_MAX = Decimal(10**6)


def cost(usage: Usage, rates: Rates) -> int | None:
    """What `usage` costs at `rates`, in pico-dollars; exact.

    None when it cannot be known: the rates are not priced, tokens fall in a class without a price, or a count is
    negative. The caller books that as unknown and raises an alert; it is never zero in silence.
    """
    if not rates.priced:
        return None
    if rates.tiers:
        rates = at_length(usage.input_total, rates)
    tokens_in, tokens_out, rate_in, rate_out = usage.tokens_in, usage.tokens_out, rates.tokens_in, rates.tokens_out
    if tokens_in < 0 or tokens_out < 0 or (tokens_in and rate_in < 0) or (tokens_out and rate_out < 0):
        return None
    total = rates.request + tokens_in * rate_in + tokens_out * rate_out
    if usage.has_seldom():
        for tokens, rate in _seldom(usage, rates):
            if tokens:
                if tokens < 0 or rate < 0:
                    return None
                total += tokens * rate
    for name, count in usage.rare:
        rate = _rare_rate(name, rates)
        if count < 0 or rate < 0:
            return None
        total += count * rate
    if rates.share is not None:
        top, bottom = rates.share
        total = _ceil_div(total * top, bottom)
    return total


def at_dearest(usage: Usage, rates: Rates) -> int:
    """What an answer whose cost is unknown takes of budgets, so that it is not nothing: every class at its own price,
    tokens of a class without one at the dearest that the rates have. What counts in units has no such price."""
    rates = at_length(usage.input_total, rates) if rates.tiers else rates
    plain = ((usage.tokens_in, rates.tokens_in), (usage.tokens_out, rates.tokens_out))
    rare = ((count, _rare_rate(name, rates)) for name, count in usage.rare if name in RARE and _is_token(name))
    every = [*plain, *_seldom(usage, rates), *rare]
    dearest = max(0, *(rate for _, rate in every))
    total = rates.request + sum(max(0, tokens) * (rate if rate >= 0 else dearest) for tokens, rate in every)
    if rates.share is not None:
        total = _ceil_div(total * rates.share[0], rates.share[1])
    return total


def _is_token(name: str) -> bool:
    return RARE[name].counts != "unit"


def _seldom(usage: Usage, rates: Rates) -> tuple[tuple[int, int], ...]:
    """(tokens, rate) of the classes that many answers do not have."""
    return (
        (usage.cache_read, rates.cache_read),
        (usage.cache_write_5m, rates.cache_write_5m),
        (usage.cache_write_1h, rates.cache_write_1h),
        (usage.reasoning, rates.reasoning),
        (usage.audio_in, rates.audio_in),
        (usage.audio_out, rates.audio_out),
    )


def _rare_rate(name: str, rates: Rates) -> int:
    """A rare class's own price, or that of the class it falls back to."""
    for priced, rate in rates.rare:
        if priced == name:
            return rate
    rare = RARE.get(name)
    if rare is None or rare.falls_back is None:
        return UNPRICED
    return int(getattr(rates, rare.falls_back))


def at_length(input_tokens: int, rates: Rates) -> Rates:
    """The rates of the highest tier whose threshold is exceeded; they hold for all tokens of the call."""
    found = rates
    for above, tier in rates.tiers:
        if input_tokens > above:
            found = tier
    return found


def from_mtok(price: Mapping[str, object], *, protocol: str = "openai", source: str = "stated") -> Rates:
    """Rates from a price stated in the configuration: any of MTOK_KEYS to a decimal string or number, in USD.

    A class that is not stated falls back so that the call is never undercharged:
    cache_read → input; cache_write → input, or 1.25 × input where protocol is "anthropic" (5 minutes);
    cache_write_1h → cache_write, or at least 2 × input for "anthropic" (both factors: Anthropic's prompt caching
    page, platform.claude.com/docs/en/build-with-claude/prompt-caching); reasoning → output; audio has no fall-back.
    Raises ValueError with one clear sentence for an unknown key, a missing input or output price, and for a value
    that is negative, not a number, absurdly large, or finer than a pico-dollar a token.
    """
    unknown = sorted(set(price) - set(MTOK_KEYS))
    if unknown:
        raise ValueError(f"unknown price {unknown[0]!r}; known: {', '.join(MTOK_KEYS)}")
    stated = {key: _pico(key, value, _units(key)) for key, value in price.items() if value is not None}
    if not stated:
        raise ValueError("a price needs at least input_mtok and output_mtok, or request_usd")
    if stated.keys() <= _UNIT_KEYS:
        stated["input_mtok"] = stated["output_mtok"] = 0
    tokens_in = stated.get("input_mtok")
    if tokens_in is None:
        raise ValueError("a price needs input_mtok")
    tokens_out = stated.get("output_mtok", UNPRICED)
    write_5m, write_1h = _cache_writes(stated, tokens_in, protocol)
    return Rates(
        tokens_in=tokens_in,
        cache_read=stated.get("cache_read_mtok", tokens_in),
        cache_write_5m=write_5m,
        cache_write_1h=write_1h,
        tokens_out=tokens_out,
        reasoning=stated.get("reasoning_mtok", tokens_out),
        audio_in=stated.get("audio_in_mtok", UNPRICED),
        audio_out=stated.get("audio_out_mtok", UNPRICED),
        request=stated.get("request_usd", 0),
        source=source,
        rare=tuple((name, stated[key]) for key, (name, _) in RARE_KEYS.items() if key in stated),
    )


def _units(key: str) -> int:
    """How many units a stated price is for."""
    if key == "request_usd":
        return 1
    return RARE_KEYS[key][1] if key in RARE_KEYS else TOKENS_PER_MTOK


def _cache_writes(stated: Mapping[str, int], tokens_in: int, protocol: str) -> tuple[int, int]:
    """Prices of 5-minute and 1-hour cache writes; a factor that leaves a fraction of a pico-dollar rounds up."""
    if protocol == "anthropic":
        write_5m = stated.get("cache_write_mtok", _ceil_div(5 * tokens_in, 4))
        return write_5m, stated.get("cache_write_1h_mtok", max(write_5m, 2 * tokens_in))
    write_5m = stated.get("cache_write_mtok", tokens_in)
    return write_5m, stated.get("cache_write_1h_mtok", write_5m)


def gpu_rates(gpu_hour_usd: object, gpus_per_replica: int, tokens_per_s: int | float) -> Rates:
    """The provisional, amortised rate of a self-hosted model: what a token costs on a replica at its expected load.

        USD a token = gpu_hour_usd × gpus_per_replica ÷ 3600 ÷ tokens_per_s

    tokens_per_s: all tokens, input and output, that one replica works through in a second at the load it is sized
    for. Every class costs the same, rounded up to a pico-dollar. Provisional, because the true price depends on how
    busy the GPUs were; the difference to GPU-hours × price is settled afterwards.
    Raises ValueError when a value is negative, zero where it divides, or not a number.
    """
    hour_pico = _pico("gpu_hour_usd", gpu_hour_usd, 1)
    if type(gpus_per_replica) is not int or gpus_per_replica < 1:
        raise ValueError(f"gpus_per_replica must be a whole number of at least 1, not {gpus_per_replica!r}")
    speed = _decimal("tokens_per_s", tokens_per_s)
    if speed <= 0:
        raise ValueError(f"tokens_per_s must be above 0, not {tokens_per_s!r}")
    top, bottom = speed.as_integer_ratio()
    rate = _ceil_div(hour_pico * gpus_per_replica * bottom, SECONDS_PER_HOUR * top)
    gpu_ns = _ceil_div(gpus_per_replica * bottom * 10**9, top)
    return Rates(
        tokens_in=rate,
        cache_read=rate,
        cache_write_5m=rate,
        cache_write_1h=rate,
        tokens_out=rate,
        reasoning=rate,
        audio_in=rate,
        audio_out=rate,
        source=f"amortised: {gpu_hour_usd} USD a GPU-hour × {gpus_per_replica} ÷ {tokens_per_s} tokens/s",
        gpu_ns=gpu_ns,
    )


def _pico(key: str, value: object, per: int) -> int:
    """A stated amount of USD per `per` units as whole pico-dollars a unit."""
    amount = _decimal(key, value)
    if amount < 0:
        raise ValueError(f"{key} must not be negative, but is {value}")
    if amount > USD_MAX:
        raise ValueError(f"{key} is {value}: more than {USD_MAX} USD; is the unit right?")
    pico, rest = divmod(amount.as_integer_ratio()[0] * PICO, amount.as_integer_ratio()[1] * per)
    if rest:
        raise ValueError(f"{key} is {value}: finer than a pico-dollar a unit, which cannot be booked exactly")
    return pico


def _decimal(key: str, value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(f"{key} must be a number, not {value!r}")
    try:
        # A float means its shortest decimal form (0.15), not its binary expansion.
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(f"{key} must be a number, not {value!r}") from None
    if not number.is_finite() or number.adjusted() > 30 or number.adjusted() < -30:
        raise ValueError(f"{key} must be a finite number of ordinary size, not {value!r}")
    return number


def _ceil_div(top: int, bottom: int) -> int:
    return -(-top // bottom)
