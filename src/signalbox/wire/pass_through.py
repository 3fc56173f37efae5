"""What dialects share that pass through and are never translated, nor streamed."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from signalbox.core.errors import CallError, Unsupported
from signalbox.core.hub import Request, Response
from signalbox.core.usage import Usage
from signalbox.wire import openai_errors
from signalbox.wire.dialect import Observer, StreamReader, StreamWriter, Target


class PassThrough:
    """See wire/dialect.py for the contract of every method. needs: what a caller is told where a translation would be
    needed. no_hub: what is said of an answer that would have to be read for one."""

    needs: ClassVar[str]
    no_hub: ClassVar[str]

    def read_request(self, doc: dict[str, Any]) -> Request:
        self._not_translated()

    def write_request(self, request: Request, target: Target) -> bytes:
        self._not_translated()

    def read_response(self, body: bytes) -> Response:
        raise ValueError(self.no_hub)

    def write_response(self, response: Response, usage: Usage) -> bytes:
        self._not_translated()

    def observer(self, n: int = 1) -> Observer:
        self._not_translated()

    def reader(self) -> StreamReader:
        self._not_translated()

    def writer(self, request: Request, response_id: str, created_s: int) -> StreamWriter:
        self._not_translated()

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        return b""

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_body(error)

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_event(error)

    def heartbeat(self) -> bytes:
        return openai_errors.KEEPALIVE

    def _not_translated(self) -> NoReturn:
        raise Unsupported(self.needs)
