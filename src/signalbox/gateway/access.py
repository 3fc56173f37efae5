"""Whether a key may be used here: its endpoints, its networks, and how often a source may guess wrong."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import cast

from signalbox.core.call import Principal
from signalbox.core.errors import CallError, Forbidden, TooManyGuesses
from signalbox.gateway.auth import Keyring, credential
from signalbox.gateway.forwarded import certificate_in, trusted
from signalbox.gateway.framing import Headers
from signalbox.gateway.http import Connection

# Wrong credentials of one source in a minute, beyond which it is told to stop. Right ones are never held up.
GUESSES_MAX = 120
WINDOW_S = 60.0
SOURCES_MAX = 65_536


def authenticated(
    keyring: Keyring, headers: Headers, now_s: float, connection: Connection, api: str | None = None
) -> Principal:
    """The caller, when its key may be used from there for this API. Raises Unauthenticated and Forbidden."""
    certificate = connection.certificate
    if keyring.proxies and trusted(_address(peer(connection)), keyring.proxies):
        certificate = certificate_in(headers) or certificate
    if certificate is None:
        principal = keyring.principal(credential(headers), now_s)
    else:
        principal = keyring.holder(certificate, headers, now_s)
    if principal.apis is not None or principal.networks is not None:
        _check_scope(principal, connection, api)
    return principal


def _check_scope(principal: Principal, connection: Connection, api: str | None) -> None:
    if principal.apis is not None and api is not None and api not in principal.apis:
        raise Forbidden("This key may not use this endpoint.", code="endpoint_not_allowed")
    if principal.networks is not None:
        address = _address(peer(connection))
        if address is None or not any(address in network for network in principal.networks):
            raise Forbidden("This key may not be used from this address.", code="address_not_allowed")


def peer(connection: Connection) -> str:
    """The address at the other end of the connection itself; what a header says of it counts for nothing."""
    transport = connection.transport
    name: object = transport.get_extra_info("peername") if transport is not None else None
    return str(cast("tuple[object, ...]", name)[0]) if isinstance(name, tuple) and name else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


class Guesses:
    """Counts wrong credentials by source; an IPv6 network of 64 bits is one source."""

    __slots__ = ("_began_s", "_counts")

    def __init__(self) -> None:
        self._began_s = 0.0
        self._counts: dict[str, int] = {}

    def judge(self, error: CallError, source: str, now_s: float) -> CallError:
        """The error to answer a wrong credential with: its own, or that there were too many."""
        if now_s - self._began_s >= WINDOW_S or len(self._counts) >= SOURCES_MAX:
            self._began_s = now_s
            self._counts.clear()
        address = _address(source)
        if isinstance(address, IPv6Address):
            source = str(int(address) >> 64)
        count = self._counts[source] = self._counts.get(source, 0) + 1
        if count <= GUESSES_MAX:
            return error
        return TooManyGuesses("Too many wrong API keys from this address. Wait a minute.", retry_after_s=60, close=True)
