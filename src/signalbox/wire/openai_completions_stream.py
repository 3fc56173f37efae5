"""Hub events written as a text completions stream."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from signalbox.core.hub import Event, Finished, Request, Started, TextDelta
from signalbox.core.usage import Usage
from signalbox.wire.openai_chat_answer import finish_reason_of
from signalbox.wire.openai_errors import DONE
from signalbox.wire.openai_usage import write_usage

_encode = msgspec.json.Encoder().encode


def completion_id(name: str) -> str:
    """An id of this API's form, whatever the upstream's looks like."""
    return name if name.startswith("cmpl-") else f"cmpl-{name}"


class CompletionsWriter:
    """Only text: thoughts have no place here, and tools cannot be asked for."""

    __slots__ = ("_finish", "_head", "_include_usage", "_prefix")

    def __init__(self, request: Request, response_id: str, created_s: int) -> None:
        name = _encode(completion_id(response_id))
        self._head = b'data: {"id":%b,"object":"text_completion","created":%d,"model":' % (name, created_s)
        self._prefix = self._head + b'"","choices":'
        self._include_usage = request.include_usage
        self._finish = ""

    def write(self, events: Sequence[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, TextDelta):
                out.append(self._chunk(event.text, b"null"))
            elif isinstance(event, Started):
                self._prefix = b'%b%b,"choices":' % (self._head, _encode(event.model))
            elif isinstance(event, Finished) and not self._finish:
                self._finish = finish_reason_of(event.reason, refused=False)
                out.append(self._chunk("", b'"%b"' % self._finish.encode()))
        return b"".join(out)

    def end(self, usage: Usage) -> bytes:
        """`[DONE]`, after the usage for a client that asked. Without a Finished before it the answer was cut."""
        out = [] if self._finish else [self.write([Finished("error")])]
        if self._include_usage:
            out.append(b'%b[],"usage":%b}\n\n' % (self._prefix, _encode(write_usage(usage))))
        out.append(DONE)
        return b"".join(out)

    def _chunk(self, said: str, reason: bytes) -> bytes:
        return b'%b[{"index":0,"text":%b,"logprobs":null,"finish_reason":%b}]}\n\n' % (
            self._prefix,
            _encode(said),
            reason,
        )
