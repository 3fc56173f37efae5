"""Whole answers that are ready, until the end of the turn of the loop that made them."""

from __future__ import annotations

import asyncio
from typing import Protocol

from signalbox.core.together import MOST


class Writer(Protocol):
    """A client's connection. unsent: something of it is in the outbox."""

    unsent: bool

    def write(self, data: bytes) -> None: ...


class Outbox:
    """Writes the answers of one turn one behind the other. Written as each is made, with the work for the next one
    between, every single one would wake a client's process that has just gone to sleep: that costs more than writing
    does."""

    __slots__ = ("_answers",)

    def __init__(self) -> None:
        self._answers: list[tuple[Writer, bytes]] = []

    def put(self, connection: Writer, data: bytes) -> None:
        answers = self._answers
        if not answers:
            asyncio.get_running_loop().call_soon(self.flush)
        connection.unsent = True
        answers.append((connection, data))
        if len(answers) >= MOST:
            self.flush()

    def flush(self) -> None:
        answers, self._answers = self._answers, []
        for connection, data in answers:
            connection.unsent = False
            connection.write(data)
