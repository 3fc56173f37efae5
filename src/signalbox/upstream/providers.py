"""The table of providers: protocol name, as configuration spells it, to the adapter that speaks it."""

from __future__ import annotations

from typing import Literal

from signalbox.upstream.adapter import Adapter
from signalbox.upstream.anthropic import ANTHROPIC
from signalbox.upstream.openai import OPENAI
from signalbox.upstream.scanners import LLM_GUARD, PRESIDIO

ProviderName = Literal["openai", "anthropic", "presidio", "llm-guard"]

# Looked up by Deployment.protocol, which is a plain string by the time it gets here.
# Where each lists its models, or says that it is there: free of charge, and it says nothing of anybody's content.
MODELS = {"openai": b"/models", "anthropic": b"/v1/models", "presidio": b"/health", "llm-guard": b"/healthz"}
PROVIDERS: dict[str, Adapter] = {
    "openai": OPENAI,
    "anthropic": ANTHROPIC,
    "presidio": PRESIDIO,
    "llm-guard": LLM_GUARD,
}
