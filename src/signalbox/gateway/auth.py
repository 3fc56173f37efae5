"""Who calls: the one function that extracts credentials, and the keyring that checks them."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import blake2s
from ipaddress import ip_network
from operator import itemgetter

from signalbox.core import keys
from signalbox.core.call import Principal
from signalbox.core.errors import Unauthenticated
from signalbox.core.issuers import Certificate, Holder, Issuer, KeySet
from signalbox.gateway.certificates import Holders
from signalbox.gateway.forwarded import Networks
from signalbox.gateway.framing import Headers
from signalbox.gateway.tokens import Tokens

_NOBODY: tuple[bytes, Principal | None] = (bytes(32), None)
GOOD_MAX = 65_536
_NAME = itemgetter(0)
# What clients that insist on a key send in its place, and means the client certificate.
CERTIFICATE = "certificate"
_HINT = "Send a Signalbox virtual key as `Authorization: Bearer sb-...` or `x-api-key: sb-...`."


class Known:
    """What is known of issuers beside the configuration: their key sets, by name, as they were fetched. want: told of
    an issuer whose set may be out of date."""

    __slots__ = ("sets", "want")

    def __init__(self, want: Callable[[str], None]) -> None:
        self.sets: dict[str, KeySet] = {}
        self.want = want


class Keyring:
    """Every key that may call, replaced as a whole. entries: public id -> (digest, principal).

    Keys that were found good are remembered, by their hash and not as they are, until the next replacement.
    """

    __slots__ = ("_digester", "_entries", "_good", "_holders", "_known", "_sets", "_tokens", "proxies")

    def __init__(
        self, pepper: bytes, entries: Mapping[str, tuple[bytes, Principal]], known: Known | None = None
    ) -> None:
        self._known = known
        # Whose word on client certificates is taken.
        self.proxies: Networks = ()
        self._holders = Holders(())
        self._sets: dict[str, KeySet] = {}
        self._digester = keys.Digester(pepper)
        self._entries = entries
        self._good: dict[bytes, Principal] = {}
        self._tokens: Tokens | None = None

    def adopt(
        self, issuers: tuple[Issuer, ...], holders: tuple[Holder, ...] = (), proxies: tuple[str, ...] = ()
    ) -> None:
        """From now on tokens of these issuers are taken too, and certificates of these holders, and no others. proxies:
        networks whose word on a client's certificate is taken."""
        self.proxies = tuple(map(ip_network, proxies))
        if holders != self._holders.holders:
            self._holders = Holders(holders)
            self._good.clear()
        known = self._known
        sets = known.sets if known is not None else {}
        if issuers != (self._tokens.issuers if self._tokens is not None else ()) or sets != self._sets:
            self._sets = sets
            self._tokens = Tokens(issuers, sets, known.want if known is not None else None) if issuers else None
            self._good.clear()

    @property
    def several_tenants(self) -> bool:
        """Whether callers of more than one tenant may come."""
        tenants = {principal.tenant for _, principal in self._entries.values()}
        issuers = self._tokens.issuers if self._tokens is not None else ()
        tenants |= {one.tenant for one in (*issuers, *self._holders.holders)}
        return len(tenants) > 1 or any(one.tenant_claim for one in issuers)

    def __len__(self) -> int:
        return len(self._entries)

    def principal(self, key: str, now_s: float) -> Principal:
        """The caller behind a key. Raises Unauthenticated; an unknown id costs what a wrong secret costs."""
        # As strong as SHA-256, and a fifth of its time for what is so short.
        hashed = blake2s(key.encode("ascii", "replace")).digest()
        principal = self._good.get(hashed)
        if principal is None:
            principal = self._checked(key, now_s)
            self._remember(hashed, principal)
        if principal.expires_s and now_s >= principal.expires_s:
            raise Unauthenticated("The API key has expired.")
        return principal

    def holder(self, certificate: Certificate, headers: Headers, now_s: float) -> Principal:
        """The caller behind a client certificate, or behind a key where the certificate names nobody. Raises
        Unauthenticated."""
        principal = self._good.get(certificate.fingerprint) or self._holders.principal(certificate)
        if principal is None:
            return self.principal(credential(headers), now_s)
        credential(headers, certified=True)
        self._remember(certificate.fingerprint, principal)
        if principal.expires_s and now_s >= principal.expires_s:
            raise Unauthenticated("The client certificate has expired.")
        return principal

    def _remember(self, hashed: bytes, principal: Principal) -> None:
        if len(self._good) >= GOOD_MAX:
            self._good.clear()
        self._good[hashed] = principal

    def _checked(self, key: str, now_s: float) -> Principal:
        parts = keys.split(key)
        if parts is None:
            if self._tokens is not None and key.count(".") == 2:
                return self._tokens.principal(key, now_s)
            raise Unauthenticated(f"The API key is not a Signalbox key. {_HINT}")
        stored, principal = self._entries.get(parts[0], _NOBODY)
        if not hmac.compare_digest(self._digester.digest(parts[1]), stored) or principal is None:
            raise Unauthenticated("The API key is unknown, revoked or mistyped.")
        return principal


def credential(headers: Headers, *, certified: bool = False) -> str:
    """The key a request carries in `Authorization: Bearer`, `x-api-key` or `api-key`; CERTIFICATE where its client
    certificate is its credential (certified).

    The same key in several places is one key; two different ones, a key beside a certificate that is a credential,
    another scheme, or anything that is not printable ASCII is refused, so that no two parts of the product can disagree
    about who calls.
    """
    if not certified:
        usual = _usual_credential(headers)
        if usual:
            return usual
    found: str | None = None
    for name, raw in headers:
        if name == b"authorization":
            scheme, _, rest = raw.partition(b" ")
            if scheme.lower() != b"bearer":
                raise Unauthenticated(f"Only the Bearer scheme is taken. {_HINT}")
            value = rest
        elif name in (b"x-api-key", b"api-key"):
            value = raw
        else:
            continue
        if not value.isascii():
            raise Unauthenticated(f"The API key is malformed. {_HINT}")
        text = value.strip().decode("ascii")
        if not text:
            continue  # some clients send the header they do not use, empty
        if found is not None and text != found:
            raise Unauthenticated("Two different credentials were sent. Send exactly one.")
        found = text
    if certified:
        if found not in (None, CERTIFICATE):
            raise Unauthenticated("Two different credentials were sent: a client certificate and a key. Send one.")
        return CERTIFICATE
    if not found:
        raise Unauthenticated(f"No API key was sent. {_HINT}")
    return found


def _usual_credential(headers: Headers) -> str:
    """The key where it stands in one header alone, as it should, and nothing about it has to be thought over; else
    empty."""
    names = list(map(_NAME, headers))
    if names.count(b"authorization") != 1 or b"x-api-key" in names or b"api-key" in names:
        return ""
    value = headers[names.index(b"authorization")][1]
    if value[:7] != b"Bearer " or not value.isascii():
        return ""
    return value[7:].strip().decode("ascii")
