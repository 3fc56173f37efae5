"""Which headers of an upstream's answer may go back to the client, and under which name."""

from __future__ import annotations

import time

from signalbox.wire.http_date import seconds_until

VERDICTS_MAX = 1024
# A client told to wait longer than this gives up or, worse, obeys; the next call may well go elsewhere.
RETRY_AFTER_S_MAX = 60

_KEPT = frozenset((b"openai-processing-ms", b"openai-version", b"x-should-retry"))
_LIMIT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
_REQUEST_IDS = frozenset((b"request-id", b"x-request-id", b"apim-request-id", b"x-ms-request-id"))
_WAITS = {b"retry-after": RETRY_AFTER_S_MAX, b"retry-after-ms": RETRY_AFTER_S_MAX * 1000}

# Header name to the start of the line it becomes, b"" for one that stays here.
_verdicts: dict[bytes, bytes] = {}


def passed(headers: list[tuple[bytes, bytes]]) -> bytes:
    """The header lines, each ending in CRLF, that may go back. headers: names in lower case, as the transport gives
    them. Everything that is not named here stays: framing, cookies, the provider's infrastructure and account."""
    lines = b""
    identified = False
    for name, value in headers:
        start = _verdicts.get(name)
        if start is None:
            start = _judge(name)
        if not start:
            continue
        if name in _REQUEST_IDS:
            if identified:
                continue
            identified = True
        elif name in _WAITS:
            value = _clamped(value, _WAITS[name], headers)
        lines += start + value + b"\r\n"
    return lines


def without_limits(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """For callers with limits of their own: those that a provider tells are ours with it, and not theirs."""
    return [(name, value) for name, value in headers if not name.startswith(_LIMIT_PREFIXES)]


def _judge(name: bytes) -> bytes:
    if name in _REQUEST_IDS:
        start = b"x-signalbox-upstream-request-id: "
    elif name in _KEPT or name in _WAITS or name.startswith(_LIMIT_PREFIXES):
        start = name + b": "
    else:
        start = b""
    if len(_verdicts) >= VERDICTS_MAX:
        _verdicts.clear()
    _verdicts[name] = start
    return start


def _clamped(value: bytes, most: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Numbers are kept between 0 and `most`. An HTTP date, which clients compare with their own clock, passes unless it
    is further away than that."""
    try:
        number = float(value)
    except ValueError:
        date = next((said for name, said in headers if name == b"date"), None)
        return b"%d" % most if (seconds_until(value, date, time.time()) or 0.0) > RETRY_AFTER_S_MAX else value
    if 0 <= number <= most:
        return value
    return b"%d" % most if number > most else b"0"
