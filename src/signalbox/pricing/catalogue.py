"""The price catalogue that ships with the product: which dated prices hold for a provider's model at a moment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from importlib import resources

import msgspec

from signalbox.core.usage import RARE, UNPRICED, Rates

FORMAT = 1

# Other names under which providers are known, all exact: a name that only looks like a provider's has no price.
ALIASES = {
    "azure-openai": "azure",
    "azure-ai": "azure",
    "bedrock": "aws",
    "amazon": "aws",
    "gemini": "google",
    "vertex": "google",
    "vertex-ai": "google",
    "xai": "x-ai",
    "together-ai": "together",
    "together_ai": "together",
    "fireworks-ai": "fireworks",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
}

MODEL_CHARS_MAX = 256

# A compact date in a model name, as resellers write it: -20251211, tried as -2025-12-11 when nothing else matches.
_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


class Rounded(msgspec.Struct, frozen=True):
    """A published price that is no whole number of pico-dollars a token, and was rounded up to one."""

    provider: str
    model: str
    key: str
    usd_mtok: str


class Header(msgspec.Struct, frozen=True):
    """Where the catalogue comes from. generated: the UTC date it was built. licence: of the source, in full."""

    format: int
    generated: str
    source: str
    source_version: str
    notice: str
    licence: str
    rounded_up: tuple[Rounded, ...]


# Pico-dollars a token; or steps of (input tokens above which it holds, pico-dollars a token), rising from BASE.
Price = int | tuple[tuple[int, int], ...]
BASE = -1


class Match(msgspec.Struct, frozen=True, rename={"any": "or", "all": "and"}):
    """One rule over a lower-case model name; exactly one field is set."""

    equals: str | None = None
    starts_with: str | None = None
    ends_with: str | None = None
    contains: str | None = None
    regex: str | None = None
    any: tuple[Match, ...] | None = None
    all: tuple[Match, ...] | None = None


class Prices(msgspec.Struct, frozen=True):
    """The published classes; None where there is no price. request: pico-dollars a call."""

    input: Price | None = None
    cache_read: Price | None = None
    cache_write: Price | None = None
    cache_write_1h: Price | None = None
    output: Price | None = None
    reasoning: Price | None = None
    audio_in: Price | None = None
    audio_out: Price | None = None
    request: int | None = None
    image_in: Price | None = None
    image_out: Price | None = None
    video_in: Price | None = None
    video_out: Price | None = None
    image_cache_read: Price | None = None
    audio_cache_read: Price | None = None
    citation_out: Price | None = None
    web_search: int | None = None
    file_search: int | None = None
    maps_search: int | None = None
    rerank_search: int | None = None
    image: int | None = None


class Dated(msgspec.Struct, frozen=True, rename={"start": "from"}):
    """Prices with the condition under which they hold: from a UTC date on, or daily within [since, until) UTC.

    when: for a variant, the facts of the request that select it, such as service_tier.
    """

    prices: Prices = Prices()
    start: date | None = None
    daily: tuple[time, time] | None = None
    when: dict[str, str] | None = None

    def holds(self, at: datetime) -> bool:
        if self.start is not None:
            return at.date() >= self.start
        if self.daily is not None:
            since, until = self.daily
            now = at.time()
            return since <= now < until if since <= until else now >= since or now < until
        return True


class Model(msgspec.Struct, frozen=True):
    """prices: the last that holds wins, the first when none does. not_covered: published classes we cannot meter."""

    id: str
    match: Match
    prices: tuple[Dated, ...] = ()
    variants: tuple[Dated, ...] = ()
    context_tokens: int = 0
    not_covered: tuple[str, ...] = ()


class Provider(msgspec.Struct, frozen=True):
    """fallback: providers whose models this one resells at their price."""

    name: str
    sources: tuple[str, ...]
    models: tuple[Model, ...]
    fallback: tuple[str, ...] = ()


class _File(msgspec.Struct, frozen=True):
    header: Header
    providers: dict[str, msgspec.Raw]


def header() -> Header:
    """Date, source and licence notice of the catalogue in use."""
    return _file().header


def providers() -> list[str]:
    """Ids of the providers with prices."""
    return list(_file().providers)


def rates(provider: str, model: str, on: date, context: Mapping[str, str] | None = None) -> Rates | None:
    """The rates of `provider`'s `model`, or None when the catalogue has no price for it.

    on: a datetime (naive means UTC) for the prices at that moment. A plain date means the start of that UTC day,
    and where prices vary over the day its dearest ones, so that nothing is undercharged.
    context: facts of the request that select a published variant: service_tier, processing, speed.
    """
    found = _find(provider, model)
    if found is None:
        return None
    provider_id, entry = found
    # Variants are the provider's own: who resells a model need not offer them at these prices.
    own = _canonical(provider) == provider_id
    prices = _prices_at(entry, on, (context or {}) if own else {})
    if prices is None or (prices.input is None and prices.request is None):
        return None
    return _rates(prices, _source(provider_id, entry))


def changes_after(provider: str, model: str, after: datetime) -> datetime | None:
    """The first moment later than `after` at which the rates may differ, or None when no change is known."""
    found = _find(provider, model)
    if found is None:
        return None
    after = _utc(after)
    moments = (
        moment
        for dated in (*found[1].prices, *found[1].variants)
        for moment in _changes(dated, after.date())
        if moment > after
    )
    return min(moments, default=None)


def is_own(provider: str, model: str, owner: str) -> bool:
    """Whether `provider` is `owner` itself, selling a model of its own."""
    return _canonical(provider) == owner and (found := _find(provider, model)) is not None and found[0] == owner


def has_variant(provider: str, model: str, on: date, context: Mapping[str, str]) -> bool:
    """Whether a price is published for these facts of a request."""
    found = _find(provider, model)
    if found is None or found[0] != _canonical(provider):
        return False
    at = _utc(on) if isinstance(on, datetime) else datetime.combine(on, time(), UTC)
    return any(_selected(variant, at, context) for variant in found[1].variants)


def daily_changes(provider: str, model: str) -> list[time]:
    """The times of the UTC day at which the model's price changes."""
    found = _find(provider, model)
    dated = () if found is None else (*found[1].prices, *found[1].variants)
    return [at for each in dated for at in each.daily or ()]


