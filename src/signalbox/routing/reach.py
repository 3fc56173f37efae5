"""What a connection that did not come about says of others: of the same address, and of all beyond the way out.

Learnt from calls themselves. Nothing here waits, does I/O or reads a clock.
"""

from __future__ import annotations

from collections.abc import Iterable

from signalbox.routing.group import Group
from signalbox.routing.replica import REST_NS, Replica

# Failures further apart than this have nothing to do with each other.
TOGETHER_NS = 30 * REST_NS
# So many public hosts that cannot be reached, and none that answered since the first of them: it is the way out.
HOSTS_MIN = 2
# What rests because of somebody else's failure does so for no longer than 8 s at a time.
DOUBLINGS_MAX = 3
# More hosts than these say nothing more.
HOSTS_KEPT_MAX = 16


class Reach:
    """What rests is still used where nothing else may be: this changes the order, and never refuses a call."""

    __slots__ = ("_answers", "_failures", "_hosts", "_last_ns")

    def __init__(self) -> None:
        self._hosts: set[str] = set()
        # How much the public replicas had answered when the first of the hosts failed.
        self._answers: int = 0
        self._failures = 0
        self._last_ns = 0

    def unconnected(self, groups: Iterable[Group], failed: Replica, now_ns: int) -> None:
        """No connection to `failed` came about. groups: all that there are."""
        replicas = [replica for group in groups if group.enabled for replica in group.replicas]
        until_ns = now_ns + _rest_ns(failed.failures)
        for replica in replicas:
            if replica.origin.name == failed.origin.name:
                replica.rest(until_ns)
        if failed.origin.private:
            return
        public = [replica for replica in replicas if not replica.origin.private]
        if self._is_way_out(failed.origin.proxy or failed.origin.host, public, now_ns):
            self._failures += 1
            until_ns = now_ns + _rest_ns(self._failures)
            for replica in public:
                replica.rest(until_ns)

    def _is_way_out(self, host: str, public: list[Replica], now_ns: int) -> bool:
        answers: int = sum(replica.answers for replica in public)
        if now_ns - self._last_ns > TOGETHER_NS or answers != self._answers:
            self._hosts.clear()
            self._failures = 0
        self._answers, self._last_ns = answers, now_ns
        if len(self._hosts) < HOSTS_KEPT_MAX:
            self._hosts.add(host)
        return len(self._hosts) >= HOSTS_MIN


def _rest_ns(failures: int) -> int:
    return REST_NS << min(max(failures - 1, 0), DOUBLINGS_MAX)
