"""Tool call ids in the form that Anthropic takes: letters, digits, `_` and `-`."""

from __future__ import annotations

import hashlib
import re

_ALLOWED = re.compile(r"[A-Za-z0-9_-]+")
_REFUSED = re.compile(r"[^A-Za-z0-9_-]")


def tool_id(given: str) -> str:
    """The id itself when it is allowed, else one made of it: the same for the same input, so that a call and its
    result still match, and different for different inputs."""
    if _ALLOWED.fullmatch(given):
        return given
    digest = hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{_REFUSED.sub('_', given)[:40]}_{digest}"
