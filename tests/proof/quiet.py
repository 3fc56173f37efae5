"""A log for proofs: defects are told, and not that calls failed, as most of them are meant to."""

from __future__ import annotations

import io
import sys

from signalbox.telemetry.log import Log


class _Told(io.TextIOBase):
    def __init__(self, errors: list[str]) -> None:
        self._errors = errors

    def write(self, line: str, /) -> int:
        if '"event":"request"' in line:
            return len(line)
        if '"level":"error"' in line:
            self._errors.append(line.strip())
        return sys.stderr.write(line)

    def flush(self) -> None:
        sys.stderr.flush()


def log(component: str, errors: list[str] | None = None) -> Log:
    """errors: gets the lines of that level."""
    return Log(component, _Told([] if errors is None else errors), "json")
