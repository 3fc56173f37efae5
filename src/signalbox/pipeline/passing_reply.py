"""A reply that passes everything on to another one: what stands between a client and its answers begins as this."""

from __future__ import annotations

from signalbox.core.call import AnswerHead, Reply
from signalbox.core.hub import Event, Request
from signalbox.core.stream import Frame
from signalbox.core.usage import Usage


class PassingReply:
    """Implements core.call.Reply over another one, changing nothing: what others override, they do something about."""

    __slots__ = ("_inner",)

    def __init__(self, inner: Reply) -> None:
        self._inner = inner

    @property
    def started(self) -> bool:
        return self._inner.started

    @property
    def content_sent(self) -> bool:
        return self._inner.content_sent

    @property
    def slow(self) -> bool:
        return self._inner.slow

    def unary(self, head: AnswerHead, body: bytes, cost_pico: int | None) -> None:
        self._inner.unary(head, body, cost_pico)

    def error(self, head: AnswerHead, body: bytes) -> None:
        self._inner.error(head, body)

    def own(self, body: bytes, reason: str) -> None:
        self._inner.own(body, reason)

    def start(self, head: AnswerHead, request: Request | None) -> None:
        self._inner.start(head, request)

    def send(self, frames: list[Frame]) -> None:
        self._inner.send(frames)

    async def drain(self) -> None:
        await self._inner.drain()

    def resume(self, request: Request, told: list[Frame]) -> list[Event]:
        return self._inner.resume(request, told)

    def comment(self, text: str) -> None:
        self._inner.comment(text)

    def end(self, usage: Usage | None, complete: bool) -> None:
        self._inner.end(usage, complete)
