"""Takes our own credential out of what an upstream says: providers quote it back, whole or in part, in their errors."""

from __future__ import annotations

import re

from signalbox.core.secret import Secret

REDACTED = b"[redacted]"

# Long enough to tell something about a key, short enough to catch what providers show of it.
_FRAGMENT_CHARS = 8
_MASKED_START_CHARS = 3
_MASKED_END_CHARS = 3

# A run of what keys are made of, and of what they are masked with (the last is the UTF-8 ellipsis).
_RUN = re.compile(rb"(?:[A-Za-z0-9_\-+/=.~%*]|\xe2\x80\xa6|\xe2\x80\xa2)+")
_MASK = re.compile(rb"\*{2,}|\.{3,}|(?:\xe2\x80\xa6)+|(?:\xe2\x80\xa2)+|[xX]{4,}")


def scrub(data: bytes, secret: Secret | None) -> bytes:
    """`data` without the secret, any 8 characters of it, or a masked form such as `sk-ab***wxyz`. A leading scheme
    word (`Bearer `) is no part of the secret."""
    if secret is None:
        return data
    key = secret.reveal().rpartition(" ")[2].encode("latin-1", "replace")
    if not key:
        return data
    data = data.replace(key, REDACTED)
    if len(key) < _FRAGMENT_CHARS:
        return data
    fragments = {key[i : i + _FRAGMENT_CHARS] for i in range(len(key) - _FRAGMENT_CHARS + 1)}
    return _RUN.sub(lambda run: REDACTED if _tells(run.group(), key, fragments) else run.group(), data)


def _tells(run: bytes, key: bytes, fragments: set[bytes]) -> bool:
    for i in range(len(run) - _FRAGMENT_CHARS + 1):
        if run[i : i + _FRAGMENT_CHARS] in fragments:
            return True
    mask = _MASK.search(run)
    if mask is None:
        return False
    start, end = run[: mask.start()], run[mask.end() :].rstrip(b".")
    return (len(start) >= _MASKED_START_CHARS and key.startswith(start)) or (
        len(end) >= _MASKED_END_CHARS and key.endswith(end)
    )
