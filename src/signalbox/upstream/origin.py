"""What of a request depends on the replica alone: whom to dial, and the lines that are always the same."""

from __future__ import annotations

import base64
from urllib.parse import unquote, urlsplit

from signalbox.core.snapshot import Origin
from signalbox.upstream.head import RequestHead

LINES_MAX = 64
# Bodies above this are not copied behind their head.
LARGE_BODY_BYTES = 64 * 1024
# Engines serve this beside their API and not under its prefix.
METRICS = b"/metrics"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Proxy:
    """An explicit HTTP proxy: where it is, and its authorization line (empty without credentials)."""

    __slots__ = ("authorization", "host", "port")

    def __init__(self, url: str) -> None:
        """url: http://[user:password@]host:port. Raises ValueError that does not repeat it: it may hold a password."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise ValueError("the proxy is not a URL") from None
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/") or parts.query:
            raise ValueError("the proxy must be http://[user:password@]host:port")
        self.host = parts.hostname
        self.port = port or 80
        self.authorization = b""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self.authorization = b"proxy-authorization: Basic " + base64.b64encode(pair.encode()) + b"\r\n"


def authority_of(host: str, port: int) -> bytes:
    """host:port as it stands in a request line; raises ValueError for a host that cannot stand there."""
    bare = host.strip("[]").rstrip(".")
    text = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
    authority = text.encode("idna" if not text.isascii() else "ascii")
    if not bare or any(byte <= 0x20 or byte in b"/?#@\\\x7f" for byte in authority):
        raise ValueError("the origin's host holds a character that is not allowed")
    return authority


class OriginLines:
    """The lines that are the same in every request to one replica. dialled_host: the replica's, or its proxy's."""

    __slots__ = ("_after_path", "_before_metrics", "_before_path", "_starts", "dialled_host", "origin")

    def __init__(self, origin: Origin) -> None:
        """Raises ValueError, naming no credential, for an origin that cannot stand in a request."""
        self.origin = origin
        authority = authority_of(origin.host, origin.port)
        host = authority.rsplit(b":", 1)[0] if origin.port == _DEFAULT_PORTS.get(origin.scheme) else authority
        self._before_path = origin.path.encode("ascii")
        self._before_metrics = self._before_path.removesuffix(b"/v1")
        self._after_path = b" HTTP/1.1\r\nhost: %b\r\naccept-encoding: identity\r\n" % host
        self.dialled_host = origin.host
        if origin.proxy is not None:
            proxy = Proxy(origin.proxy)
            self.dialled_host = proxy.host
            if origin.scheme == "http":
                self._before_path = b"http://" + authority + self._before_path
                self._before_metrics = b"http://" + authority + self._before_metrics
                self._after_path += proxy.authorization
        if any(byte <= 0x20 or byte == 0x7F for byte in self._before_path):
            raise ValueError("the origin's path holds a character that is not allowed")
        self._starts: dict[bytes, bytes] = {}

    def render(self, method: bytes, head: RequestHead, body: bytes) -> tuple[bytes, bytes]:
        """The bytes of one request, in one piece or, when the body is large, in two. method: b"POST " or b"GET "."""
        path, fields = head
        start = self._starts.get(path)
        if start is None:
            if len(self._starts) >= LINES_MAX:
                self._starts.clear()
            start = (self._before_metrics if path == METRICS else self._before_path) + path + self._after_path
            self._starts[path] = start
        if method == b"GET ":
            return b"%b%b%b\r\n" % (method, start, fields), b""
        size = len(body)
        if size > LARGE_BODY_BYTES:
            return b"%b%b%bcontent-length: %d\r\n\r\n" % (method, start, fields, size), body
        return b"%b%b%bcontent-length: %d\r\n\r\n%b" % (method, start, fields, size, body), b""
