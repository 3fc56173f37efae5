"""Which try of a call this is, as its client's library counts: each of its tries is a call of its own here."""

from __future__ import annotations

from signalbox.core.call import Call

# Both official SDKs and what is built upon them send it, 0 with the first try.
RETRY_COUNT = b"x-stainless-retry-count"
_DIGITS_MAX = 6


def tries_before(call: Call) -> int | None:
    """How many tries of it the library made before; None where it does not count, or not so that it can be read."""
    value = next((value for name, value in call.headers if name == RETRY_COUNT), b"")
    return int(value) if value.isdigit() and len(value) <= _DIGITS_MAX else None
