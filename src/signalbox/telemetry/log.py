"""Structured logs: one line an event on standard error, with a closed set of fields and a rate bound."""

from __future__ import annotations

import os
import sys
import time
import traceback
from asyncio import AbstractEventLoop
from collections.abc import Callable
from datetime import UTC, datetime
from typing import IO, Any, Literal, get_args

import msgspec

LINES_A_SECOND_MAX = 200
# How the processes of an installation agree on the form of their lines.
FORMAT_VARIABLE = "SIGNALBOX_LOG_FORMAT"
Format = Literal["json", "text"]
FORMATS: tuple[Format, ...] = get_args(Format)

Value = str | int | float | bool | None


class Log:
    """Writes lines for operators. It is never given prompts, answers, headers or keys; values are single words,
    numbers or short sentences of ours. Beyond the rate bound lines are counted, not written.

    dropped: how many lines were not written since the start.
    """

    __slots__ = ("_allowed", "_component", "_format", "_second", "_stream", "_untold", "_without", "dropped")

    def __init__(
        self,
        component: str,
        stream: IO[str] | None = None,
        form: Format | None = None,
        without: frozenset[str] = frozenset(),
    ) -> None:
        """form: as the environment says when left out, JSON unless it says otherwise. without: events that nobody
        wants to read here."""
        said = os.environ.get(FORMAT_VARIABLE)
        self._component = component
        self._stream = stream
        self._without = without
        self._format: Format = form or (said if said in FORMATS else "json")
        self._second = 0
        self._allowed = LINES_A_SECOND_MAX
        self._untold = 0
        self.dropped = 0

    def info(self, event: str, **fields: Value) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: Value) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: Value) -> None:
        self._write("error", event, fields)

    def defect(self, event: str, error: BaseException, **fields: Value) -> None:
        """A defect of ours: where it happened (files and lines), never the exception's text, which may quote input."""
        where = " < ".join(
            f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
            for frame in reversed(traceback.extract_tb(error.__traceback__)[-6:])
        )
        self._write("error", event, {**fields, "type": type(error).__name__, "where": where})

    def _write(self, level: str, event: str, fields: dict[str, Value]) -> None:
        if event in self._without:
            return
        now = time.time()
        if int(now) != self._second:
            untold, self._untold = self._untold, 0
            self._second, self._allowed = int(now), LINES_A_SECOND_MAX
            if untold:
                self._write("warning", "log lines dropped", {"count": untold})
        if self._allowed <= 0:
            self._drop()
            return
        self._allowed -= 1
        line = _json if self._format == "json" else _text
        stream = self._stream or sys.stderr
        try:
            stream.write(line(now, level, self._component, event, fields) + "\n")
            stream.flush()
        except (OSError, ValueError):
            # A log that cannot be written never fails a request.
            self._drop()

    def _drop(self) -> None:
        self._untold += 1
        self.dropped += 1


def told_of_tasks(log: Log) -> Callable[[AbstractEventLoop, dict[str, Any]], None]:
    """A loop's exception handler: what fails in the background, where nobody waits for it, as a defect. The loop's own
    writes the exception with its text."""

    def tell(loop: AbstractEventLoop, context: dict[str, Any]) -> None:
        error: object = context.get("exception")
        if isinstance(error, BaseException):
            log.defect("a task failed", error)
        else:
            log.error("a task failed")

    return tell


def _json(now: float, level: str, component: str, event: str, fields: dict[str, Value]) -> str:
    line = {"time": round(now, 3), "level": level, "component": component, "event": event, **fields}
    return msgspec.json.encode(line).decode()


def _text(now: float, level: str, component: str, event: str, fields: dict[str, Value]) -> str:
    """For people who watch a terminal: nothing in it can move the cursor or begin a line."""
    time_text = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    words = [f"{name}={_word(value)}" for name, value in fields.items()]
    return " ".join([time_text, f"{level:7}", component, event, *words])


def _word(value: Value) -> str:
    if isinstance(value, str):
        plain = value.isprintable() and value and not set(value) & set(' "=\\')
        # ASCII only in between quotes: marks that reorder text on a terminal are letters to isprintable's rules.
        return value if plain and value.isascii() else ascii(value)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
