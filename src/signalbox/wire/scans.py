"""The dialect of services that say what a text contains, as Presidio and LLM Guard do: only guards ask them.

Each has its own body and its own answer; what they have in common is that the text goes out whole, findings come back,
nothing streams and nothing is counted in tokens.
"""

from __future__ import annotations

from typing import Any, NoReturn

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import CallError, Unsupported
from signalbox.core.hub import Request, Response
from signalbox.core.stream import Seen
from signalbox.core.usage import NO_USAGE, Usage
from signalbox.wire import openai_errors
from signalbox.wire.dialect import Observer, StreamReader, StreamWriter, Target
from signalbox.wire.scan_answers import findings, judgement

_either = (findings, judgement)
_BAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class ScansDialect:
    """See wire/dialect.py for the contract of every method."""

    api = "scan"
    path = ""

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        return Envelope(stream=False)

    def seen(self, body: bytes) -> Seen:
        for read in _either:
            try:
                read(body)
            except _BAD:
                continue
            return Seen(content=True, finished=True, end=True, usage=NO_USAGE)
        return Seen(ok=False)

    def read_request(self, doc: dict[str, Any]) -> Request:
        _not_translated()

    def write_request(self, request: Request, target: Target) -> bytes:
        _not_translated()

    def read_response(self, body: bytes) -> Response:
        raise ValueError("findings have no hub form")

    def write_response(self, response: Response, usage: Usage) -> bytes:
        _not_translated()

    def observer(self, n: int = 1) -> Observer:
        _not_translated()

    def reader(self) -> StreamReader:
        _not_translated()

    def writer(self, request: Request, response_id: str, created_s: int) -> StreamWriter:
        _not_translated()

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        return b""

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_body(error)

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_event(error)

    def heartbeat(self) -> bytes:
        return openai_errors.KEEPALIVE


def _not_translated() -> NoReturn:
    raise Unsupported("A scan is asked by a guard, of a deployment that scans, and never streams.")


SCANS = ScansDialect()
