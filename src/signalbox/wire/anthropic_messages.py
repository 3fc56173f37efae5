"""The Anthropic Messages API: `/v1/messages` and `/v1/messages/count_tokens`, as one dialect each."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_answer import see_answer
from signalbox.wire.anthropic_envelope import read_envelope
from signalbox.wire.anthropic_stream import MessagesObserver, MessagesReader

_encode = msgspec.json.Encoder().encode

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessagesDialect:
    """`POST /v1/messages`."""

    api = "messages"
    path = "/v1/messages"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        return read_envelope(doc)

    def seen(self, body: bytes) -> Seen:
        return see_answer(body)

    def observer(self) -> MessagesObserver:
        return MessagesObserver()

    def reader(self) -> MessagesReader:
        return MessagesReader()

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """`message_stop`, for a stream whose `message_delta` gave the stop reason. Usage was told there."""
        return _STOP

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return _encode(
            {
                "type": "error",
                "error": {"type": error.anthropic_type, "message": error.message},
                "request_id": request_id,
            }
        )

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return b"event: error\ndata: " + self.error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        return _PING


MESSAGES = MessagesDialect()
