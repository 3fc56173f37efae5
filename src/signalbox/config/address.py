"""Addresses as operators write them, taken apart and judged before anything connects to them."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from signalbox.core.snapshot import Origin

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]{0,251}[a-z0-9])?\.?")
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]*)*")


class AddressProblem(Exception):
    """An address that cannot be used. Its text is never shown: a mistaken one may hold a credential."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def origin_of(url: str, *, private: bool | None, ca_file: str | None, proxy: str | None) -> Origin:
    """The parts of an upstream's URL. private: None means that only an address written as such is known to be."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressProblem("is not an address", "Write https://host or http://host:port/path") from None
    if parts.scheme not in _PORTS:
        raise AddressProblem("does not begin with http:// or https://", "Write https://host/path")
    if "@" in parts.netloc:
        raise AddressProblem("holds a credential", "Put it into api_key, never into an address")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise AddressProblem("has a query or fragment", "End the address with its path")
    host = parts.hostname or ""
    address = _literal(host)
    if address is None and not _HOST.fullmatch(host):
        raise AddressProblem("has no usable host name", "Write https://host or http://host:port/path")
    if port == 0:
        raise AddressProblem("has port 0", "Write a port from 1 to 65535, or leave it out")
    path = parts.path.rstrip("/")
    if not _PATH.fullmatch(path) or ".." in path.split("/"):
        raise AddressProblem("has a path that cannot be sent as it is", "Percent-encode unusual characters")
    if address is not None and (address.is_link_local or address.is_unspecified or address.is_multicast):
        raise AddressProblem("is a link-local, unspecified or multicast address", "Write the server's own address")
    if private is None:
        private = host == "localhost" or host.endswith(".localhost") or is_private(host)
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme], path, private, ca_file, proxy)


def is_loopback(host: str) -> bool:
    """Whether an address that is listened on, or connected to, is reachable from this machine only."""
    address = _literal(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def is_private(host: str) -> bool:
    """Whether it is an address (not a name) that is reachable from within a network only."""
    address = _literal(host)
    return address is not None and not address.is_global


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
