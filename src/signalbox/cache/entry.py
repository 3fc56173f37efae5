"""One kept answer: as its first caller got it, with where it came from and until when it holds."""

from __future__ import annotations

import msgspec

from signalbox.core.hub import Event
from signalbox.core.usage import Usage

# A whole body; the bytes of a stream as they were passed on; the hub events of a translated stream.
BODY, STREAM, EVENTS = "body", "stream", "events"
# A longer answer is not kept.
ENTRY_BYTES_MAX = 4 << 20
# What an entry takes besides its content, roughly.
OVERHEAD_BYTES = 1024

_encode_events = msgspec.msgpack.Encoder().encode
_decode_events = msgspec.msgpack.Decoder(list[Event]).decode


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """content: of the form that is named. complete, usage: how the stream ended, as core.call.Reply.end takes them.
    deployment: who gave the answer, by name; attempt: the ledger's attempt that paid for it, and what that cost in
    pico-dollars, None when unpriced. dropped: parameters that its translation could not carry. Times: Unix ms."""

    form: str
    content: bytes
    deployment: str
    attempt: str
    cost_pico: int | None
    stored_ms: int
    expires_ms: int
    tags: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    complete: bool = True
    usage: Usage | None = None

    @property
    def bytes_held(self) -> int:
        return len(self.content) + OVERHEAD_BYTES

    def events(self) -> list[Event]:
        return _decode_events(self.content)


def encode_events(events: list[Event]) -> bytes:
    return _encode_events(events)
