"""Structured logs: one JSON object a line on standard error, with a closed set of fields and a rate bound."""

from __future__ import annotations

import sys
import time
import traceback
from typing import IO

import msgspec

LINES_A_SECOND_MAX = 200


class Log:
    """Writes lines for operators. It is never given prompts, answers, headers or keys; values are single words,
    numbers or short sentences of ours. Beyond the rate bound lines are counted, not written."""

    __slots__ = ("_allowed", "_component", "_dropped", "_second", "_stream")

    def __init__(self, component: str, stream: IO[str] | None = None) -> None:
        self._component = component
        self._stream = stream
        self._second = 0
        self._allowed = LINES_A_SECOND_MAX
        self._dropped = 0

    def info(self, event: str, **fields: str | int | float | bool | None) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: str | int | float | bool | None) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: str | int | float | bool | None) -> None:
        self._write("error", event, fields)

    def defect(self, event: str, error: BaseException, **fields: str | int | float | bool | None) -> None:
        """A defect of ours: where it happened (files and lines), never the exception's text, which may quote input."""
        where = " < ".join(
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            for frame in reversed(traceback.extract_tb(error.__traceback__)[-6:])
        )
        self._write("error", event, {**fields, "type": type(error).__name__, "where": where})

    def _write(self, level: str, event: str, fields: dict[str, str | int | float | bool | None]) -> None:
        now = time.time()
        if int(now) != self._second:
            dropped, self._dropped = self._dropped, 0
            self._second, self._allowed = int(now), LINES_A_SECOND_MAX
            if dropped:
                self._write("warning", "log lines dropped", {"count": dropped})
        if self._allowed <= 0:
            self._dropped += 1
            return
        self._allowed -= 1
        line = {"time": round(now, 3), "level": level, "component": self._component, "event": event, **fields}
        stream = self._stream or sys.stderr
        try:
            stream.write(msgspec.json.encode(line).decode() + "\n")
            stream.flush()
        except (OSError, ValueError):
            # A log that cannot be written never fails a request.
            self._dropped += 1
