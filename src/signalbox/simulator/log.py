"""What the providers received, request by request: a ring bounded in entries and in bytes, credentials included.

Credentials are kept on purpose: this is a simulator, and the tests that no key leaks read them here.
"""

from __future__ import annotations

import base64
from collections import deque
from typing import Any

import msgspec


class Entry(msgspec.Struct):
    """One request as received, and how it ended.

    end: '' while running, then complete, cut, fault or rejected. tokens_sent: output tokens generated.
    at_ms and ended_ms are Unix milliseconds; at_s, closed_s monotonic seconds of this process. closed_*: when the
    client's close was noticed, if it closed before the answer was finished. connection: a number for each socket.
    """

    n: int
    provider: str
    endpoint: str
    method: str
    path: str
    headers: list[tuple[bytes, bytes]]
    body: bytes
    client_request_id: str
    connection: int
    at_ms: float
    at_s: float
    model: str = ""
    status: int = 0
    end: str = ""
    fault: str = ""
    tokens_sent: int = 0
    ended_ms: float = 0.0
    closed_ms: float = 0.0
    closed_s: float = 0.0

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode("latin-1") for key, value in self.headers if key == wanted), None)

    def public(self) -> dict[str, Any]:
        """The JSON form: headers as strings, the body in base64."""
        doc = {name: getattr(self, name) for name in self.__struct_fields__}
        doc["headers"] = [(key.decode("latin-1"), value.decode("latin-1")) for key, value in self.headers]
        del doc["body"]
        doc["body_base64"] = base64.b64encode(self.body).decode()
        return doc


class RequestLog:
    """The last requests. A body that alone exceeds the byte limit is dropped at once with its entry."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        self._entries: deque[Entry] = deque()
        self._entries_max = entries_max
        self._bytes_max = bytes_max
        self._bytes = 0

    def add(self, entry: Entry) -> None:
        entries = self._entries
        entries.append(entry)
        self._bytes += len(entry.body)
        while entries and (len(entries) > self._entries_max or self._bytes > self._bytes_max):
            self._bytes -= len(entries.popleft().body)

    @property
    def entries(self) -> list[Entry]:
        return list(self._entries)

    def clear(self) -> None:
        self._entries.clear()
        self._bytes = 0
