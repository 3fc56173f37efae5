"""How many tokens something probably is, learnt per deployment from what its provider counted.

Used where the provider's own figure is missing: bounds written before an attempt, progress of open streams, and the
estimate for a stream that was cut. Every figure leans to the high side.
"""

from __future__ import annotations

from math import ceil

from signalbox.core.usage import Usage

# Before anything was observed: above what tokenizers give for English, code and CJK text in UTF-8 JSON bodies.
TOKENS_PER_BODY_BYTE = 0.5
TOKENS_PER_OUTPUT_CHAR = 1.0


class Calibration:
    """Decaying upper bounds of two ratios of one deployment."""

    __slots__ = ("_samples", "in_per_byte", "out_per_char")

    def __init__(self) -> None:
        self.in_per_byte = TOKENS_PER_BODY_BYTE
        self.out_per_char = TOKENS_PER_OUTPUT_CHAR
        self._samples = 0

    def observe(self, body_bytes: int, output_chars: int, usage: Usage) -> None:
        self._samples += 1
        # Quick to rise, slow to fall: after the first samples a fiftieth of the way down each time.
        weight = max(0.02, 1 / (self._samples + 1))
        if body_bytes and usage.input_total:
            sample = usage.input_total / body_bytes
            self.in_per_byte = max(sample, self.in_per_byte + (sample - self.in_per_byte) * weight)
        if output_chars and usage.tokens_out:
            sample = usage.tokens_out / output_chars
            self.out_per_char = max(sample, self.out_per_char + (sample - self.out_per_char) * weight)

    def tokens_in(self, body_bytes: int) -> int:
        return ceil(body_bytes * self.in_per_byte)

    def tokens_out(self, output_chars: int, events: int) -> int:
        """events: content events seen, each at least one token with every known provider."""
        return max(events, ceil(output_chars * self.out_per_char))


class Metering:
    """One calibration a deployment, by name so that it outlives a reload; bounded by the configuration's size."""

    NAMES_MAX = 10_000

    def __init__(self) -> None:
        self._by_name: dict[str, Calibration] = {}

    def of(self, deployment: str) -> Calibration:
        found = self._by_name.get(deployment)
        if found is None:
            if len(self._by_name) >= self.NAMES_MAX:
                self._by_name.clear()
            found = self._by_name[deployment] = Calibration()
        return found