def context_tokens(provider: str, model: str) -> int:
    """The published context window in tokens, or 0 when unknown."""
    found = _find(provider, model)
    return 0 if found is None else found[1].context_tokens


@lru_cache(maxsize=1)
def _file() -> _File:
    data = resources.files("signalbox.pricing").joinpath("catalogue.json").read_bytes()
    file = msgspec.json.decode(data, type=_File)
    if file.header.format != FORMAT:
        raise ValueError(f"the price catalogue has format {file.header.format}, this version reads {FORMAT}")
    return file


@lru_cache(maxsize=8)
def _provider(provider_id: str) -> Provider | None:
    """One provider's part, decoded when first asked for: most processes use two or three of them."""
    raw = _file().providers.get(provider_id)
    return None if raw is None else msgspec.json.decode(raw, type=Provider)


def _canonical(provider: str) -> str:
    name = provider.strip().lower()
    return ALIASES.get(name, name)


def _find(provider: str, model: str) -> tuple[str, Model] | None:
    provider_id = _canonical(provider)
    name = model.lower()
    if len(name) > MODEL_CHARS_MAX:
        return None
    return _find_named(provider_id, name) or _find_named(provider_id, _dashed_date(name))


def _find_named(provider_id: str, name: str) -> tuple[str, Model] | None:
    """The first match among the provider's own models, then among those of the providers that it resells."""
    own = _provider(provider_id)
    if own is None:
        return None
    for candidate_id in (provider_id, *own.fallback):
        candidate = _provider(candidate_id)
        for model in candidate.models if candidate is not None else ():
            if _matches(model.match, name):
                return candidate_id, model
    return None


def _matches(rule: Match, name: str) -> bool:
    if rule.equals is not None:
        return name == rule.equals
    if rule.any is not None:
        return any(_matches(part, name) for part in rule.any)
    if rule.starts_with is not None:
        return name.startswith(rule.starts_with)
    if rule.contains is not None:
        return rule.contains in name
    if rule.ends_with is not None:
        return name.endswith(rule.ends_with)
    if rule.regex is not None:
        return re.search(rule.regex, name) is not None
    return rule.all is not None and all(_matches(part, name) for part in rule.all)


