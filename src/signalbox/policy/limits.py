"""Admission: what this process takes on at once, and whom it turns away first when there is too much."""

from __future__ import annotations

from collections.abc import Callable
from random import random
from types import TracebackType

from signalbox.core.errors import Overloaded

# How urgent a workload is, the most urgent first; a call's rank is its place in this list.
CRITICALITIES = ("interactive", "agent", "batch", "eval")
# The share of what the process can bear from which each rank is turned away.
SHARES = (1.0, 0.9, 0.75, 0.6)
CALLS_MAX = 4096
# Those who are turned away come back spread over this time.
RETRY_AFTER_S_MIN, RETRY_AFTER_S_MAX = 1.0, 5.0


class Limits:
    """Counts calls in flight and refuses beyond the process's bound, or while draining. Used as a context manager
    around each call, so that a slot is returned on every path; `admit` comes before it.

    shed: how many calls of each rank were turned away. chance: 0 to 1.
    """

    __slots__ = ("_admitted", "_chance", "_rooms", "calls_max", "draining", "in_flight", "shed")

    def __init__(self, calls_max: int = CALLS_MAX, chance: Callable[[], float] = random) -> None:
        self._chance = chance
        self._admitted = len(SHARES)
        self._rooms: tuple[int, ...] = ()
        self.shed = [0] * len(SHARES)
        self.in_flight = 0
        self.draining = False
        self.calls_max = 0
        self.resize(calls_max)

    def resize(self, calls_max: int) -> None:
        """Another bound of calls in flight; what runs goes on."""
        self.calls_max = calls_max
        self._rooms = tuple(max(1, int(calls_max * share)) for share in SHARES)

    def press(self, pressure: float) -> None:
        """How near the process is to what it can bear: 1 is there. Ranks above their share of it are turned away."""
        self._admitted = sum(pressure < share for share in SHARES)

    def admit(self, rank: int) -> None:
        """Raises Overloaded for a call whose rank has no room now."""
        if rank < self._admitted and self.in_flight < self._rooms[rank]:
            return
        self.shed[rank] += 1
        wait_s = RETRY_AFTER_S_MIN + (RETRY_AFTER_S_MAX - RETRY_AFTER_S_MIN) * self._chance()
        raise Overloaded(
            f"This gateway has too much to do for calls of class {CRITICALITIES[rank]}.", retry_after_s=wait_s
        )

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
