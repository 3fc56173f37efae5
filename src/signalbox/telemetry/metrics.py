"""The numbers behind the metrics: cheap to add to, readable after their process was killed, mergeable over processes.

Every series has a slot in one block of memory. A worker's block belongs to its supervisor, so that what the worker
counted up to the moment of a `kill -9` is still there. The declarations are in metric_table.py.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from signalbox.core.records import CANCELLED, FAILED, SETTLED, UNKNOWN
from signalbox.core.usage import PICO, Usage
from signalbox.telemetry.metric_table import BY_NAME, SECONDS_BUCKETS

SLOTS_MAX = 65_536
NAMES_BYTES_MAX = 8 << 20
_HEAD_BYTES = 4096
_VALUES_AT = _HEAD_BYTES + NAMES_BYTES_MAX
# A histogram's slots: its buckets, then +Inf, then the sum.
_WIDTH = len(SECONDS_BUCKETS) + 2
_SUM = _WIDTH - 1
# Where the numbers of series go that there is no room for: read by nobody.
_NOWHERE = SLOTS_MAX
_REGION_BYTES = _VALUES_AT + 8 * (SLOTS_MAX + _WIDTH)
# Combinations whose places are remembered.
_CELLS_MAX = 16_384

# A metric's name, then its label values in declared order.
Key = tuple[str, ...]
HistogramRow = tuple[tuple[str, ...], list[float]]
_DROPPED: Key = ("signalbox_dropped_series_total",)


class Export(msgspec.Struct, frozen=True):
    """One process's metrics as they travel to the supervisor."""

    series: list[tuple[tuple[str, ...], float]]
    histograms: list[HistogramRow]


class Region:
    """A block of memory with the names of series and their values. Pages that were never touched cost nothing."""

    __slots__ = ("_bytes", "_length", "values")

    def __init__(self, descriptor: int = -1) -> None:
        """descriptor: from `shared_region`; without one the memory is the process's own."""
        self._bytes = mmap.mmap(descriptor, _REGION_BYTES)
        view = memoryview(self._bytes)
        self._length = view[:8].cast("Q")
        self.values = view[_VALUES_AT:].cast("d")

    def add_name(self, key: Key) -> bool:
        """Puts the next series' name on record; False when there is no room. It is readable before its value is."""
        line = msgspec.json.encode(key) + b"\n"
        start = _HEAD_BYTES + self._length[0]
        if start + len(line) > _VALUES_AT:
            return False
        self._bytes[start : start + len(line)] = line
        self._length[0] += len(line)
        return True

    def names(self) -> list[Key]:
        written = self._bytes[_HEAD_BYTES : _HEAD_BYTES + self._length[0]]
        return [msgspec.json.decode(line, type=Key) for line in written.splitlines()]


