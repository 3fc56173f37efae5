"""The kill switch: whose calls an operator has stopped, and until when."""

from __future__ import annotations

from signalbox.core.call import Call
from signalbox.core.errors import CallError, Stopped
from signalbox.core.link import Stop

STOPS_MAX = 1000
# Whose calls can be stopped; all: everybody's.
SCOPES = ("all", "tenant", "team", "key", "workload", "user", "session")


class Stops:
    """Those of one process. orders: while there are none, nothing is asked."""

    def __init__(self) -> None:
        self.orders: list[Stop] = []

    def add(self, order: Stop, now_ms: float) -> None:
        self.orders = joined(self.orders, order, now_ms)

    def check(self, call: Call, now_ms: float) -> None:
        """Raises Stopped."""
        self._forget(now_ms)
        for order in self.orders:
            if matches(order, call):
                raise stopped(order)

    def _forget(self, now_ms: float) -> None:
        self.orders = [order for order in self.orders if order.until_ms > now_ms]


def joined(orders: list[Stop], order: Stop, now_ms: float) -> list[Stop]:
    """Those that still hold, with one more. What was said of the same before holds no longer, so that an order which is
    over at once lifts it."""
    same = (order.scope, order.name)
    others = [one for one in orders if one.until_ms > now_ms and (one.scope, one.name) != same]
    return [*others[-STOPS_MAX:], *([order] if order.until_ms > now_ms else [])]


def matches(order: Stop, call: Call) -> bool:
    principal, whom = call.principal, call.for_whom
    match order.scope:
        case "all":
            return True
        case "tenant":
            return principal.tenant == order.name
        case "team":
            return principal.team == order.name
        case "key":
            return principal.key_id == order.name
        case "workload":
            return call.workload.name == order.name
        case "user":
            return whom.user == order.name
        case "session":
            return whom.session == order.name
        case _:
            return False


def stopped(order: Stop) -> CallError:
    return Stopped(f"An operator has stopped calls of this {order.scope if order.scope != 'all' else 'gateway'}.")
