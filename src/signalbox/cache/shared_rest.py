"""When a shared cache server is to be left alone: after answers that come late, or a connection that is lost."""

from __future__ import annotations

from collections.abc import Callable

# Told what does not work and why, once for each reason; an empty reason when it works again.
Tell = Callable[[str, str], None]
# So many answers in a row that did not come in time, and the connection is given up.
LATE_MAX = 3
# How long the server is left alone: after the first failure, and at most.
REST_S, REST_S_MAX = 0.5, 15.0


class Rest:
    """failures: connections that were lost or could not be had; trouble: what the last one said, empty while all is
    well. what: does not work while there is trouble, in words for the log."""

    __slots__ = ("_again_s", "_late", "_rest_s", "_tell", "_what", "failures", "trouble")

    def __init__(self, what: str, tell: Tell) -> None:
        self._what = what
        self._tell = tell
        self._late = 0
        self._rest_s = REST_S
        self._again_s = float("-inf")
        self.failures = 0
        self.trouble = ""

    def is_over(self, now_s: float) -> bool:
        """Whether a connection may be tried."""
        return now_s >= self._again_s

    def answered(self) -> None:
        self._late = 0

    def late(self) -> bool:
        """One answer did not come in time, or not as it should; whether that is enough."""
        self._late += 1
        return self._late >= LATE_MAX

    def connected(self) -> None:
        if self.trouble:
            self._tell(self._what, "")
        self._late, self._rest_s, self.trouble = 0, REST_S, ""

    def failed(self, why: str, now_s: float) -> None:
        self.failures += 1
        if why != self.trouble:
            self._tell(self._what, why)
        self.trouble = why
        self._again_s = now_s + self._rest_s
        self._rest_s = min(REST_S_MAX, 2 * self._rest_s)

    def for_good(self) -> None:
        self._again_s = float("inf")
