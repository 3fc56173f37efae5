"""A log for proofs: defects are told, and not that calls failed, as most of them are meant to."""

from __future__ import annotations

import io
import sys

from signalbox.telemetry.log import Log


class _Told(io.TextIOBase):
    def write(self, line: str, /) -> int:
        return len(line) if '"event":"request"' in line else sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


def log(component: str) -> Log:
    return Log(component, _Told(), "json")
