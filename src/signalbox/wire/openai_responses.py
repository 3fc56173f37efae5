"""The OpenAI Responses dialect: `POST /v1/responses` as the table of dialects sees it."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError
from signalbox.core.hub import Request, Response
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire.dialect import Target
from signalbox.wire.openai_errors import KEEPALIVE, error_body
from signalbox.wire.responses_answer import read_response, write_response
from signalbox.wire.responses_envelope import read_envelope
from signalbox.wire.responses_request import read_request, write_request
from signalbox.wire.responses_stream import ResponsesReader
from signalbox.wire.responses_watch import ResponsesObserver, seen
from signalbox.wire.responses_writer import ResponsesWriter

# The error event is written without knowledge of the stream it ends. Clients that resume drop events whose number
# they have passed, so its own must be above any; this is the largest that every JSON reader keeps in 32 bits.
_LAST_SEQUENCE_NUMBER = (1 << 31) - 1


class ResponsesDialect:
    """See wire/dialect.py for the contract of every method."""

    api = "responses"
    path = "/v1/responses"

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
        return seen(body)

    def observer(self, n: int = 1) -> ResponsesObserver:
        return ResponsesObserver()

    def reader(self) -> ResponsesReader:
        return ResponsesReader()

    def writer(self, request: Request, response_id: str, created_s: int) -> ResponsesWriter:
        return ResponsesWriter(request, response_id, created_s)

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """Nothing: the terminal event is itself the end, and one that never came cannot be made up."""
        return b""

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return error_body(error)

    def error_event(self, error: CallError, request_id: str) -> bytes:
        """An `error` event, as the API itself sends it: the error nested, and its fields again where the published
        schema has them. The official SDK raises on the nested object; Codex retries, as after any early end.
        Not `response.failed`: the SDK passes that on as data without raising, and it must repeat the id of a
        response that this function does not know.
        """
        flat = {
            "type": "error",
            "sequence_number": _LAST_SEQUENCE_NUMBER,
            "code": error.code,
            "message": error.message,
            "param": error.param,
        }
        nested = error_body(error)
        return b"event: error\ndata: %b,%b\n\n" % (msgspec.json.encode(flat)[:-1], nested[1:])

    def heartbeat(self) -> bytes:
        return KEEPALIVE


RESPONSES = ResponsesDialect()
