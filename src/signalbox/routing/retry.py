"""How often and how soon a failed attempt may be made again: budgets, full jitter, and what providers ask to wait."""

from __future__ import annotations

import re
from typing import Any, cast

import msgspec

from signalbox.wire.http_date import seconds_until

# No wait that a provider asks for counts for more than this, and no caller is told more.
RETRY_AFTER_S_MAX = 60.0
# Retries may make up this share of a deployment's attempts, of those under way as of those over time …
BUDGET_SHARE = 0.15
# … but so many at a time are always allowed, and as many in a row after a quiet time.
BUDGET_MIN = 3
BUDGET_CREDIT_MAX = 50.0
# One retry of that reserve comes back in this time.
REFILL_NS = 20_000_000_000
BODY_BYTES_MAX = 16 * 1024

_DURATION = re.compile(r"(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,9}(?:\.\d{1,9})?)(ms|s))?\Z")
_TRY_AGAIN = re.compile(
    r"(?:try again|retry)[a-z ]{0,16} in (\d[0-9hms.]{0,20})(?:\s*(seconds?|s\b|ms\b))?", re.IGNORECASE
)


class Budget:
    """How many retries one deployment may still be given. Attempts earn a share of a retry each; a small reserve comes
    back with time. So a deployment that fails for everybody sees little more traffic than was meant for it."""

    __slots__ = ("_attempts_seen", "_credit", "_filled_ns", "under_way")

    def __init__(self) -> None:
        self.under_way = 0
        self._credit = float(BUDGET_MIN)
        self._attempts_seen = 0
        self._filled_ns = 0

    def take(self, now_ns: int, attempts: int, active: int) -> bool:
        """Whether one more retry may be made, which is then under way until `done`. attempts: first ones so far.
        active: those under way now."""
        if self.under_way >= max(BUDGET_MIN, BUDGET_SHARE * active):
            return False
        self._earn(now_ns, attempts)
        if self._credit < 1.0:
            return False
        self._credit -= 1.0
        self.under_way += 1
        return True

    def done(self) -> None:
        self.under_way -= 1

    def _earn(self, now_ns: int, attempts: int) -> None:
        earned = BUDGET_SHARE * (attempts - self._attempts_seen)
        self._attempts_seen = attempts
        if self._credit < BUDGET_MIN and self._filled_ns:
            earned += min(BUDGET_MIN - self._credit, (now_ns - self._filled_ns) / REFILL_NS)
        self._filled_ns = now_ns
        self._credit = min(BUDGET_CREDIT_MAX, self._credit + earned)


def pause_s(tries: int, base_s: float, max_s: float, chance: float) -> float:
    """Full jitter: anything from nothing to base_s × 2^(tries - 1), evenly. tries: how many failed. chance: 0..1."""
    return chance * min(max_s, base_s * (1 << min(max(tries, 1) - 1, 16)))


def retry_after_s(headers: list[tuple[bytes, bytes]], body: bytes, now_s: float) -> float | None:
    """How long the provider asks to wait, in seconds from 0 to RETRY_AFTER_S_MAX; None when it does not say.

    Understood are `retry-after-ms` and `x-ms-retry-after-ms`, `retry-after` in seconds and as an HTTP date (measured by
    the answer's own `date`, so that no clock's error counts), and what bodies say instead: OpenAI's "try again in
    1.2s", Google's RetryInfo, and plain `retry_after` fields. now_s: Unix time, for a date without a `date`."""
    said: float | None = None
    date: bytes | None = None
    wanted: bytes | None = None
    for name, value in headers:
        if name in (b"retry-after-ms", b"x-ms-retry-after-ms"):
            milliseconds = _number(value.decode("latin-1"))
            if milliseconds is not None:
                return _within(milliseconds / 1000)
        elif name == b"retry-after":
            wanted = value
        elif name == b"date":
            date = value
    if wanted is not None:
        said = _number(wanted.decode("latin-1"))
        if said is None:
            said = seconds_until(wanted, date, now_s)
    if said is None and body:
        said = _in_body(body[:BODY_BYTES_MAX])
    return None if said is None else _within(said)


def _within(seconds: float) -> float:
    return min(max(seconds, 0.0), RETRY_AFTER_S_MAX)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if value == value else None  # not NaN


def _in_body(body: bytes) -> float | None:
    try:
        doc: object = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(doc, dict):
        return None
    top = cast("dict[str, Any]", doc)
    inner = top.get("error")
    error = cast("dict[str, Any]", inner) if isinstance(inner, dict) else top
    for place in (error, top):
        for key, unit_s in (("retry_after", 1.0), ("retry_after_seconds", 1.0), ("retry_after_ms", 0.001)):
            value = place.get(key)
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value) * unit_s
    return _retry_info(error.get("details")) or _in_words(error.get("message"))


def _retry_info(details: object) -> float | None:
    """`{"@type": "…/google.rpc.RetryInfo", "retryDelay": "34.07s"}` among an error's details."""
    if not isinstance(details, list):
        return None
    for entry in cast("list[object]", details):
        if isinstance(entry, dict):
            delay = cast("dict[str, Any]", entry).get("retryDelay")
            if isinstance(delay, str):
                return _duration(delay)
    return None


def _in_words(message: object) -> float | None:
    if not isinstance(message, str):
        return None
    found = _TRY_AGAIN.search(message)
    if found is None:
        return None
    text = found.group(1).rstrip(".")
    if text[-1].isdigit():
        text += "ms" if (found.group(2) or "").lower() == "ms" else "s"
    return _duration(text)


def _duration(text: str) -> float | None:
    """`1.2s`, `350ms`, `6m0s`, `1h2m3s` in seconds."""
    match = _DURATION.match(text.strip())
    if match is None or not text:
        return None
    hours, minutes, number, unit = match.groups()
    seconds = float(number or 0) * (0.001 if unit == "ms" else 1.0)
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + seconds
