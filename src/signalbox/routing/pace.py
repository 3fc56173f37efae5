"""How fast something answers: a moving average and quantiles, learnt one duration at a time and forgetting slowly."""

from __future__ import annotations

# Weight of the newest duration in the average: about the last twenty count.
ALPHA = 0.1
# Four buckets for each doubling, up to 2^46 ns (19 hours); a quantile is known to a quarter of a doubling.
_BUCKETS = 47 * 4
# Counts are halved whenever so many have come, so that an hour ago counts for little.
_HALVE_AT = 1024


class Pace:
    """Durations in nanoseconds. average_ns: 0 before the first one."""

    __slots__ = ("_counts", "_total", "average_ns", "samples")

    def __init__(self) -> None:
        self.average_ns = 0.0
        self.samples = 0
        self._counts: list[int] = []
        self._total = 0

    def observe(self, ns: int) -> None:
        bits = ns.bit_length()
        if bits < 3:
            ns, bits = 4, 3
        elif bits > 46:
            ns, bits = 1 << 45, 46
        if not self.samples:
            self.average_ns = float(ns)
            self._counts = [0] * _BUCKETS
        else:
            self.average_ns += ALPHA * (ns - self.average_ns)
        self.samples += 1
        self._counts[(bits << 2) + (ns >> (bits - 3)) - 4] += 1
        self._total += 1
        if self._total >= _HALVE_AT:
            self._counts = [count >> 1 for count in self._counts]
            self._total = sum(self._counts)

    def quantile_ns(self, share: float) -> int:
        """An upper bound of the duration below which `share` (0 to 1) of the recent ones lie; 0 before the first."""
        wanted = share * self._total
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                bits, quarter = index >> 2, index & 3
                return (quarter + 5) << (bits - 3)
        return 0
