"""The table of providers: protocol name, as configuration spells it, to the adapter that speaks it."""

from __future__ import annotations

from typing import Literal

from signalbox.upstream.adapter import Adapter
from signalbox.upstream.anthropic import ANTHROPIC
from signalbox.upstream.openai import OPENAI

ProviderName = Literal["openai", "anthropic"]

# Looked up by Deployment.protocol, which is a plain string by the time it gets here.
PROVIDERS: dict[str, Adapter] = {"openai": OPENAI, "anthropic": ANTHROPIC}
