"""What the head of a request says about its framing: refused wherever a server in front could read it otherwise."""

from __future__ import annotations

import re
import zlib
from typing import Any

from signalbox.core.errors import BadRequest, BodyTooLarge
from signalbox.gateway.own_names import check_own

Headers = list[tuple[bytes, bytes]]
# Names that say nothing of framing and were looked at before: nearly all that come.
NAMES_MAX = 1024
_harmless: set[bytes] = set()
# Scheme and authority (RFC 3986, 3.2.2), before a path, a query or the end; a user name is not taken.
_ABSOLUTE = re.compile(
    rb"https?://(?:[a-z0-9._~%!$&'()*+,;=-]+|\[[0-9a-f:.]+\])(?::[0-9]{0,5})?(?=[/?]|\Z)", re.IGNORECASE
).match
_NOT_IN_HOST = b"/?#@\\ \t,"


def origin_form(target: bytes) -> bytes:
    """Path and query of a request target that does not begin with them: what follows the `http://host:port` of the
    absolute form, which RFC 9112 (3.2.2) asks every server to take. The host there counts in place of the Host
    header's, and nothing here depends on either. Raises BadRequest for the forms that proxies and OPTIONS use, and for
    user names."""
    absolute = _ABSOLUTE(target)
    if absolute is None:
        raise BadRequest("The request target must be a path, or a whole http address.", close=True)
    rest = target[absolute.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def check_head(headers: Headers, body_bytes_max: int, *, http11: bool) -> tuple[Any, bool]:
    """(decoder of the body or None, whether the client waits for `100 Continue`). Raises BadRequest, BodyTooLarge.

    What the parser itself refuses (two lengths, a length beside chunked, bare LF, folded lines) is not looked at again.
    Here, where every name is looked at anyway, one that only looks like ours is refused as well.
    """
    hosts = 0
    inflate: Any = None
    continues = False
    for name, value in headers:
        if name in _harmless:
            continue
        if name == b"host":
            hosts += 1
            if value.translate(None, _NOT_IN_HOST) != value:
                raise BadRequest("The Host header is malformed.", close=True)
        elif name == b"content-length":
            if int(value) > body_bytes_max:
                raise BodyTooLarge(f"The body is larger than {body_bytes_max} bytes.", close=True)
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked" or not http11:
                raise BadRequest("Only `chunked` is taken as transfer-encoding, and only in HTTP/1.1.", close=True)
        elif name == b"content-encoding":
            if inflate is not None:
                raise BadRequest("One content-encoding is taken.", code="unsupported_encoding", close=True)
            inflate = _inflater(value)
        elif name == b"expect":
            continues = http11 and value.lower() == b"100-continue"
        else:
            check_own(name)
            if len(_harmless) < NAMES_MAX:
                _harmless.add(name)
    if hosts != 1 and (hosts or http11):
        raise BadRequest("Exactly one Host header is needed.", close=True)
    return inflate, continues


def _inflater(value: bytes) -> Any:
    """A bounded decoder for the request's content-encoding; None for identity. Raises BadRequest for others."""
    coding = value.strip().lower()
    if coding in (b"", b"identity"):
        return None
    if coding in (b"gzip", b"x-gzip"):
        return zlib.decompressobj(16 + zlib.MAX_WBITS)
    raise BadRequest("Only identity and gzip request bodies are taken.", code="unsupported_encoding", close=True)
