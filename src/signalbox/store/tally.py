"""Sums over the rows of one batch, taken from the rows themselves: rollups then need not read back what was written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import itemgetter

from signalbox.store.rows import ATTEMPT_COLUMNS

# A sum of pico-dollars passes 2**63 at nine million dollars: millionths and the rest are summed apart.
MICRO = 10**6
# As the columns of the rollups: attempts, tokens in, cache read, cache write, tokens out, cost in millionths of a
# dollar, the rest of it in pico-dollars, unpriced.
Sums = tuple[int, int, int, int, int, int, int, int]

_time_ms = itemgetter(ATTEMPT_COLUMNS.index("time_ms"))
_counts = itemgetter(
    *(
        ATTEMPT_COLUMNS.index(name)
        for name in ("tokens_in", "audio_in", "cache_read", "cache_write_5m", "cache_write_1h", "tokens_out",
                     "reasoning", "audio_out", "cost_pico")
    )
)  # fmt: skip


class Tally:
    """Sums by a span of time and by names. names: columns of attempts."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._named = itemgetter(*(ATTEMPT_COLUMNS.index(name) for name in names))

    def of(self, rows: Iterable[Sequence[object]], span_ms: int) -> list[tuple[object, ...]]:
        """(start of the span, names..., sums...) of each group, in order, so that two processes that add to the same
        groups do so in one order and neither waits for the other for ever."""
        groups: dict[tuple[int, tuple[object, ...]], list[int]] = {}
        named = self._named
        for row in rows:
            key = (_time_ms(row) // span_ms, named(row))
            sums = groups.get(key)
            if sums is None:
                sums = groups[key] = [0] * 7
            tokens_in, audio_in, read, write_5m, write_1h, tokens_out, reasoning, audio_out, cost = _counts(row)
            sums[0] += 1
            sums[1] += tokens_in + audio_in
            sums[2] += read
            sums[3] += write_5m + write_1h
            sums[4] += tokens_out + reasoning + audio_out
            if cost is None:
                sums[6] += 1
            else:
                sums[5] += cost
        return sorted(
            (span * span_ms, *names, *sums[:5], *divmod(sums[5], MICRO), sums[6])
            for (span, names), sums in groups.items()
        )
