"""Builds src/signalbox/pricing/catalogue.json from the prices of the installed genai-prices package.

genai-prices costs most of a second and a hundred megabytes to import, so the product ships this compact copy and
the package stays a development dependency. Run: python scripts/build_catalogue.py [--check]
"""

# pyright: basic
# What genai-prices says of its types is partly unknown to a strict checker.

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, time
from decimal import Decimal
from importlib import metadata
from pathlib import Path
from typing import Any

from genai_prices import types

TARGET = Path(__file__).parent.parent / "src/signalbox/pricing/catalogue.json"
FORMAT = 1

# The providers whose APIs a deployment can point at. Subscriptions and routers of routers stay out.
PROVIDERS = (
    "anthropic", "aws", "azure", "baseten", "cerebras", "cloudflare", "cohere", "databricks", "deepseek", "fireworks",
    "google", "groq", "meta", "minimax", "mistral", "moonshotai", "novita", "openai", "openrouter", "ovhcloud",
    "perplexity", "together", "voyageai", "x-ai", "zai", "zhipuai",
)  # fmt: skip

# genai-prices' key to ours. A key in neither table stops the build, so that a new kind of price is never overlooked.
CLASSES = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "input_audio_mtok": "audio_in",
    "output_audio_mtok": "audio_out",
    "input_image_mtok": "image_in",
    "output_image_mtok": "image_out",
    "cache_image_read_mtok": "image_cache_read",
    "input_video_mtok": "video_in",
    "output_video_mtok": "video_out",
    "cache_audio_read_mtok": "audio_cache_read",
    "output_citation_mtok": "citation_out",
}
# Prices of a thousand units.
UNITS = {
    "requests_kcount": "request",
    "web_searches_kcount": "web_search",
    "file_searches_kcount": "file_search",
    "storage_searches_kcount": "file_search",
    "maps_searches_kcount": "maps_search",
    "rerank_searches_kcount": "rerank_search",
    "images_kcount": "image",
}
# Published, but not counted in any class of core.usage.Usage: named in the catalogue, reported with the rates.
NOT_METERED = (
    "social_searches_kcount", "audio_hours", "input_audio_hours", "output_audio_hours",
    "input_document_kpages", "input_annotated_document_kpages", "input_mchars", "input_text_messages_kcount",
    "input_gpixels", "output_images_kcount",
)  # fmt: skip

NOTICE = "Prices compiled from genai-prices (https://github.com/pydantic/genai-prices), used under the MIT License."


class Rounding:
    """Turns published prices into whole pico-dollars a token, and remembers each that was not whole."""

    def __init__(self) -> None:
        self.rounded: list[dict[str, str]] = []

    def pico(self, price: Decimal, provider: str, model: str, key: str) -> int:
        exact = price * 10**6
        near = round(exact)
        if abs(exact - near) * 10**9 < exact:
            # 0.13999999999999999 is 0.14 after somebody's binary floating point.
            return near
        entry = {"provider": provider, "model": model, "key": key, "usd_mtok": str(price)}
        if entry not in self.rounded:
            self.rounded.append(entry)
        return math.ceil(exact)


def build(generated: str) -> dict[str, Any]:
    # By name: the module is one literal of twenty thousand lines, which costs a type checker minutes to read.
    providers: list[types.Provider] = importlib.import_module("genai_prices.data").providers
    by_id = {provider.id: provider for provider in providers}
    rounding = Rounding()
    body = {name: _provider(by_id[name], rounding) for name in PROVIDERS}
    licence = metadata.distribution("genai-prices").read_text("licenses/LICENSE") or ""
    if "MIT" not in licence:
        raise SystemExit("genai-prices no longer comes with the MIT licence text: look before shipping its data")
    return {
        "header": {
            "format": FORMAT,
            "generated": generated,
            "source": "genai-prices",
            "source_version": metadata.version("genai-prices"),
            "notice": NOTICE,
            "licence": licence,
            "rounded_up": rounding.rounded,
        },
        "providers": body,
    }


def _provider(provider: types.Provider, rounding: Rounding) -> dict[str, Any]:
    fallback = [name for name in provider.fallback_model_providers or () if name in PROVIDERS]
    if len(fallback) != len(provider.fallback_model_providers or ()):
        raise SystemExit(f"{provider.id} resells a provider that is left out: {provider.fallback_model_providers}")
    return {
        "name": provider.name,
        "sources": provider.pricing_urls or [],
        **({"fallback": fallback} if fallback else {}),
        "models": [_model(provider.id, model, rounding) for model in provider.models],
    }


