"""Settings of prices and contracts, each with its unit, default and a sentence about it; part of config/schema.py."""

from decimal import Decimal
from typing import Annotated

from msgspec import Meta, Struct, field

from signalbox.config.schema_words import Currency, Date, Name, Share, Text, TimeOfDay, Word


class TokenPrice(Struct, frozen=True, forbid_unknown_fields=True):
    """Prices of tokens and of units, in the currency of the price."""

    input_mtok: Annotated[Decimal | None, Meta(description="USD per million uncached input tokens.")] = None
    cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million input tokens read from a cache; `input_mtok` when left out.")
    ] = None
    cache_write_mtok: Annotated[
        Decimal | None,
        Meta(description="USD per million tokens written to a cache; `input_mtok` (anthropic: × 1.25) when left out."),
    ] = None
    cache_write_1h_mtok: Annotated[
        Decimal | None, Meta(description="The same for an hour's cache; from `cache_write_mtok` when left out.")
    ] = None
    output_mtok: Annotated[Decimal | None, Meta(description="USD per million output tokens.")] = None
    reasoning_mtok: Annotated[
        Decimal | None, Meta(description="USD per million hidden reasoning tokens; `output_mtok` when left out.")
    ] = None
    audio_in_mtok: Annotated[Decimal | None, Meta(description="USD per million audio input tokens.")] = None
    audio_out_mtok: Annotated[Decimal | None, Meta(description="USD per million audio output tokens.")] = None
    audio_cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million cached audio tokens; `audio_in_mtok` when left out.")
    ] = None
    image_in_mtok: Annotated[
        Decimal | None, Meta(description="USD per million image input tokens; `input_mtok` when left out.")
    ] = None
    image_out_mtok: Annotated[
        Decimal | None, Meta(description="USD per million image output tokens; `output_mtok` when left out.")
    ] = None
    image_cache_read_mtok: Annotated[
        Decimal | None, Meta(description="USD per million cached image tokens; `cache_read_mtok` when left out.")
    ] = None
    video_in_mtok: Annotated[
        Decimal | None, Meta(description="USD per million video input tokens; `input_mtok` when left out.")
    ] = None
    video_out_mtok: Annotated[
        Decimal | None, Meta(description="USD per million video output tokens; `output_mtok` when left out.")
    ] = None
    citation_mtok: Annotated[Decimal | None, Meta(description="USD per million citation tokens.")] = None
    request_usd: Annotated[Decimal | None, Meta(description="USD per call, besides tokens.")] = None
    web_search_usd: Annotated[Decimal | None, Meta(description="USD per web search that the provider makes.")] = None
    file_search_usd: Annotated[Decimal | None, Meta(description="USD per file search that the provider makes.")] = None
    maps_search_usd: Annotated[Decimal | None, Meta(description="USD per map search that the provider makes.")] = None
    rerank_search_usd: Annotated[Decimal | None, Meta(description="USD per search unit of a reranker.")] = None
    code_session_usd: Annotated[Decimal | None, Meta(description="USD per session of a provider's sandbox.")] = None
    image_usd: Annotated[Decimal | None, Meta(description="USD per image.")] = None
    audio_minute_usd: Annotated[Decimal | None, Meta(description="USD per minute of audio.")] = None


class TierPrice(TokenPrice, frozen=True, forbid_unknown_fields=True):
    """What a service tier costs: a share of the plain prices, or the prices that differ from them."""

    price_share: Annotated[
        Decimal | None, Meta(description="Multiplies every price, instead of prices of its own.")
    ] = None


class LongPrice(TierPrice, frozen=True, forbid_unknown_fields=True):
    """What all tokens of a call cost whose input is long."""

    above_tokens: Annotated[
        int, Meta(ge=1, le=1_000_000_000, description="Holds for calls with more input tokens than this.")
    ] = field(default=0)


class PriceWindow(TierPrice, frozen=True, forbid_unknown_fields=True):
    """What a call costs that begins within a part of the day."""

    since: Annotated[TimeOfDay, Meta(description="When it begins, UTC.")] = field(default="")
    until: Annotated[TimeOfDay, Meta(description="When it ends, UTC; before `since` for one over midnight.")] = field(
        default=""
    )


class Price(TokenPrice, frozen=True, forbid_unknown_fields=True):
    """What a deployment costs: either prices per million tokens, or GPU-hours shared out over tokens."""

    since: Annotated[
        Date | None, Meta(description="First day (UTC) on which it holds; needed where several prices are listed.")
    ] = None
    currency: Annotated[
        Currency | None, Meta(description="The currency of its amounts, one of `currencies_usd`; USD when left out.")
    ] = None
    tiers: Annotated[
        dict[Word, TierPrice],
        Meta(
            max_length=32,
            description="What differs under a service tier that the provider reports, such as flex, priority or batch. "
            "A tier without an entry has no price: its calls are booked as unpriced.",
        ),
    ] = {}
    long_context: Annotated[
        list[LongPrice], Meta(max_length=8, description="What differs for long inputs, the shortest first.")
    ] = []
    windows: Annotated[
        list[PriceWindow], Meta(max_length=24, description="What differs by time of day; the first that holds counts.")
    ] = []
    gpu_hour_usd: Annotated[
        Decimal | None, Meta(description="USD per GPU-hour of a self-hosted model; not together with token prices.")
    ] = None
    scales_to_zero_after_s: Annotated[
        Annotated[float, Meta(ge=60, le=43_200)] | None,
        Meta(
            description="With `gpu_hour_usd`: all replicas are taken away when nobody has called for so long, and come "
            "back with the next call. Only the time from the beginning of a call to so long after its end is owed "
            "then; left out, they are paid for around the clock.",
        ),
    ] = None
    gpus_per_replica: Annotated[int, Meta(ge=1, le=100_000, description="GPUs that one replica holds.")] = 1
    tokens_per_s: Annotated[
        float,
        Meta(
            gt=0,
            le=1e9,
            description="Tokens per second, input and output, that one replica works through at its expected load; "
            "with `gpu_hour_usd` it sets the provisional price of a token.",
        ),
    ] = 1000.0


class Contract(Struct, frozen=True, forbid_unknown_fields=True):
    """What was agreed with a provider beyond its published prices."""

    deployments: Annotated[list[Name], Meta(max_length=2000, description="The deployments it is about.")]
    discount_share: Annotated[Share, Meta(description="Share taken off every price of these deployments, 0 to 1.")] = (
        0.0
    )
    commitment_month_usd: Annotated[
        Decimal | None, Meta(description="USD that are paid each month whether they are used or not.")
    ] = None
    since: Annotated[Date | None, Meta(description="First day (UTC) on which it holds.")] = None
    until: Annotated[Date | None, Meta(description="Last day (UTC) on which it holds.")] = None
    evidence: Annotated[Text | None, Meta(description="Where it lies: a path, a link or a contract number.")] = None