def shared_region() -> int:
    """The descriptor of a new region, for a process that inherits it: in memory where the system can do that, else in
    a file without a name."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("signalbox-metrics")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _REGION_BYTES)
    return descriptor


class _Cells(NamedTuple):
    """Where the numbers of one deployment, workload and state lie that every attempt touches."""

    attempts: int
    seconds: int
    input: int
    output: int
    cost: int
    workload_count: int
    workload_cost: int
    first: int
    pace: int


class Metrics:
    """This process's counters and histograms; gauges are set when the page is read."""

    __slots__ = ("_cells", "_endpoints", "_next", "_region", "_slots", "_values")

    def __init__(self, region: Region | None = None) -> None:
        self._region = region or Region()
        self._values = self._region.values
        self._slots: dict[Key, int] = {}
        self._next = 0
        self._cells: dict[tuple[str, str, str], _Cells] = {}
        self._endpoints: dict[tuple[str, int], tuple[int, int]] = {}
        if region is None or not region.names():
            self._slot(_DROPPED)
        else:
            for key in region.names():
                self._slots[key] = self._next
                self._next += _width(key)

    # --- writing ---

    def add(self, key: tuple[str, ...], value: float = 1) -> None:
        """key: metric name, then its label values in declared order."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slot(key)
        if slot >= 0:
            self._values[slot] += value

    def set(self, key: tuple[str, ...], value: float) -> None:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slot(key)
        if slot >= 0:
            self._values[slot] = value

    def observe(self, key: tuple[str, ...], seconds: float) -> None:
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slot(key)
        self._observe(slot, seconds)

    def _observe(self, slot: int, seconds: float) -> None:
        if slot >= 0:
            values = self._values
            values[slot + bisect_left(SECONDS_BUCKETS, seconds)] += 1
            values[slot + _SUM] += seconds

    def _slot(self, key: Key) -> int:
        """The place of a series, a new one if need be; -1 when there is no room, which is counted."""
        slot = self._slots.get(key)
        if slot is not None:
            return slot
        width = _width(key)
        if self._next + width > SLOTS_MAX or not self._region.add_name(key):
            self._values[self._slots[_DROPPED]] += 1
            return -1
        slot = self._slots[key] = self._next
        self._next += width
        return slot

    def attempt(
        self,
        deployment: str,
        workload: str,
        state: str,
        usage: Usage,
        cost_pico: int | None,
        duration_ns: int,
        first_ns: int = 0,
    ) -> None:
        """One attempt ended. duration_ns: 0 when nobody knows. first_ns: from its start to the first content of its
        stream, 0 for none."""
        cells = self._cells.get((deployment, workload, state))
        if cells is None:
            cells = self._cells_of(deployment, workload, state)
        count, seconds, tokens_in, tokens_out, cost, workload_count, workload_cost, _, _ = cells
        values = self._values
        values[count] += 1
        values[workload_count] += 1
        if duration_ns:
            elapsed_s = duration_ns / 1e9
            values[seconds + bisect_left(SECONDS_BUCKETS, elapsed_s)] += 1
            values[seconds + _SUM] += elapsed_s
        if first_ns:
            self._first(cells, state, usage, duration_ns, first_ns)
        values[tokens_in] += usage.tokens_in
        values[tokens_out] += usage.tokens_out
        if cost_pico:
            cost_usd = cost_pico / PICO
            values[cost] += cost_usd
            values[workload_cost] += cost_usd
        elif cost_pico is None:
            self.add(("signalbox_unpriced_attempts_total", deployment))
        if usage.unknown or usage.rare or usage.has_seldom():
            self._rare(deployment, usage)

    def _first(self, cells: _Cells, state: str, usage: Usage, duration_ns: int, first_ns: int) -> None:
        self._observe(cells.first, first_ns / 1e9)
        if state == SETTLED and usage.output_total > 1:
            self._observe(cells.pace, (duration_ns - first_ns) / 1e9 / (usage.output_total - 1))

    def _cells_of(self, deployment: str, workload: str, state: str) -> _Cells:
        """The places of an attempt's numbers. All states of a deployment get theirs with the first of them."""
        for other in (SETTLED, FAILED, CANCELLED, UNKNOWN):
            self._slot(("signalbox_attempts_total", deployment, other))
        names: tuple[Key, ...] = (
            ("signalbox_attempts_total", deployment, state),
            ("signalbox_attempt_seconds", deployment),
            ("signalbox_tokens_total", deployment, "input"),
            ("signalbox_tokens_total", deployment, "output"),
            ("signalbox_cost_usd_total", deployment),
            ("signalbox_workload_attempts_total", workload),
            ("signalbox_workload_cost_usd_total", workload),
            ("signalbox_first_token_seconds", deployment),
            ("signalbox_output_token_seconds", deployment),
        )
        if len(self._cells) >= _CELLS_MAX:
            self._cells.clear()
        slots = (self._slot(name) for name in names)
        cells = _Cells(*(slot if slot >= 0 else _NOWHERE for slot in slots))
        self._cells[(deployment, workload, state)] = cells
        return cells

    def _rare(self, deployment: str, usage: Usage) -> None:
        for name, tokens in (
            ("cache_read", usage.cache_read),
            ("cache_write", usage.cache_write_5m + usage.cache_write_1h),
            ("reasoning", usage.reasoning),
            ("audio", usage.audio_in + usage.audio_out),
        ):
            if tokens:
                self.add(("signalbox_tokens_total", deployment, name), tokens)
        for name, count in usage.rare:
            self.add(("signalbox_tokens_total", deployment, name), count)
        if usage.unknown:
            self.add(("signalbox_unknown_usage_fields_total", deployment))

    def request(self, endpoint: str, status: int, duration_ns: int) -> None:
        """One request was answered. Endpoints and statuses are few: their places are looked up once."""
        slots = self._endpoints.get((endpoint, status))
        if slots is None:
            found = (
                self._slot(("signalbox_requests_total", endpoint, str(status))),
                self._slot(("signalbox_request_seconds", endpoint)),
            )
            slots = found[0] if found[0] >= 0 else _NOWHERE, found[1] if found[1] >= 0 else _NOWHERE
            self._endpoints[(endpoint, status)] = slots
        counted, seconds = slots
        values, elapsed_s = self._values, duration_ns / 1e9
        values[counted] += 1
        values[seconds + bisect_left(SECONDS_BUCKETS, elapsed_s)] += 1
        values[seconds + _SUM] += elapsed_s

    # --- reading ---

    def rows(self) -> Iterator[tuple[Key, list[float]]]:
        """Every series with its numbers: one, or those of a histogram."""
        values = self._values
        for key, slot in self._slots.items():
            yield key, [float(value) for value in values[slot : slot + _width(key)]]

    def by_name(self) -> dict[str, list[tuple[Key, list[float]]]]:
        """Series grouped by metric, as (label values, numbers), label values sorted."""
        found: dict[str, list[tuple[Key, list[float]]]] = {}
        for (name, *labels), values in sorted(self.rows()):
            found.setdefault(name, []).append((tuple(labels), values))
        return found

    def export(self) -> Export:
        """Everything as plain data, for the supervisor."""
        series: list[tuple[Key, float]] = []
        histograms: list[HistogramRow] = []
        for key, values in self.rows():
            if len(values) == 1:
                series.append((key, values[0]))
            else:
                histograms.append((key, values))
        return Export(series, histograms)

    def absorb(self, export: Export) -> None:
        """Adds another process's numbers to these; of gauges that say so, the larger one stays."""
        for key, value in export.series:
            metric = BY_NAME.get(key[0])
            if metric is not None and metric.merge == "max":
                slot = self._slot(key)
                self.set(key, max(value, self._values[slot] if slot >= 0 else value))
            else:
                self.add(key, value)
        for key, values in export.histograms:
            slot = self._slot(key)
            if slot >= 0:
                for index, value in enumerate(values[:_WIDTH]):
                    self._values[slot + index] += value


def _width(key: Key) -> int:
    metric = BY_NAME.get(key[0])
    return _WIDTH if metric is not None and metric.kind == "histogram" else 1


def merge(exports: Iterable[Export]) -> Metrics:
    """The sum over processes. Gauges are added too, since each process exports its own share, or the worst is kept."""
    total = Metrics()
    for export in exports:
        total.absorb(export)
    return total


def counters(export: Export) -> Export:
    """An export without its gauges."""
    return Export([(key, value) for key, value in export.series if _lasts(key)], export.histograms)


def _lasts(key: Key) -> bool:
    metric = BY_NAME.get(key[0])
    return metric is not None and metric.kind == "counter"
