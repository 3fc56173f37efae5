"""A worker's side of lending: asks go over the link to the supervisor, answers come back when they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from signalbox.core.budgets import LeaseAsk, Lent
from signalbox.core.errors import LeaseUnavailable
from signalbox.core.link import AskLeases, Lend


class RemoteLender:
    """send: puts a message on the link; set once there is one."""

    def __init__(self) -> None:
        self.send: Callable[[AskLeases], None] | None = None
        self._tickets = count(1)
        self._waiting: dict[int, asyncio.Future[list[Lent]]] = {}

    async def lend(self, holder: str, asks: list[LeaseAsk]) -> list[Lent]:
        """Raises LeaseUnavailable when the supervisor is gone or cannot tell."""
        if self.send is None:
            raise _gone()
        ticket = next(self._tickets)
        answer = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self.send(AskLeases(ticket, holder, asks))
        try:
            lent = await answer
        finally:
            self._waiting.pop(ticket, None)
        if len(lent) != len(asks):
            raise LeaseUnavailable("The store of budgets cannot be used.", retry_after_s=1)
        return lent

    def answered(self, order: Lend) -> None:
        waiter = self._waiting.get(order.ticket)
        if waiter is not None and not waiter.done():
            waiter.set_result(order.lent)

    def lost(self) -> None:
        """The link is gone: nobody will answer any more."""
        self.send = None
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(_gone())


def _gone() -> LeaseUnavailable:
    return LeaseUnavailable("The supervisor is gone.", retry_after_s=1)
