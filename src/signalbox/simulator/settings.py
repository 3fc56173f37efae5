"""What is simulated: providers, their models, prices, limits and latency; all of it plain data with defaults."""

from __future__ import annotations

import math
import random
from decimal import Decimal
from typing import Literal

import msgspec

APIS = ("chat", "responses", "messages", "completions", "embeddings")
_Z95 = 1.6448536269514722


class Spread(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fixed value, or a lognormal one told by its median and 95th percentile."""

    p50: float
    p95: float | None = None

    def sample(self, rng: random.Random) -> float:
        if self.p95 is None or self.p95 <= self.p50 or self.p50 <= 0:
            return self.p50
        return self.p50 * math.exp(rng.gauss(0.0, 1.0) * math.log(self.p95 / self.p50) / _Z95)


class Prices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars per million tokens. Reasoning is billed as output."""

    input_mtok: Decimal
    output_mtok: Decimal = Decimal(0)
    cache_read_mtok: Decimal = Decimal(0)
    cache_write_mtok: Decimal = Decimal(0)
    cache_write_1h_mtok: Decimal = Decimal(0)

    def scaled(self, factor: Decimal) -> Prices:
        return Prices(
            self.input_mtok * factor,
            self.output_mtok * factor,
            self.cache_read_mtok * factor,
            self.cache_write_mtok * factor,
            self.cache_write_1h_mtok * factor,
        )


class ModelSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """reasoning_tokens: hidden output before each answer. dimensions: above 0 makes it an embedding model."""

    prices: Prices
    context_tokens: int = 131_072
    output_tokens_max: int = 16_384
    reasoning_tokens: int = 0
    dimensions: int = 0


class ProviderSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fake provider. 0 means no limit. wildcard: the model that serves names nobody listed, else they are a 404.

    api_keys: when given, any other credential is a 401. visible_reasoning: chat streams show `reasoning_content`
    as open-weight servers do. slots: how many requests `/metrics` counts as running; the rest count as waiting.
    """

    models: dict[str, ModelSpec]
    apis: tuple[str, ...] = APIS
    ttft_ms: Spread = Spread(250.0, 600.0)
    tokens_per_s: Spread = Spread(80.0, 140.0)
    rpm: int = 0
    tpm: int = 0
    concurrency: int = 0
    slots: int = 0
    wildcard: str = ""
    api_keys: tuple[str, ...] = ()
    visible_reasoning: bool = False


def _models(factor: str) -> dict[str, ModelSpec]:
    by = Decimal(factor)

    def prices(i: str, o: str, read: str, write: str, write_1h: str) -> Prices:
        return Prices(Decimal(i), Decimal(o), Decimal(read), Decimal(write), Decimal(write_1h)).scaled(by)

    return {
        "sim-small": ModelSpec(prices("0.25", "2", "0.025", "0.3125", "0.5"), context_tokens=32_768),
        "sim-large": ModelSpec(prices("2.5", "15", "0.25", "3.125", "5"), context_tokens=200_000),
        "sim-reason": ModelSpec(
            prices("1.25", "10", "0.125", "1.5625", "2.5"), context_tokens=200_000, reasoning_tokens=24
        ),
        "sim-embed": ModelSpec(prices("0.02", "0", "0", "0", "0"), context_tokens=8_192, dimensions=256),
    }


def default_providers() -> dict[str, ProviderSpec]:
    """Five providers that differ in price and pace, so that a cheapest or fastest route has something to choose."""
    return {
        "openai": ProviderSpec(_models("1")),
        "anthropic": ProviderSpec(_models("1.2"), ttft_ms=Spread(400.0, 900.0), tokens_per_s=Spread(70.0, 120.0)),
        "azure": ProviderSpec(_models("1.1"), ttft_ms=Spread(300.0, 900.0), tokens_per_s=Spread(60.0, 100.0)),
        "vllm": ProviderSpec(
            _models("0.3"),
            ttft_ms=Spread(80.0, 300.0),
            tokens_per_s=Spread(45.0, 60.0),
            slots=64,
            visible_reasoning=True,
        ),
        "edge": ProviderSpec(_models("0.04"), ttft_ms=Spread(60.0, 90.0), tokens_per_s=Spread(18.0, 22.0), slots=4),
    }


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """latency off: answers come as fast as they can be written, unless a directive or a fault asks for delay.

    answer_tokens: length of an answer nobody scripted. The log keeps the last log_entries requests and at most
    log_bytes of their bodies; the bill keeps the last bill_rows rows, and its totals for ever.
    """

    providers: dict[str, ProviderSpec] = msgspec.field(default_factory=default_providers)
    seed: int = 0
    latency: Literal["off", "on"] = "off"
    answer_tokens: int = 16
    log_entries: int = 2_048
    log_bytes: int = 67_108_864
    bill_rows: int = 200_000
    body_bytes_max: int = 67_108_864
