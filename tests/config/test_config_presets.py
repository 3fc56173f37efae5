"""Presets: three lines are enough, and what is written always wins over what is usual."""

from __future__ import annotations

from datetime import date
from typing import get_args

import pytest

from signalbox.config.declared import Target
from signalbox.config.load import load_text
from signalbox.config.presets import PRESETS
from signalbox.config.schema_deployments import PresetName, Protocol
from signalbox.config.schema_prices import Price
from signalbox.config.schema_words import Api, Level
from signalbox.config.schema_workloads import Strategy
from signalbox.core.errors import ConfigError
from signalbox.core.labels import LEVELS
from signalbox.core.snapshot import APIS
from signalbox.pricing import catalogue
from signalbox.pricing.cost import MTOK_KEYS
from signalbox.routing.strategies import STRATEGIES
from signalbox.upstream.providers import PROVIDERS

KEY = "sk-1"


def target(*lines: str, kind: str = "cloud", **environ: str) -> Target:
    text = f"environments: {{here: {{kind: {kind}}}}}\ndeployments:\n  d:\n    environment: here\n    model: m\n"
    return load_text(text + "".join(f"    {line}\n" for line in lines), "f", environ).deployments["d"]


def test_enums_of_the_schema_are_the_tables_of_the_product() -> None:
    assert set(get_args(Strategy)) == set(STRATEGIES)
    assert set(get_args(Protocol)) == set(PROVIDERS)
    assert get_args(Api) == APIS
    assert get_args(Level) == LEVELS
    assert set(get_args(PresetName)) == set(PRESETS)
    assert {field for field in Price.__struct_fields__ if field.endswith(("_mtok", "_usd"))} - {"gpu_hour_usd"} == set(
        MTOK_KEYS
    )


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"azure", "simulator"}))
def test_preset_model_and_environment_are_enough(name: PresetName) -> None:
    preset = PRESETS[name]
    found = target(f"preset: {name}", **({preset.key_env: KEY} if preset.key_env else {}))
    assert found.protocol == preset.protocol
    assert found.apis == frozenset(preset.apis)
    origin = found.replicas[0]
    assert origin.private is preset.private
    assert (origin.scheme == "http") == preset.private
    if preset.key_env:
        expected = f"Bearer {KEY}" if preset.auth_header == "authorization" else KEY
        assert found.auth is not None
        assert (found.auth[0], found.auth[1].reveal()) == (preset.auth_header, expected)
    else:
        assert found.auth is None


def test_azure_needs_its_address_alone() -> None:
    found = target("preset: azure", "base_url: https://x.openai.azure.com/openai/v1", AZURE_OPENAI_API_KEY=KEY)
    assert found.auth is not None
    assert (found.auth[0], found.auth[1].reveal()) == ("api-key", KEY)
    assert (found.catalogue, found.price) == ("azure", "catalogue")


def test_a_key_from_the_environment_never_follows_a_changed_address() -> None:
    found = target("preset: openai", "base_url: https://elsewhere.example.com/v1", OPENAI_API_KEY=KEY)
    assert found.auth is None


def test_what_is_written_wins() -> None:
    found = target(
        "preset: openai",
        "api_key: ${MINE}",
        "auth_header: X-Key",
        "base_url: https://elsewhere.example.com/v1/",
        "capabilities: {apis: [chat], stream_usage: false, prefill: true, images: false}",
        "headers: {X-Team: a b}",
        "limits: {concurrency: 3}",
        "timeouts: {idle_s: 5}",
        "price: free",
        "proxy: http://10.0.0.9:3128",
        "allow_private: false",
        MINE=KEY,
    )
    assert found.auth is not None
    assert (found.auth[0], found.auth[1].reveal()) == ("x-key", KEY)
    assert found.apis == frozenset({"chat"})
    assert (found.stream_usage, found.prefill, found.images, found.tools) == (False, True, False, True)
    assert found.headers == (("x-team", "a b"),)
    assert (found.concurrency, found.timeouts.idle_s, found.price) == (3, 5.0, "free")
    origin = found.replicas[0]
    assert (origin.path, origin.proxy, origin.private) == ("/v1", "http://10.0.0.9:3128", False)


@pytest.mark.parametrize(
    ("host", "catalogue_id", "header"),
    [
        ("https://api.openai.com/v1", "openai", "authorization"),
        ("https://x.openai.azure.com/openai/v1", "azure", "api-key"),
        ("https://api.openai.com.evil.example/v1", None, "authorization"),
        ("https://xopenai.azure.com/v1", None, "authorization"),
        ("http://10.0.0.1:8000/v1", None, "authorization"),
    ],
)
def test_a_known_address_is_priced_without_a_preset(host: str, catalogue_id: str | None, header: str) -> None:
    found = target("protocol: openai", f"base_url: {host}", "api_key: ${MINE}", MINE=KEY)
    assert found.catalogue == catalogue_id
    assert found.price == ("catalogue" if catalogue_id else None)
    assert found.auth is not None
    assert found.auth[0] == header


@pytest.mark.parametrize(
    ("kind", "url", "private"),
    [
        ("cloud", "https://llm.example.com/v1", False),
        ("private-cloud", "https://llm.internal/v1", False),
        ("on-prem", "https://llm.internal/v1", True),
        ("edge", "http://box.local:8000/v1", True),
        ("cloud", "http://127.0.0.1:8000/v1", True),  # the address itself says so
        ("cloud", "http://[::1]:8000/v1", True),
        ("cloud", "http://10.1.2.3/v1", True),
        ("cloud", "http://localhost:8000/v1", True),
        ("cloud", "https://8.8.8.8/v1", False),
    ],
)
def test_private_addresses_are_allowed_only_where_the_deployment_says_so(kind: str, url: str, private: bool) -> None:
    assert target("protocol: openai", f"base_url: '{url}'", kind=kind).replicas[0].private is private


def test_another_protocol_of_a_known_provider_has_that_protocol_s_defaults() -> None:
    found = target("preset: simulator", "protocol: anthropic", "base_url: http://127.0.0.1:9/anthropic", "api_key: k")
    assert found.protocol == "anthropic"
    assert found.apis == frozenset({"messages", "count_tokens"})
    assert found.auth is not None
    assert found.auth[0] == "x-api-key"


def test_the_models_that_are_discovered_have_prices() -> None:
    for preset in PRESETS.values():
        for model in preset.models:
            assert preset.catalogue is not None
            assert catalogue.rates(preset.catalogue, model, date(2026, 6, 1)) is not None, model


def test_a_usual_key_with_a_line_break_is_refused_unseen() -> None:
    with pytest.raises(ConfigError) as caught:
        target("preset: openai", OPENAI_API_KEY="sk-canary\nx")
    assert "OPENAI_API_KEY holds characters" in str(caught.value)
    assert "canary" not in str(caught.value)
