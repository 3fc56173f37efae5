"""The price tier that a provider says it served a call under, in one spelling for all of them."""

from __future__ import annotations

import re
from typing import Any

import msgspec

# What providers call the tier of their plain prices. OpenAI's `scale` is paid for beforehand, at the plain price.
_STANDARD = frozenset(
    {"", "default", "standard", "auto", "on_demand", "standard_only", "scale", "global", "not_available"}
)
_NAME = re.compile(r"[a-z0-9_-]{1,32}\Z")
_MARK = b'"service_tier"'


class _Tiered(msgspec.Struct, gc=False):
    service_tier: Any = None


_decode = msgspec.json.Decoder(_Tiered).decode


def tier_of(told: object) -> str:
    """Empty for the standard tier and for none; a name that is none is `odd`, which has no price."""
    if told is None or (isinstance(told, str) and told.lower() in _STANDARD):
        return ""
    name = told.lower() if isinstance(told, str) else ""
    return name if _NAME.match(name) else "odd"


def tier_in(body: bytes) -> str:
    """The tier that a chat answer or its usage chunk tells beside the usage; the body is valid JSON."""
    if body.find(_MARK) < 0:
        return ""
    return tier_of(_decode(body).service_tier)


def joined(*tiers: str) -> str:
    """Several tiers at once, in a fixed order."""
    return "+".join(tier for tier in tiers if tier)
