"""What every wire dialect offers: the contract that each file of this folder implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError
from signalbox.core.hub import Event, Request, Response
from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage


class Target(msgspec.Struct, frozen=True):
    """What a request is written for: the upstream model name and what the deployment can take."""

    model: str
    max_tokens_default: int = 4096
    tools: bool = True
    images: bool = True
    json_schema: bool = True
    stream_usage: bool = True


class Observer(Protocol):
    """Watches a pass-through stream, one event after another. Keeps state: one observer per attempt."""

    def observe(self, event: SseEvent) -> Seen: ...

    def text(self, data: bytes) -> int:
        """The number of characters of an event that is nothing but more text of an answer under way, by its data alone;
        0 for every other event. Takes note of nothing: `observe` would count the same characters and change nothing."""
        ...


class StreamReader(Protocol):
    """Turns one upstream stream into hub events, for a client of another dialect. One reader per attempt."""

    def read(self, event: SseEvent) -> tuple[list[Event], Seen]: ...


class StreamWriter(Protocol):
    """Turns hub events into this dialect's bytes. One writer per answer to a client."""

    def write(self, events: Sequence[Event]) -> bytes: ...

    def end(self, usage: Usage) -> bytes:
        """The closing events, usage included, after Finished was written."""
        ...


class Dialect(Protocol):
    """One public API's wire form. Pure: no I/O, no clock, no chance. All methods raise core.errors.BadRequest or
    Unsupported for the caller's mistakes, and ValueError for an upstream document of the wrong shape."""

    api: str
    path: str

    def envelope(self, doc: dict[str, Any]) -> Envelope: ...

    def read_request(self, doc: dict[str, Any]) -> Request: ...

    def write_request(self, request: Request, target: Target) -> bytes: ...

    def read_response(self, body: bytes) -> Response: ...

    def write_response(self, response: Response, usage: Usage) -> bytes: ...

    def seen(self, body: bytes) -> Seen:
        """Usage and completeness of a whole unary answer; ok False when it is not an answer of this API."""
        ...

    def observer(self, n: int = 1) -> Observer:
        """n: how many choices the client asked for; where the API has no such thing, it is 1."""
        ...

    def reader(self) -> StreamReader: ...

    def writer(self, request: Request, response_id: str, created_s: int) -> StreamWriter: ...

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """What a complete stream still lacks when the upstream ended it without the terminator (chat: `[DONE]`)."""
        ...

    def error_body(self, error: CallError, request_id: str) -> bytes: ...

    def error_event(self, error: CallError, request_id: str) -> bytes:
        """The protocol's own in-stream error, as SSE bytes."""
        ...

    def heartbeat(self) -> bytes: ...