def _model(provider: str, model: types.ModelInfo, rounding: Rounding) -> dict[str, Any]:
    stated = model.prices
    conditional = [types.ConditionalPrice(prices=stated)] if isinstance(stated, types.ModelPrice) else stated
    dated = [_dated(provider, model.id, price.constraint, price.prices, rounding) for price in conditional]
    variants = [
        {**_dated(provider, model.id, variant.constraint, variant.prices, rounding), "when": variant.when}
        for variant in model.price_variants or ()
    ]
    not_covered = sorted(
        {
            key
            for price in (*conditional, *(model.price_variants or ()))
            for key, value in price.prices.__dict__.items()
            if value is not None and key in NOT_METERED
        }
    )
    entry: dict[str, Any] = {"id": model.id, "match": _match(model.match), "prices": dated}
    if variants:
        entry["variants"] = variants
    if model.context_window:
        entry["context_tokens"] = model.context_window
    if not_covered:
        entry["not_covered"] = not_covered
    return entry


def _dated(provider: str, model: str, constraint: Any, prices: types.ModelPrice, rounding: Rounding) -> dict[str, Any]:
    entry: dict[str, Any] = {"prices": _prices(provider, model, prices, rounding)}
    match constraint:
        case None:
            pass
        case types.StartDateConstraint():
            entry["from"] = constraint.start_date.isoformat()
        case types.TimeOfDateConstraint():
            entry["daily"] = [_naive_utc(constraint.start_time), _naive_utc(constraint.end_time)]
        case _:
            raise SystemExit(f"{provider}/{model}: unknown condition {constraint!r}")
    return entry


def _naive_utc(at: time) -> str:
    if at.utcoffset():
        raise SystemExit(f"a time of day outside UTC: {at}")
    return at.replace(tzinfo=None).isoformat()


def _prices(provider: str, model: str, prices: types.ModelPrice, rounding: Rounding) -> dict[str, Any]:
    found: dict[str, Any] = {}
    stated = {key: value for key, value in prices.__dict__.items() if value is not None}
    for key, value in stated.items():
        if key in NOT_METERED:
            continue
        if key in UNITS:
            found[UNITS[key]] = _pico_a_unit(value)
            continue
        if key not in CLASSES:
            raise SystemExit(f"{provider}/{model}: unknown price {key}; add it to CLASSES, UNITS or NOT_METERED")
        found[CLASSES[key]] = _steps(value, lambda price, key=key: rounding.pico(price, provider, model, key))
    if not stated and model.endswith(":free"):
        # Free by its very name; an empty price anywhere else means that nobody knows it.
        found = {"input": 0, "output": 0}
    return found


def _pico_a_unit(usd_per_thousand: Decimal) -> int:
    exact = usd_per_thousand * 10**9
    if exact % 1:
        raise SystemExit(f"a price per unit finer than a pico-dollar: {usd_per_thousand} USD per thousand")
    return int(exact)


def _steps(value: Decimal | types.TieredPrices, pico: Callable[[Decimal], int]) -> Any:
    if isinstance(value, types.TieredPrices):
        return [[-1, pico(value.base)], *([tier.start, pico(tier.price)] for tier in value.tiers)]
    return pico(value)


def _match(clause: Any) -> dict[str, Any]:
    """The same rule over an already lower-case name; only regular expressions keep their case."""
    match clause:
        case types.ClauseOr():
            return {"or": [_match(part) for part in clause.or_]}
        case types.ClauseAnd():
            return {"and": [_match(part) for part in clause.and_]}
        case types.ClauseRegex():
            return {"regex": clause.regex}
        case types.ClauseEquals():
            return {"equals": clause.equals.lower()}
        case types.ClauseStartsWith():
            return {"starts_with": clause.starts_with.lower()}
        case types.ClauseEndsWith():
            return {"ends_with": clause.ends_with.lower()}
        case types.ClauseContains():
            return {"contains": clause.contains.lower()}
        case _:
            raise SystemExit(f"unknown rule {clause!r}")


def render(catalogue: dict[str, Any]) -> str:
    """One model a line, so that a change of price is one changed line in review."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    parts = []
    for name, provider in catalogue["providers"].items():
        models = ",\n".join(compact(model) for model in provider["models"])
        head = compact({key: value for key, value in provider.items() if key != "models"})[:-1]
        parts.append(f'"{name}":{head},"models":[\n{models}\n]}}')
    header = json.dumps(catalogue["header"], ensure_ascii=False, indent=1)
    body = ",\n".join(parts)
    return f'{{"header":{header},\n"providers":{{\n{body}\n}}}}\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the catalogue is out of date")
    check = parser.parse_args().check
    current = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    today = datetime.now(UTC).date().isoformat()
    generated = json.loads(current)["header"]["generated"] if check and current else today
    text = render(build(generated))
    if check:
        return int(text != current)
    TARGET.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{TARGET}: {len(text) / 1024:.0f} KiB\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
