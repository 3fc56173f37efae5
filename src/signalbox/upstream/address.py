"""Which addresses may be connected to: judged after resolution, so that no spelling and no DNS answer gets by."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

# Cloud metadata services and host agents that are not link-local; they hand out credentials.
_METADATA: frozenset[Address] = frozenset(
    ip_address(text)
    for text in (
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::23",
        "fd00:ec2::254",
        "fd20:ce::254",
    )
)
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_RESERVED_V4 = IPv4Network("240.0.0.0/4")
_SITE_LOCAL = IPv6Network("fec0::/10")
_NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))
_V4_COMPATIBLE = IPv6Network("::/96")


def literal(host: str) -> str | None:
    """The canonical form of an address literal in any spelling that a resolver accepts (0x7f.1, 2130706433), else
    None when the host is a name."""
    bare = host.strip("[]").rstrip(".")
    try:
        return str(ip_address(bare))
    except ValueError:
        pass
    if bare[:1].isdigit():
        try:
            return socket.inet_ntoa(socket.inet_aton(bare))
        except OSError:
            return None
    return None


def refusal(text: str, *, private: bool) -> str | None:
    """Why this address must not be connected to, or None. private: the deployment says that its ranges are private."""
    try:
        address = ip_address(text)
    except ValueError:
        return "it is not an address"
    for form in _forms(address):
        if form in _METADATA or form.is_link_local:
            return "it is a link-local or metadata address"
        if form.is_multicast or form.is_unspecified or _never_unicast(form):
            return "it is not a unicast address"
        if not private and (not form.is_global or (form.version == 6 and form in _SITE_LOCAL)):
            return "it is a private address and the deployment does not allow those"
    return None


def _never_unicast(address: Address) -> bool:
    return address.version == 4 and (address in _THIS_NETWORK or address in _RESERVED_V4)


def _forms(address: Address) -> list[Address]:
    """The address, and every IPv4 address that it carries inside and that a gateway on the way might unpack."""
    if isinstance(address, IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    forms: list[Address] = [address]
    if address.sixtofour is not None:
        forms.append(address.sixtofour)
    if address.teredo is not None:
        forms.extend(address.teredo)
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in _NAT64) or (address in _V4_COMPATIBLE and int(address) > 1):
        forms.append(low)
    return forms