def _dashed_date(name: str) -> str:
    def dashed(found: re.Match[str]) -> str:
        try:
            return f"-{date(*(int(part) for part in found.groups())).isoformat()}"
        except ValueError:
            return found.group(0)

    return _COMPACT_DATE.sub(dashed, name)


def _utc(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _prices_at(model: Model, on: date, context: Mapping[str, str]) -> Prices | None:
    if not model.prices:
        return None
    if isinstance(on, datetime):
        at = _utc(on)
        found = _standing(model, at)
    else:
        at = datetime.combine(on, time(), UTC)
        # The windows' own starts, and midnight, see every price of the day.
        starts = [time(), *(d.daily[i] for d in model.prices if d.daily is not None for i in (0, 1))]
        found = max((_standing(model, datetime.combine(on, start, UTC)) for start in starts), key=_dearness)
    for variant in reversed(model.variants):
        if _selected(variant, at, context):
            found = _overlaid(found, variant.prices)
    return found


def _selected(variant: Dated, at: datetime, context: Mapping[str, str]) -> bool:
    when = variant.when
    return bool(when) and variant.holds(at) and all(context.get(k) == v for k, v in when.items())


def _standing(model: Model, at: datetime) -> Prices:
    for dated in reversed(model.prices):
        if dated.holds(at):
            return dated.prices
    return model.prices[0].prices


def _dearness(prices: Prices) -> int:
    return _at(prices.input, BASE, 0) + _at(prices.output, BASE, 0)


def _overlaid(under: Prices, over: Prices) -> Prices:
    stated = {name: value for name in Prices.__struct_fields__ if (value := getattr(over, name)) is not None}
    return msgspec.structs.replace(under, **stated)


def _changes(dated: Dated, today: date) -> Iterator[datetime]:
    if dated.start is not None:
        yield datetime.combine(dated.start, time(), UTC)
    for at in dated.daily or ():
        yield datetime.combine(today, at, UTC)
        yield datetime.combine(today + timedelta(days=1), at, UTC)


def _source(provider_id: str, model: Model) -> str:
    head = header()
    missing = f"; not metered: {', '.join(model.not_covered)}" if model.not_covered else ""
    return f"{head.source} {head.source_version} {provider_id}/{model.id}{missing}"


def _rates(prices: Prices, source: str) -> Rates:
    """Rates with a tier for every threshold that any class names; classes without a tier of their own keep theirs."""
    thresholds: set[int] = set()
    for name in Prices.__struct_fields__:
        price: Price | None = getattr(prices, name)
        if isinstance(price, tuple):
            thresholds.update(above for above, _ in price if above > BASE)
    tiers = tuple((above, _flat(prices, above, (), source)) for above in sorted(thresholds))
    return _flat(prices, BASE, tiers, source)


def _flat(prices: Prices, above: int, tiers: tuple[tuple[int, Rates], ...], source: str) -> Rates:
    """The rates just over `above` input tokens. Classes without a price of their own take their parent's."""
    tokens_in = _at(prices.input, above, UNPRICED)
    tokens_out = _at(prices.output, above, UNPRICED)
    cache_write = _at(prices.cache_write, above, tokens_in)
    return Rates(
        tokens_in=tokens_in,
        cache_read=_at(prices.cache_read, above, tokens_in),
        cache_write_5m=cache_write,
        cache_write_1h=_at(prices.cache_write_1h, above, cache_write),
        tokens_out=tokens_out,
        reasoning=_at(prices.reasoning, above, tokens_out),
        audio_in=_at(prices.audio_in, above, UNPRICED),
        audio_out=_at(prices.audio_out, above, UNPRICED),
        request=prices.request or 0,
        tiers=tiers,
        source=source,
        rare=_rare(prices, above),
    )


def _rare(prices: Prices, above: int) -> tuple[tuple[str, int], ...]:
    """What is published for the rare classes, each under its own name."""
    stated = ((name, _at(getattr(prices, name), above, UNPRICED)) for name in RARE if hasattr(prices, name))
    return tuple((name, pico) for name, pico in stated if pico != UNPRICED)


def _at(price: Price | None, above: int, default: int) -> int:
    """A class's price just over `above` input tokens (BASE: its base price)."""
    if price is None:
        return default
    if isinstance(price, int):
        return price
    return next((pico for start, pico in reversed(price) if start <= above), default)
