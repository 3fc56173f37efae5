"""What a workload amounts to: calls, tokens of a call with the history that is sent again, and when they come. Pure."""

from __future__ import annotations

from msgspec import Struct

from signalbox.planner.workload_file import Arrival, PlanWorkload, Volume

HOURS = 168
HOURS_PER_MONTH = 730.0
SECONDS_PER_HOUR = 3600.0

# Of what could come from a prompt cache, what does: entries expire, and calls of one conversation reach other replicas.
CACHE_HIT_SHARE = 0.9

# From here on a call can move to a quiet hour, or wait for a provider's batch.
SHIFT_DELAY_H, BATCH_DELAY_H = 12.0, 24.0

_OFFICE_DAY = (1, 1, 1, 1, 1, 2, 4, 10, 25, 40, 45, 42, 35, 38, 44, 42, 36, 25, 12, 8, 5, 3, 2, 1)
_CONSUMER_DAY = (9, 5, 3, 2, 2, 3, 6, 11, 16, 19, 21, 23, 25, 25, 24, 24, 26, 29, 33, 38, 42, 40, 30, 18)
_NIGHT_DAY = (40, 40, 40, 40, 40, 30, 10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 5, 10, 30, 40)
PROFILES: dict[str, tuple[float, ...]] = {
    "flat": (1.0,) * HOURS,
    "office": tuple(float(hour) for hour in _OFFICE_DAY) * 5 + tuple(hour * 0.12 for hour in _OFFICE_DAY) * 2,
    "consumer": tuple(float(hour) for hour in _CONSUMER_DAY) * 5 + tuple(hour * 1.15 for hour in _CONSUMER_DAY) * 2,
    "night": tuple(float(hour) for hour in _NIGHT_DAY) * 7,
}


class Demand(Struct, frozen=True):
    """input_tokens, output_tokens: means of one call, history and instructions included. cacheable: share of the
    input that a prompt cache serves. weights: 168 of mean 1. shiftable: calls can move to quiet hours."""

    requests_per_day: float
    input_tokens: float
    output_tokens: float
    cacheable: float
    weights: tuple[float, ...]
    cv: float
    max_delay_h: float = 0.0

    @property
    def tokens_per_day(self) -> float:
        return self.requests_per_day * (self.input_tokens + self.output_tokens)

    @property
    def peak_to_mean(self) -> float:
        return max(self.weights)

    @property
    def shiftable(self) -> bool:
        return self.max_delay_h >= SHIFT_DELAY_H

    @property
    def batchable(self) -> bool:
        return self.max_delay_h >= BATCH_DELAY_H

    def requests_per_s(self, hour: int) -> float:
        return self.requests_per_day / 24.0 * self.weights[hour] / SECONDS_PER_HOUR


def demand_of(workload: PlanWorkload) -> Demand:
    volume = workload.volume
    input_tokens = call_input_tokens(volume)
    cacheable = volume.cacheable.value if volume.cacheable is not None else cacheable_share(volume)
    delay = workload.targets.max_delay_h
    return Demand(
        requests_per_day=requests_per_day(volume),
        input_tokens=max(1.0, input_tokens),
        output_tokens=max(1.0, volume.output_tokens.value),
        cacheable=min(cacheable, 0.999),
        weights=weights_of(workload.arrival),
        cv=workload.arrival.cv.value,
        max_delay_h=delay.value if delay is not None else 0.0,
    )


def requests_per_day(volume: Volume) -> float:
    if volume.conversations_per_day is not None:
        return volume.conversations_per_day.value * max(1.0, volume.turns.value)
    if volume.requests_per_day is not None:
        return volume.requests_per_day.value
    per_call = _new_tokens(volume)
    stated = volume.tokens_per_day.value if volume.tokens_per_day is not None else 0.0
    return stated / per_call if per_call > 0 else 0.0


def call_input_tokens(volume: Volume) -> float:
    """Mean input of a call: turn k of a conversation carries the instructions and all that was said in k - 1 turns."""
    turns = max(1.0, volume.turns.value)
    said_before = (turns - 1.0) / 2.0 if volume.history else 0.0
    new = volume.input_tokens.value
    return volume.prompt_tokens.value + new + said_before * (new + volume.output_tokens.value)


def cacheable_share(volume: Volume) -> float:
    """Of a call's input what was sent before: instructions and history, as far as a cache still holds them."""
    total = call_input_tokens(volume)
    return CACHE_HIT_SHARE * (total - volume.input_tokens.value) / total if total > 0 else 0.0


def stated_tokens_per_day(volume: Volume) -> float:
    """What people mean by tokens a day: calls times their new tokens, nothing sent again."""
    return requests_per_day(volume) * _new_tokens(volume)


def _new_tokens(volume: Volume) -> float:
    return volume.prompt_tokens.value + volume.input_tokens.value + volume.output_tokens.value


def weights_of(arrival: Arrival) -> tuple[float, ...]:
    """168 weights of mean 1, sharpened or flattened to the stated peak."""
    raw = PROFILES[arrival.profile] if isinstance(arrival.profile, str) else tuple(arrival.profile)
    if arrival.peak_to_mean is None or arrival.peak_to_mean.value < 1:
        return _normal(raw)
    wanted = arrival.peak_to_mean.value
    if max(raw) == min(raw):
        return _spiked(_normal(raw), wanted)
    low, high = 0.0, 16.0
    for _ in range(60):
        power = (low + high) / 2
        if max(_normal(tuple(weight**power for weight in raw))) < wanted:
            low = power
        else:
            high = power
    sharp = _normal(tuple(weight**high for weight in raw))
    return sharp if max(sharp) >= wanted * 0.999 else _spiked(sharp, wanted)


def _normal(weights: tuple[float, ...]) -> tuple[float, ...]:
    mean = sum(weights) / len(weights)
    return tuple(weight / mean for weight in weights)


def _spiked(weights: tuple[float, ...], ratio: float) -> tuple[float, ...]:
    """One busy hour a day of this height, where a plateau keeps the shape itself from reaching it."""
    height = min(ratio, 23.0)
    days = range(0, HOURS, 24)
    spikes = {max(range(day, day + 24), key=lambda hour: weights[hour]) for day in days}
    rest = sum(weight for hour, weight in enumerate(weights) if hour not in spikes)
    factor = (HOURS - height * len(spikes)) / rest
    return tuple(height if hour in spikes else weight * factor for hour, weight in enumerate(weights))
