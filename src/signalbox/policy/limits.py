"""Admission: what this process takes on at once."""

from __future__ import annotations

from types import TracebackType

from signalbox.core.errors import Overloaded


class Limits:
    """Counts calls in flight and refuses beyond the process's bound, or while draining. Used as a context manager
    around each call, so that a slot is returned on every path."""

    __slots__ = ("calls_max", "draining", "in_flight")

    def __init__(self, calls_max: int = 4096) -> None:
        self.calls_max = calls_max
        self.in_flight = 0
        self.draining = False

    def __enter__(self) -> None:
        if self.draining:
            raise Overloaded("This gateway is shutting down.", retry_after_s=1, close=True)
        if self.in_flight >= self.calls_max:
            raise Overloaded("This gateway is at its limit of concurrent calls.", retry_after_s=1)
        self.in_flight += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.in_flight -= 1
