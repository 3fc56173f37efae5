"""Client certificates that a proxy in front has checked, as Envoy's `x-forwarded-client-cert` tells of them.

Only from the addresses that the configuration names, and only in the form of a proxy that writes the header itself and
throws away what its client sent (Envoy: `forward_client_cert_details: SANITIZE_SET`): one line with one element. From
anywhere else the header is not read. The form is that of www.envoyproxy.io/docs, "HTTP header manipulation".
"""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from signalbox.core.errors import Unauthenticated
from signalbox.core.issuers import Certificate

HEADER = b"x-forwarded-client-cert"
VALUE_BYTES_MAX = 32_768
NAMES_MAX = 100
NAME_CHARS_MAX = 512
# A value in quotes holds anything, with quotes and backslashes escaped; a bare one no mark of the form.
_PAIR = re.compile(r'([A-Za-z]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;=\\]*))(;|\Z)')
_ESCAPED = re.compile(r'\\(["\\])')
_HASH = re.compile(r"[0-9a-fA-F]{64}")
_ONCE = frozenset(("hash", "cert", "chain", "subject"))
_SEVERAL = frozenset(("by", "uri", "dns"))

Networks = tuple[IPv4Network | IPv6Network, ...]


def trusted(address: IPv4Address | IPv6Address | None, proxies: Networks) -> bool:
    return address is not None and any(address in network for network in proxies)


def certificate_in(headers: list[tuple[bytes, bytes]]) -> Certificate | None:
    """The certificate that a trusted proxy's client showed, None where it showed none. Raises Unauthenticated for
    anything that is not exactly one: what is not certain names nobody."""
    values = [value for name, value in headers if name == HEADER]
    if not values:
        return None
    if len(values) > 1:
        raise _refused("there are several of it")
    found = _pairs(values[0])
    hashed = found.get("hash", [""])[0]
    if not _HASH.fullmatch(hashed):
        raise _refused("it has no Hash of a certificate")
    names = [*found.get("uri", ()), *found.get("dns", ())]
    if len(names) > NAMES_MAX or not all(text.isprintable() and len(text) <= NAME_CHARS_MAX for text in names):
        raise _refused("its names are too many, too long, or not printable")
    # All that was said is remembered together: another claim about the same certificate is another one.
    fingerprint = sha256(b"forwarded\0" + values[0]).digest()
    uris, dns = (tuple(filter(None, found.get(key, ()))) for key in ("uri", "dns"))
    return Certificate(fingerprint, uris, dns, 0)


def _pairs(value: bytes) -> dict[str, list[str]]:
    """By key, in lower case."""
    if len(value) > VALUE_BYTES_MAX or not value.isascii():
        raise _refused("it is too long, or not ASCII")
    text, at, more = value.decode("ascii").strip(" \t"), 0, True
    found: dict[str, list[str]] = {}
    while more:
        pair = _PAIR.match(text, at)
        if pair is None:
            raise _refused("it is malformed, or of several proxies")
        key = pair[1].lower()
        if key not in _ONCE | _SEVERAL or (key in _ONCE and key in found):
            raise _refused(f"{key[:16]} stands where it cannot")
        quoted: str | None = pair[2]
        found.setdefault(key, []).append(_ESCAPED.sub(r"\1", quoted) if quoted is not None else pair[3])
        at, more = pair.end(), pair[4] == ";"
    return found


def _refused(why: str) -> Unauthenticated:
    return Unauthenticated(f"x-forwarded-client-cert cannot be used: {why}.")
