"""The Chat Completions dialect: `POST /v1/chat/completions` as the table of dialects sees it."""

from __future__ import annotations

from typing import Any

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError
from signalbox.core.hub import Request, Response
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire import openai_errors
from signalbox.wire.dialect import Target
from signalbox.wire.openai_chat_answer import read_response, write_response
from signalbox.wire.openai_chat_envelope import read_envelope
from signalbox.wire.openai_chat_read import read_request
from signalbox.wire.openai_chat_stream import ChatReader, ChatWriter
from signalbox.wire.openai_chat_watch import ChatObserver, see_answer
from signalbox.wire.openai_chat_write import write_request
from signalbox.wire.openai_usage import unnamed, usage_chunk


class ChatDialect:
    """See wire/dialect.py for the contract of every method."""

    api = "chat"
    path = "/v1/chat/completions"

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

    def observer(self, n: int = 1) -> ChatObserver:
        return ChatObserver(n)

    def reader(self) -> ChatReader:
        return ChatReader()

    def writer(self, request: Request, response_id: str, created_s: int) -> ChatWriter:
        return ChatWriter(request, response_id, created_s)

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """`[DONE]`, after the usage chunk if the client asked for it. `usage` is what the client was not told yet:
        give None when the upstream's own usage already passed through, since some clients add up what they get."""
        if usage is None or not include_usage:
            return openai_errors.DONE
        return usage_chunk(unnamed("chat.completion.chunk"), usage) + openai_errors.DONE

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_body(error)

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_event(error)

    def heartbeat(self) -> bytes:
        return openai_errors.KEEPALIVE


CHAT = ChatDialect()
