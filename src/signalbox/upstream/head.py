"""The head of a request as bytes, rendered in one place so that nothing can be injected into it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple, NewType

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_PATH = re.compile(rb"/[!-~]*\Z")
# Written by the transport itself; from anybody else they would contradict the framing or the connection.
_TRANSPORT_OWNED = frozenset(
    (
        b"host",
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"accept-encoding",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"expect",
    )
)


# Bytes that were checked here; nothing else makes them.
RequestPath = NewType("RequestPath", bytes)
Fields = NewType("Fields", bytes)


class RequestHead(NamedTuple):
    """path: what follows the replica's own path prefix, query included. fields: header lines, each ending in CRLF."""

    path: RequestPath
    fields: Fields

    def __repr__(self) -> str:
        return "RequestHead(***)"  # it holds the credential


def request_head(path: bytes, headers: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """Raises ValueError, naming no value, when the path or a header could break out of its line."""
    if _PATH.match(path) is None:
        raise ValueError("a request path must start with / and hold visible ASCII only")
    return RequestHead(RequestPath(path), render_fields(headers))


def extend(head: RequestHead, headers: Iterable[tuple[bytes, bytes]]) -> RequestHead:
    """A checked head with more header lines, of which the names and values are checked here."""
    return RequestHead(head.path, Fields(head.fields + render_fields(headers)))


def identified(head: RequestHead, name: bytes, identity: str) -> RequestHead:
    """A checked head with one more line whose name is a constant of ours and whose value is an id of ours: the usual
    case, for which `extend` looks at more than it has to. Raises ValueError as well."""
    if not (identity.isascii() and identity.isprintable()):
        raise ValueError("an id holds more than visible ASCII")
    return RequestHead(head.path, Fields(b"%b%b: %b\r\n" % (head.fields, name, identity.encode())))


# Names that were checked already; few occur.
NAMES_MAX = 1024
_names: set[bytes] = set()


def _check_name(name: bytes) -> None:
    if _NAME.match(name) is None:
        raise ValueError("a header name holds a character that is not allowed")
    if name.lower() in _TRANSPORT_OWNED:
        raise ValueError(f"header {name.decode('ascii')} belongs to the transport and cannot be set")
    if len(_names) < NAMES_MAX:
        _names.add(name)


def render_fields(headers: Iterable[tuple[bytes, bytes]]) -> Fields:
    lines: list[bytes] = []
    for name, value in headers:
        if name not in _names:
            _check_name(name)
        lines.append(b"%b: %b\r\n" % (name, value))
    block = b"".join(lines)
    # Each line brings exactly one CR and one LF of ours: any more came from a value.
    if block.count(b"\n") != len(lines) or block.count(b"\r") != len(lines) or block.find(b"\0") >= 0:
        raise ValueError("a header value holds CR, LF or NUL")
    return Fields(block)
