"""The head of an answer as bytes: its status line and its headers."""

from __future__ import annotations

from signalbox.gateway.framing import Headers

STATUS_LINES: dict[int, bytes] = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, reason.encode())
    for status, reason in {
        200: "OK",
        204: "No Content",
        400: "Bad Request",
        401: "Unauthorized",
        402: "Payment Required",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        408: "Request Timeout",
        409: "Conflict",
        413: "Content Too Large",
        422: "Unprocessable Content",
        429: "Too Many Requests",
        431: "Request Header Fields Too Large",
        500: "Internal Server Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Gateway Timeout",
        529: "Overloaded",
    }.items()
}


def encode_head(status: int, headers: Headers) -> bytes:
    """Status line and headers as bytes. Header values come from code or were checked when they were read."""
    line = STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status
    return line + b"".join([b"%b: %b\r\n" % pair for pair in headers]) + b"\r\n"
