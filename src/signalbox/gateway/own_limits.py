"""What an answer tells of the caller's own limits of calls and tokens, in the words of its dialect."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from math import ceil

from signalbox.core.budgets import REQUESTS, TOKENS
from signalbox.gateway.framing import Headers
from signalbox.policy.purse import Account, Line
from signalbox.policy.windows import FOREVER_MS

# Limit, what remains of it, and when it is whole again.
_OPENAI = {
    REQUESTS: (b"x-ratelimit-limit-requests", b"x-ratelimit-remaining-requests", b"x-ratelimit-reset-requests"),
    TOKENS: (b"x-ratelimit-limit-tokens", b"x-ratelimit-remaining-tokens", b"x-ratelimit-reset-tokens"),
}
_ANTHROPIC = {
    REQUESTS: (
        b"anthropic-ratelimit-requests-limit",
        b"anthropic-ratelimit-requests-remaining",
        b"anthropic-ratelimit-requests-reset",
    ),
    TOKENS: (
        b"anthropic-ratelimit-tokens-limit",
        b"anthropic-ratelimit-tokens-remaining",
        b"anthropic-ratelimit-tokens-reset",
    ),
}


def limit_headers(lines: Sequence[Line], now_s: float, *, of_messages: bool) -> Headers:
    """Of each unit, the limit of which the least is left. One for ever has no reset. Of one whose window has ended
    since the call was counted nothing is known, and nothing said. now_s: Unix seconds."""
    tightest: dict[str, Account] = {}
    for line in lines:
        account = line.account
        if account is None or account.end_ms <= now_s * 1000:
            continue
        other = tightest.get(account.budget.unit)
        if other is None or account.remaining < other.remaining:
            tightest[account.budget.unit] = account
    found: Headers = []
    for unit, names in (_ANTHROPIC if of_messages else _OPENAI).items():
        account = tightest.get(unit)
        if account is None:
            continue
        limit, remaining, reset = names
        found += [(limit, b"%d" % account.budget.amount), (remaining, b"%d" % account.remaining)]
        if account.end_ms < FOREVER_MS:
            found.append((reset, _date(account.end_ms) if of_messages else _span(account.end_ms / 1000 - now_s)))
    return found


def _date(at_ms: int) -> bytes:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def _span(left_s: float) -> bytes:
    """`1h0m30s`: in whole seconds, never less than there are."""
    minutes, seconds = divmod(ceil(left_s), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return b"%dh%dm%ds" % (hours, minutes, seconds)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds
