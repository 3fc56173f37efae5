"""Which headers of an upstream's answer may go back to the client, and under which name."""

from __future__ import annotations

VERDICTS_MAX = 1024
# A client told to wait longer than this gives up or, worse, obeys; the next call may well go elsewhere.
RETRY_AFTER_S_MAX = 60

_KEPT = frozenset((b"openai-processing-ms", b"openai-version", b"x-should-retry"))
_KEPT_PREFIXES = (b"x-ratelimit-", b"anthropic-ratelimit-")
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
            value = _clamped(value, _WAITS[name])
        lines += start + value + b"\r\n"
    return lines


def _judge(name: bytes) -> bytes:
    if name in _REQUEST_IDS:
        start = b"x-signalbox-upstream-request-id: "
    elif name in _KEPT or name in _WAITS or name.startswith(_KEPT_PREFIXES):
        start = name + b": "
    else:
        start = b""
    if len(_verdicts) >= VERDICTS_MAX:
        _verdicts.clear()
    _verdicts[name] = start
    return start


def _clamped(value: bytes, most: int) -> bytes:
    """Numbers are kept between 0 and `most`; an HTTP date, which clients compare with their own clock, passes."""
    try:
        number = float(value)
    except ValueError:
        return value
    if 0 <= number <= most:
        return value
    return b"%d" % most if number > most else b"0"
