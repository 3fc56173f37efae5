"""How full a self-hosted deployment is: what engines tell of themselves, and thresholds that do not flutter. Pure."""

from __future__ import annotations

import msgspec

from signalbox.core.snapshot import Saturation

# What the engines call it: requests that wait, requests that run, the share of the KV cache in use.
WAITING = (
    "vllm:num_requests_waiting",
    "sglang:num_queue_reqs",
    "tgi_queue_size",
    "llamacpp:requests_deferred",
)
RUNNING = (
    "vllm:num_requests_running",
    "sglang:num_running_reqs",
    "tgi_batch_current_size",
    "llamacpp:requests_processing",
)
KV_CACHE = (
    "vllm:kv_cache_usage_perc",
    "vllm:gpu_cache_usage_perc",
    "sglang:token_usage",
    "llamacpp:kv_cache_usage_ratio",
)
_NAMES = {name: kind for kind, names in enumerate((WAITING, RUNNING, KV_CACHE)) for name in names}
PAGE_LINES_MAX = 20_000
# Counts of calls and of those that spilled are halved in about half a minute.
FORGET = 0.977


class Reading(msgspec.Struct, frozen=True):
    """What one replica told. kv_cache: 0 to 1. None: it did not say."""

    waiting: float | None = None
    running: float | None = None
    kv_cache: float | None = None


def read(page: str, model: str) -> Reading:
    """A Prometheus page of vLLM, SGLang, TGI or llama.cpp. Where it tells models apart and knows this one, only its
    lines count; counts of several engines are added, of cache shares the largest counts."""
    mine: list[list[float]] = [[], [], []]
    whole: list[list[float]] = [[], [], []]
    wanted = f'model_name="{model}"'
    for line in page.splitlines()[:PAGE_LINES_MAX]:
        name, brace, rest = line.partition("{")
        if not brace:
            name, _, rest = line.partition(" ")
        kind = _NAMES.get(name)
        if kind is None:
            continue
        value = _value(rest.rpartition("}")[2] if brace else rest)
        if value is not None:
            whole[kind].append(value)
            if wanted in rest:
                mine[kind].append(value)
    found = [own or all_ for own, all_ in zip(mine, whole, strict=True)]
    return Reading(
        waiting=sum(found[0]) if found[0] else None,
        running=sum(found[1]) if found[1] else None,
        kv_cache=max(found[2]) if found[2] else None,
    )


def _value(text: str) -> float | None:
    parts = text.split()
    try:
        value = float(parts[0])
    except (ValueError, IndexError):
        return None
    return value if 0.0 <= value < 1e12 else None


class Gauge:
    """Whether one deployment is full. why: what made it so (waiting, kv_cache, in_flight), empty when it is not.

    It is full when the least full of its replicas passes a threshold, and no longer when everything is below
    `clears_at` of the thresholds again."""

    __slots__ = ("_calls", "_readings", "_settings", "_spilled", "why")

    def __init__(self, settings: Saturation) -> None:
        self._settings = settings
        self._readings: dict[int, Reading] = {}
        self._calls = self._spilled = 0.0
        self.why = ""

    def adopt(self, settings: Saturation) -> None:
        self._settings = settings

    def take(self, replica: int, reading: Reading | None, replicas: int) -> None:
        """The newest reading of one replica; None when it could not be had: then it says nothing."""
        if reading is None:
            self._readings.pop(replica, None)
        else:
            self._readings[replica] = reading
        for gone in [index for index in self._readings if index >= replicas]:
            del self._readings[gone]

    def full(self, active: int, replicas: int) -> str:
        """Why nothing more should go there now, empty when it may."""
        scale = self._settings.clears_at if self.why else 1.0
        self.why = self._above(active, replicas, scale)
        return self.why

    def may_spill(self, share_max: float) -> bool:
        """Counts one call, and says whether it may go elsewhere within the share that may."""
        self._calls += 1.0
        if self._spilled + 1.0 > share_max * self._calls + (1.0 if share_max else 0.0):
            return False
        self._spilled += 1.0
        return True

    def stayed(self) -> None:
        """Counts one call that did not have to go elsewhere."""
        self._calls += 1.0

    def forget(self) -> None:
        """Once a second."""
        self._calls *= FORGET
        self._spilled *= FORGET

    def _above(self, active: int, replicas: int, scale: float) -> str:
        settings = self._settings
        if settings.in_flight_max and active >= scale * settings.in_flight_max * replicas:
            return "in_flight"
        if len(self._readings) < replicas:
            return ""  # one that tells nothing may have room
        readings = self._readings.values()
        if settings.waiting_max is not None:
            least = min(reading.waiting or 0.0 for reading in readings)
            if least > scale * settings.waiting_max:
                return "waiting"
        if settings.kv_cache_max and min(reading.kv_cache or 0.0 for reading in readings) >= (
            scale * settings.kv_cache_max
        ):
            return "kv_cache"
        return ""
