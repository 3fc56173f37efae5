"""A small receiver of POSTs on a real socket: an OpenTelemetry collector, or the other end of a webhook."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

from signalbox.telemetry.protobuf import MESSAGES


class Collector:
    """Answers 200, or what `answers` says first. requests: (path, headers, body) of each."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.requests.append((first.split(" ")[1], headers, body))
            status = self.answers.pop(0) if self.answers else b"200 OK\r\n"
            writer.write(b"HTTP/1.1 " + status + b"content-length: 0\r\n\r\n")
            await writer.drain()
        writer.close()

    def spans(self) -> list[dict[str, Any]]:
        """Every span that was sent, with its attributes as a mapping."""
        found: list[dict[str, Any]] = []
        for path, _, body in self.requests:
            if path == "/v1/traces":
                for resource in decode(body, "ExportTraceServiceRequest")["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        found += scope["spans"]
        return [span | {"attributes": plain(span.get("attributes", []))} for span in found]


@contextlib.asynccontextmanager
async def collecting() -> AsyncIterator[Collector]:
    collector = Collector()
    server = await asyncio.start_server(collector.answer, "127.0.0.1", 0)
    collector.port = server.sockets[0].getsockname()[1]
    try:
        yield collector
    finally:
        server.close()


def plain(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {each["key"]: value(each["value"]) for each in attributes}


def value(any_value: dict[str, Any]) -> Any:
    (kind, found), *_ = any_value.items()
    if kind == "arrayValue":
        return [value(each) for each in found["values"]]
    return bool(found) if kind == "boolValue" else int(found) if kind == "intValue" else found


# --- a protobuf reader of its own: it knows the wire format, and of the writer only the names of the fields ---


def decode(data: bytes, kind: str) -> dict[str, Any]:
    """The message in OTLP's JSON form."""
    by_number = {number: (name, of) for name, (number, of) in MESSAGES[kind].items()}
    found: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        name, of = by_number[key >> 3]
        if key & 7 == 0:
            found[name], at = varint(data, at)
            if of == "varint!" and found[name] >> 63:
                found[name] -= 1 << 64
        elif key & 7 == 1:
            form, size = ("<d", 8) if of.startswith("double") else ("<Q", 8)
            found[name] = struct.unpack_from(form, data, at)[0]
            at += size
        elif key & 7 == 5:
            found[name] = struct.unpack_from("<I", data, at)[0]
            at += 4
        else:
            assert key & 7 == 2, key
            size, at = varint(data, at)
            piece = data[at : at + size]
            assert len(piece) == size
            at += size
            if of.endswith("[]"):
                found.setdefault(name, []).append(decode(piece, of[:-2]))
            elif of in MESSAGES:
                found[name] = decode(piece, of)
            elif of in ("fixed64s", "doubles"):
                found[name] = list(struct.unpack(f"<{size // 8}{'Q' if of == 'fixed64s' else 'd'}", piece))
            else:
                found[name] = piece.hex() if of == "id" else piece.decode()
    return found


def varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
