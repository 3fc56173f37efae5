"""Beta features that clients switch on by a header: which of them a deployment is told of, and how others are named."""

from __future__ import annotations

import re

HEADERS = frozenset((b"anthropic-beta", b"openai-beta"))
# Fits into a header of ours behind the name of its own.
_plain = re.compile(r"[A-Za-z0-9_.-]{1,48}").fullmatch


def known(value: bytes, betas: frozenset[str]) -> bytes:
    """A header's value without what is not in `betas`: the very same where all of it is, empty where nothing is."""
    given = _listed(value)
    kept = [one for one in given if one in betas]
    return value if len(kept) == len(given) else ",".join(kept).encode("latin-1")


def left_out(name: bytes, value: bytes, betas: frozenset[str]) -> list[str]:
    """What `known` takes out, as answers tell it: `anthropic-beta.context-1m-2025-08-07`."""
    header = name.decode("ascii")
    return [f"{header}.{one}" if _plain(one) else header for one in _listed(value) if one not in betas]


def _listed(value: bytes) -> list[str]:
    return [one for part in value.decode("latin-1").split(",") if (one := part.strip())]
