"""What goes on for calls behind their answers: no client waits for it, and the kill switch ends it as it ends calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from signalbox.core.call import Call


class Behind:
    """most: so much of it at once; what is beyond that is not done at all."""

    __slots__ = ("_most", "_tasks")

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: dict[asyncio.Task[None], Call] = {}

    def later(self, call: Call, work: Coroutine[Any, Any, None]) -> bool:
        """Does something for a call; False where there is too much already."""
        if len(self._tasks) >= self._most:
            work.close()
            return False
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = call
        task.add_done_callback(self._tasks.pop)
        return True

    def end(self, is_meant: Callable[[Call], bool], why: str) -> None:
        """Ends what is under way for some calls; why: what the ledger says of it."""
        for task, call in list(self._tasks.items()):
            if is_meant(call):
                task.cancel(why)

    async def stop(self) -> None:
        """Ends all of it, and returns when what is cancelled is booked."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
