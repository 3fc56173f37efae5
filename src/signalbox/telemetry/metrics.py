"""The numbers behind the metrics: cheap to add to, readable after their process was killed, mergeable over processes.

Every series has a slot in one block of memory. A worker's block belongs to its supervisor, so that what the worker
counted up to the moment of a `kill -9` is still there. The declarations are in metric_table.py.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

import msgspec

from signalbox.core.records import CANCELLED, FAILED, SETTLED, UNKNOWN
from signalbox.core.usage import PICO, Usage
from signalbox.telemetry.metric_table import BY_NAME, SECONDS_BUCKETS

SLOTS_MAX = 65_536
NAMES_BYTES_MAX = 8 << 20
_HEAD_BYTES = 4096
_VALUES_AT = _HEAD_BYTES + NAMES_BYTES_MAX
_REGION_BYTES = _VALUES_AT + 8 * SLOTS_MAX
# A histogram's slots: its buckets, then +Inf, then the sum.
_WIDTH = len(SECONDS_BUCKETS) + 2

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


class _Slots:
    """Where the numbers of one deployment lie that every attempt touches."""

    __slots__ = ("cost", "first", "input", "output", "pace", "seconds", "state")

    def __init__(self, deployment: str, slot_of: Callable[[Key], int]) -> None:
        self.state = {
            state: slot_of(("signalbox_attempts_total", deployment, state))
            for state in (SETTLED, FAILED, CANCELLED, UNKNOWN)
        }
        self.seconds = slot_of(("signalbox_attempt_seconds", deployment))
        self.first = slot_of(("signalbox_first_token_seconds", deployment))
        self.pace = slot_of(("signalbox_output_token_seconds", deployment))
        self.input = slot_of(("signalbox_tokens_total", deployment, "input"))
        self.output = slot_of(("signalbox_tokens_total", deployment, "output"))
        self.cost = slot_of(("signalbox_cost_usd_total", deployment))


class Metrics:
    """This process's counters and histograms; gauges are set when the page is read."""

    __slots__ = ("_deployments", "_endpoints", "_next", "_region", "_slots", "_values", "_workloads")

    def __init__(self, region: Region | None = None) -> None:
        self._region = region or Region()
        self._values = self._region.values
        self._slots: dict[Key, int] = {}
        self._next = 0
        self._deployments: dict[str, _Slots] = {}
        self._workloads: dict[str, tuple[int, int]] = {}
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
            values[slot + _WIDTH - 1] += seconds

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
        slots = self._deployments.get(deployment)
        if slots is None:
            slots = self._deployments[deployment] = _Slots(deployment, self._slot)
        of_workload = self._workloads.get(workload)
        if of_workload is None:
            names = ("signalbox_workload_attempts_total", "signalbox_workload_cost_usd_total")
            of_workload = (self._slot((names[0], workload)), self._slot((names[1], workload)))
            self._workloads[workload] = of_workload
        values = self._values
        if slots.state[state] >= 0:
            values[slots.state[state]] += 1
        if of_workload[0] >= 0:
            values[of_workload[0]] += 1
        if duration_ns:
            self._observe(slots.seconds, duration_ns / 1e9)
        if first_ns:
            self._observe(slots.first, first_ns / 1e9)
            if state == SETTLED and usage.output_total > 1:
                self._observe(slots.pace, (duration_ns - first_ns) / 1e9 / (usage.output_total - 1))
        if usage.tokens_in and slots.input >= 0:
            values[slots.input] += usage.tokens_in
        if usage.tokens_out and slots.output >= 0:
            values[slots.output] += usage.tokens_out
        if cost_pico:
            cost_usd = cost_pico / PICO
            if slots.cost >= 0:
                values[slots.cost] += cost_usd
            if of_workload[1] >= 0:
                values[of_workload[1]] += cost_usd
        elif cost_pico is None:
            self.add(("signalbox_unpriced_attempts_total", deployment))
        if usage.unknown or usage.rare or usage.has_seldom:
            self._rare(deployment, usage)

    def _count(self, slot: int, value: float) -> None:
        if slot >= 0:
            self._values[slot] += value

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
            counted = self._slot(("signalbox_requests_total", endpoint, str(status)))
            slots = (counted, self._slot(("signalbox_request_seconds", endpoint)))
            self._endpoints[(endpoint, status)] = slots
        self._count(slots[0], 1)
        self._observe(slots[1], duration_ns / 1e9)

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
