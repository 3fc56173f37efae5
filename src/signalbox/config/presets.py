"""What each named provider or server usually needs, so that a deployment is three lines: preset, environment, model."""

from __future__ import annotations

import msgspec

from signalbox.config.schema_deployments import PresetName, Protocol
from signalbox.config.schema_words import Api

# Bearer is the form for this header; in any other header the credential stands alone.
AUTHORIZATION = "authorization"

# Of an upstream that nobody knows: what cannot be translated is tried there, what can be is.
APIS_BY_PROTOCOL: dict[Protocol, tuple[Api, ...]] = {
    "openai": ("chat", "completions", "embeddings"),
    "anthropic": ("messages", "count_tokens"),
    "presidio": ("scan",),
    "llm-guard": ("scan",),
}
AUTH_BY_PROTOCOL: dict[Protocol, str] = {
    "openai": AUTHORIZATION,
    "anthropic": "x-api-key",
    "presidio": AUTHORIZATION,
    "llm-guard": AUTHORIZATION,
}


class Preset(msgspec.Struct, frozen=True):
    """Usual settings of one provider.

    base_url: None where every customer has an address of their own. key_env: the variable its own SDK reads.
    key_needed: False for servers that usually run without one. apis: what it speaks natively; only what every
    current version does, since a missing API is translated and a wrong one fails. stream_usage: it takes
    `stream_options`; a provider that tells usage unasked, or refuses the option, has False. private: it usually
    runs on private addresses. catalogue: its id in the price catalogue. hosts: host names, or their endings with a
    leading dot, by which an address without a preset is recognised. models: served when only a key is known.
    """

    protocol: Protocol
    base_url: str | None
    auth_header: str
    key_env: str | None
    apis: tuple[Api, ...]
    key_needed: bool = True
    stream_usage: bool = True
    prefill: bool = False
    private: bool = False
    catalogue: str | None = None
    hosts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def _local(port: int, *apis: Api, prefill: bool = False) -> Preset:
    """A server on one's own machine, at its usual port."""
    return Preset(
        protocol="openai",
        base_url=f"http://127.0.0.1:{port}/v1",
        auth_header=AUTHORIZATION,
        key_env=None,
        apis=apis,
        key_needed=False,
        prefill=prefill,
        private=True,
    )


PRESETS: dict[PresetName, Preset] = {
    "openai": Preset(
        protocol="openai",
        base_url="https://api.openai.com/v1",
        auth_header=AUTHORIZATION,
        key_env="OPENAI_API_KEY",
        apis=("chat", "responses", "completions", "embeddings"),
        catalogue="openai",
        hosts=("api.openai.com",),
        models=("gpt-5-mini", "gpt-5.5", "text-embedding-3-small"),
    ),
    "azure": Preset(
        protocol="openai",
        base_url=None,
        auth_header="api-key",
        key_env="AZURE_OPENAI_API_KEY",
        apis=("chat", "responses", "embeddings"),
        catalogue="azure",
        hosts=(".openai.azure.com", ".services.ai.azure.com"),
    ),
    "anthropic": Preset(
        protocol="anthropic",
        base_url="https://api.anthropic.com",
        auth_header="x-api-key",
        key_env="ANTHROPIC_API_KEY",
        apis=("messages", "count_tokens"),
        catalogue="anthropic",
        hosts=("api.anthropic.com",),
        models=("claude-sonnet-5-5", "claude-haiku-5-5"),
    ),
    "mistral": Preset(
        protocol="openai",
        base_url="https://api.mistral.ai/v1",
        auth_header=AUTHORIZATION,
        key_env="MISTRAL_API_KEY",
        apis=("chat", "embeddings"),
        stream_usage=False,
        catalogue="mistral",
        hosts=("api.mistral.ai",),
        models=("mistral-large-latest", "mistral-small-latest", "mistral-embed"),
    ),
    "together": Preset(
        protocol="openai",
        base_url="https://api.together.xyz/v1",
        auth_header=AUTHORIZATION,
        key_env="TOGETHER_API_KEY",
        apis=("chat", "completions", "embeddings"),
        catalogue="together",
        hosts=("api.together.xyz", "api.together.ai"),
        models=("meta-llama/Llama-3.3-70B-Instruct-Turbo",),
    ),
    "deepseek": Preset(
        protocol="openai",
        base_url="https://api.deepseek.com/v1",
        auth_header=AUTHORIZATION,
        key_env="DEEPSEEK_API_KEY",
        apis=("chat",),
        catalogue="deepseek",
        hosts=("api.deepseek.com",),
        models=("deepseek-chat", "deepseek-reasoner"),
    ),
    "groq": Preset(
        protocol="openai",
        base_url="https://api.groq.com/openai/v1",
        auth_header=AUTHORIZATION,
        key_env="GROQ_API_KEY",
        apis=("chat",),
        catalogue="groq",
        hosts=("api.groq.com",),
        models=("llama-3.3-70b-versatile", "openai/gpt-oss-120b"),
    ),
    "openrouter": Preset(
        protocol="openai",
        base_url="https://openrouter.ai/api/v1",
        auth_header=AUTHORIZATION,
        key_env="OPENROUTER_API_KEY",
        apis=("chat", "completions", "embeddings"),
        catalogue="openrouter",
        hosts=("openrouter.ai",),
        models=("openai/gpt-5-mini", "anthropic/claude-haiku-5.5"),
    ),
    "vllm": _local(8000, "chat", "completions", "embeddings", prefill=True),
    "tgi": _local(8080, "chat", "completions"),
    "ollama": _local(11434, "chat", "completions", "embeddings"),
    "llamacpp": _local(8080, "chat", "completions", "embeddings"),
    "lmstudio": _local(1234, "chat", "completions", "embeddings"),
    "sglang": _local(30000, "chat", "completions", "embeddings"),
    "simulator": Preset(
        protocol="openai",
        base_url=None,
        auth_header=AUTHORIZATION,
        key_env=None,
        apis=("chat", "responses", "completions", "embeddings"),
        key_needed=False,
        private=True,
    ),
}


def by_host(host: str) -> Preset | None:
    """The preset of the provider that answers at `host`, or None: for prices and credentials, not for permissions."""
    for preset in PRESETS.values():
        for known in preset.hosts:
            if host == known or (known.startswith(".") and host.endswith(known)):
                return preset
    return None
