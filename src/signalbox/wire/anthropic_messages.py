"""The Anthropic Messages API: `/v1/messages` and `/v1/messages/count_tokens`, as one dialect each."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError, NoThreads
from signalbox.core.hub import Request, Response
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_answer import read_response, see_answer, write_response
from signalbox.wire.anthropic_envelope import read_envelope
from signalbox.wire.anthropic_read import read_request
from signalbox.wire.anthropic_stream import MessagesObserver, MessagesReader
from signalbox.wire.anthropic_stream_writer import MessagesWriter
from signalbox.wire.anthropic_write import write_request
from signalbox.wire.dialect import Target

_encode = msgspec.json.Encoder().encode

_PING = b'event: ping\ndata: {"type": "ping"}\n\n'
_STOP = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'


class MessagesDialect:
    """`POST /v1/messages`."""

    api = "messages"
    path = "/v1/messages"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        return read_envelope(doc)

    def read_request(self, doc: dict[str, Any]) -> Request:
        return read_request(doc)

    def write_request(self, request: Request, target: Target) -> bytes:
        return write_request(request, target)

    def read_response(self, body: bytes) -> Response:
        return read_response(body)

    def write_response(self, response: Response, usage: Usage) -> bytes:
        return write_response(response, usage)

    def seen(self, body: bytes) -> Seen:
        return see_answer(body)

    def observer(self, n: int = 1) -> MessagesObserver:
        return MessagesObserver()

    def reader(self) -> MessagesReader:
        return MessagesReader()

    def writer(self, request: Request, response_id: str, created_s: int) -> MessagesWriter:
        return MessagesWriter(response_id, request.expected_in)

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """`message_stop`, for a stream whose `message_delta` gave the stop reason. Usage was told there."""
        return _STOP

    def error_body(self, error: CallError, request_id: str) -> bytes:
        told: dict[str, Any] = {"type": error.anthropic_type, "message": error.message}
        if isinstance(error, NoThreads):
            told["details"] = {"error_code": error.code, "unsupported": ["deployment"]}
        return _encode({"type": "error", "error": told, "request_id": request_id})

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return b"event: error\ndata: " + self.error_body(error, request_id) + b"\n\n"

    def heartbeat(self) -> bytes:
        return _PING


class _Count(msgspec.Struct, gc=False):
    input_tokens: Annotated[int, msgspec.Meta(ge=0)]


_decode_count = msgspec.json.Decoder(_Count).decode


class CountTokensDialect(MessagesDialect):
    """`POST /v1/messages/count_tokens`: the same body without limits, answered with a number, never a stream.

    As a hub response it has no parts: the number is the usage's input, so `write_response` serves an estimate.
    """

    api = "count_tokens"
    path = "/v1/messages/count_tokens"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        return read_envelope(doc, counting=True)

    def read_request(self, doc: dict[str, Any]) -> Request:
        return read_request(doc, counting=True)

    def write_request(self, request: Request, target: Target) -> bytes:
        return write_request(request, target, counting=True)

    def read_response(self, body: bytes) -> Response:
        if not self.seen(body).ok:
            raise ValueError("not an answer of the token counting API")
        return Response("", "", (), "stop")

    def write_response(self, response: Response, usage: Usage) -> bytes:
        return _encode({"input_tokens": usage.input_total})

    def seen(self, body: bytes) -> Seen:
        """A count consumes nothing, so there is no usage to tell."""
        try:
            _decode_count(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Seen(ok=False)
        return Seen(content=True, finished=True, end=True)


MESSAGES = MessagesDialect()
COUNT_TOKENS = CountTokensDialect()
