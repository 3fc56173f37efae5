"""Request headers whose names begin as ours do: one that is none of ours was meant, and would be obeyed by nobody."""

from __future__ import annotations

from difflib import get_close_matches

from signalbox.core.errors import BadRequest
from signalbox.gateway.headers import HEADERS

PREFIX = b"x-signalbox"
# What answers carry comes back with the requests of clients and proxies that copy it: it means nothing, and may.
_OURS = frozenset(header.name.encode() for header in HEADERS if header.name.encode().startswith(PREFIX))
_READ = [header.name for header in HEADERS if header.side == "read" and header.name.encode().startswith(PREFIX)]


def check_own(name: bytes) -> None:
    """name: in lower case. Raises BadRequest for a name that begins as ours do and is none."""
    if not name.startswith(PREFIX) or name in _OURS:
        return
    text = name.decode("latin-1")[:64]
    near = get_close_matches(text, _READ, 1)
    fix = f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(_READ)}."
    raise BadRequest(f"There is no request header `{text}`. {fix}", param=text, code="unknown_header", close=True)
