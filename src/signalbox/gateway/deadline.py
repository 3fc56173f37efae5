"""How long a client will wait, as it says in the header of its library. What cannot be read says nothing."""

from __future__ import annotations

from functools import lru_cache

SECOND_NS = 1_000_000_000
# grpc-timeout: at most eight digits and a unit.
_GRPC = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_SUFFIXES = ((b"ms", 1e-3), (b"s", 1.0))
_SECONDS_MAX = 86_400.0

# How long a library waits for the next byte. A heartbeat is one: where heartbeats begin earlier, it waits for longer.
SILENCE_HEADERS = frozenset((b"x-stainless-timeout", b"x-stainless-read-timeout"))
TIMEOUT_HEADERS = SILENCE_HEADERS | {b"x-request-timeout", b"grpc-timeout"}


@lru_cache(maxsize=256)
def patience_ns(name: bytes, value: bytes) -> int:
    """The time a client allows, in nanoseconds; 0 when it does not say, or not so that it means anything.
    Libraries say the same few values with every call, so the last ones are remembered."""
    if name == b"grpc-timeout":
        unit = _GRPC.get(value[-1:], 0.0)
        number = value[:-1]
        if not unit or not number.isdigit() or len(number) > 8:
            return 0
        seconds = int(number) * unit
    else:
        seconds = _seconds(value.strip())
    return int(seconds * SECOND_NS) if 0 < seconds <= _SECONDS_MAX else 0


def _seconds(value: bytes) -> float:
    unit = 1.0
    for suffix, factor in _SUFFIXES:
        if value.endswith(suffix):
            value, unit = value[: -len(suffix)], factor
            break
    try:
        return float(value) * unit if len(value) <= 16 else 0.0
    except ValueError:
        return 0.0
