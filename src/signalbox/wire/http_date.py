"""Dates in HTTP headers, as far off as whoever wrote them says."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def seconds_until(when: bytes, date: bytes | None, now_s: float) -> float | None:
    """Seconds from an answer's own `date` to an HTTP date in it, so that no clock's error counts; negative for the
    past, None for what is no date. date: the header, None where there is none. now_s: Unix time, which is taken where
    the header is none or no date."""
    then = _unix_s(when)
    if then is None:
        return None
    since = _unix_s(date) if date is not None else None
    return then - (since if since is not None else now_s)


def _unix_s(date: bytes) -> float | None:
    try:
        return parsedate_to_datetime(date.decode("latin-1").strip()).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
