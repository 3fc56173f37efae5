"""What this process uses of its machine: memory and processor time."""

from __future__ import annotations

import os
import resource
import sys

import msgspec

_PAGE_BYTES = os.sysconf("SC_PAGESIZE")


class ProcessUsage(msgspec.Struct, frozen=True):
    """memory_bytes: resident now. cpu_s: user and system time since the start."""

    memory_bytes: int
    cpu_s: float


def usage_now() -> ProcessUsage:
    times = os.times()
    return ProcessUsage(_resident_bytes(), times.user + times.system)


def _resident_bytes() -> int:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except OSError:
        # Elsewhere only the peak is at hand, in bytes or in KiB.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
