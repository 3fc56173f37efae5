"""Rate limits of a simulated provider, the headers that tell of them, and how busy it is."""

from __future__ import annotations

import datetime
import math

from signalbox.simulator.model import Refusal
from signalbox.simulator.settings import ProviderSpec

Headers = tuple[tuple[str, str], ...]


class Bucket:
    """A token bucket that refills over one minute."""

    __slots__ = ("_at_s", "_left", "per_minute")

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._left = float(per_minute)
        self._at_s = 0.0

    def left(self, now_s: float) -> float:
        if self._at_s:
            self._left = min(self.per_minute, self._left + (now_s - self._at_s) * self.per_minute / 60.0)
        self._at_s = now_s
        return self._left

    def take(self, amount: int) -> None:
        self._left -= amount

    def wait_s(self, amount: int, now_s: float) -> float:
        """Seconds until `amount` is there. An amount beyond the whole bucket waits for a full one."""
        short = min(amount, self.per_minute) - self.left(now_s)
        return max(0.0, short * 60.0 / self.per_minute)


class ProviderState:
    """What a provider remembers between requests. in_flight: requests being generated, by model."""

    def __init__(self, name: str, spec: ProviderSpec) -> None:
        self.name = name
        self.spec = spec
        self.in_flight: dict[str, int] = dict.fromkeys(spec.models, 0)
        self.tokens_in_flight: dict[str, int] = dict.fromkeys(spec.models, 0)
        self.running = 0
        self._requests = Bucket(spec.rpm)
        self._tokens = Bucket(spec.tpm)
        self.limited = bool(spec.rpm or spec.tpm or spec.concurrency)

    def begin(self, model: str, tokens: int) -> None:
        self.running += 1
        self.in_flight[model] += 1
        self.tokens_in_flight[model] += tokens

    def end(self, model: str, tokens: int) -> None:
        self.running -= 1
        self.in_flight[model] -= 1
        self.tokens_in_flight[model] -= tokens

    def admit(self, tokens: int, now_s: float, anthropic: bool) -> Headers:
        """Takes from the buckets and returns the headers of the answer, or raises a 429 that says when to return."""
        if self.spec.concurrency and self.running >= self.spec.concurrency:
            raise self._refusal("concurrent requests", 1.0, now_s, anthropic)
        for bucket, amount, what in ((self._requests, 1, "requests"), (self._tokens, tokens, "tokens")):
            if bucket.per_minute:
                wait_s = bucket.wait_s(amount, now_s)
                if wait_s > 0:
                    raise self._refusal(what + " per minute", wait_s, now_s, anthropic)
        self._requests.take(1)
        self._tokens.take(tokens)
        return self.headers(now_s, anthropic)

    def _refusal(self, what: str, wait_s: float, now_s: float, anthropic: bool) -> Refusal:
        headers = (("retry-after", str(math.ceil(wait_s))), *self.headers(now_s, anthropic))
        message = f"Rate limit reached for {what}. Please try again in {wait_s:.3f}s."
        return Refusal(429, "rate_limit_exceeded", message, headers=headers)

    def headers(self, now_s: float, anthropic: bool) -> Headers:
        found: list[tuple[str, str]] = []
        for bucket, what in ((self._requests, "requests"), (self._tokens, "tokens")):
            if not bucket.per_minute:
                continue
            left = max(0, int(bucket.left(now_s)))
            reset_s = (bucket.per_minute - left) * 60.0 / bucket.per_minute
            if anthropic:
                when = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=reset_s)
                stem = f"anthropic-ratelimit-{what}-"
                reset = when.strftime("%Y-%m-%dT%H:%M:%SZ")
                found += [(stem + "limit", str(bucket.per_minute)), (stem + "remaining", str(left))]
                found.append((stem + "reset", reset))
            else:
                found += [(f"x-ratelimit-limit-{what}", str(bucket.per_minute))]
                found += [
                    (f"x-ratelimit-remaining-{what}", str(left)),
                    (f"x-ratelimit-reset-{what}", f"{reset_s:.3f}s"),
                ]
        return tuple(found)
