"""A request as its connection read it, before anybody asked what it is for."""

from __future__ import annotations

import msgspec

from signalbox.gateway.framing import Headers


class Request(msgspec.Struct, gc=False):
    """One request as received. path and query: raw bytes, never decoded. headers: names in lower case."""

    method: bytes
    path: bytes
    query: bytes
    headers: Headers
    body: bytes
    received_ns: int

    def header(self, name: bytes) -> bytes | None:
        for key, value in self.headers:
            if key == name:
                return value
        return None
