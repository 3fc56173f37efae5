"""Signed tokens (JWT, RFC 7519) in place of virtual keys: whose, for whom, until when, and what their holder may do.

The key decides how a signature is checked; what a token says of that is only compared with it. Nothing that a token
names is ever fetched or opened.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from signalbox.core.call import Principal
from signalbox.core.errors import Unauthenticated
from signalbox.core.issuers import Issuer

TOKEN_CHARS_MAX = 16_384
NAME_CHARS_MAX = 128
_TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
# Headers by which a token would bring or name its own key, or ask for rules that are not kept here.
_FOREIGN = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip")
_NOT_OURS = "The token was not made for this gateway, has expired, or its signature is wrong."
_VERIFIERS = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class Tokens:
    """The issuers of one configuration."""

    def __init__(self, issuers: tuple[Issuer, ...]) -> None:
        self.issuers = issuers
        self._by_name = {(one.issuer, one.audience): one for one in issuers}
        self._keys = {
            one.name: {key.kid: (key.algorithm, load_der_public_key(key.der)) for key in one.keys} for one in issuers
        }

    def principal(self, token: str, now_s: float) -> Principal:
        """Who holds a token. Raises Unauthenticated, in the same words whatever is wrong with it."""
        parts = token.split(".")
        if len(parts) != 3 or len(token) > TOKEN_CHARS_MAX:
            raise Unauthenticated(_NOT_OURS)
        head, claims = _object(parts[0]), _object(parts[1])
        issuer = self._issuer(claims)
        if not self._signed(issuer, head, f"{parts[0]}.{parts[1]}".encode("ascii"), _decoded(parts[2])):
            raise Unauthenticated(_NOT_OURS)
        expires_s = _check(issuer, claims, now_s)
        return _principal(issuer, claims, expires_s)

    def _issuer(self, claims: dict[str, Any]) -> Issuer:
        name: object = claims.get("iss")
        heard: object = claims.get("aud")
        for audience in cast("list[object]", heard) if isinstance(heard, list) else [heard]:
            if isinstance(name, str) and isinstance(audience, str):
                found = self._by_name.get((name, audience))
                if found is not None:
                    return found
        raise Unauthenticated(_NOT_OURS)

    def _signed(self, issuer: Issuer, head: dict[str, Any], said: bytes, signature: bytes) -> bool:
        if any(name in head for name in _FOREIGN):
            return False
        kind = head.get("typ", "jwt")
        if not isinstance(kind, str) or kind.lower() not in _TYPES:
            return False
        keys = self._keys[issuer.name]
        kid = head.get("kid")
        if kid is None and len(keys) == 1:
            algorithm, key = next(iter(keys.values()))
        elif isinstance(kid, str) and kid in keys:
            algorithm, key = keys[kid]
        else:
            return False
        return head.get("alg") == algorithm and _verifies(cast("_VERIFIERS", key), said, signature)


def _verifies(key: _VERIFIERS, said: bytes, signature: bytes) -> bool:
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, said, padding.PKCS1v15(), SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, said)
        else:
            if len(signature) != 64:
                return False
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            key.verify(encode_dss_signature(r, s), said, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return True


def _check(issuer: Issuer, claims: dict[str, Any], now_s: float) -> int:
    """When it expires, in Unix seconds. Raises Unauthenticated for one that does not hold now."""
    expires, begins, made = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    leeway = issuer.leeway_s
    parties = issuer.parties
    if (
        expires is None
        or now_s >= expires + leeway
        or expires - now_s > issuer.lifetime_s_max
        or (begins is not None and begins > now_s + leeway)
        or (made is not None and made > now_s + leeway)
        or (parties and not any(claims.get("azp") == party for party in parties))
    ):
        raise Unauthenticated(_NOT_OURS)
    return int(expires) + leeway


def _principal(issuer: Issuer, claims: dict[str, Any], expires_s: int) -> Principal:
    subject = _name(claims.get("sub"))
    tenant = _name(claims.get(issuer.tenant_claim)) if issuer.tenant_claim else issuer.tenant
    team = _name(claims.get(issuer.team_claim)) if issuer.team_claim else issuer.team
    workloads = issuer.workloads
    if issuer.workloads_claim:
        named = _names(claims.get(issuer.workloads_claim))
        workloads = tuple(name for name in named if workloads is None or name in workloads)
    return Principal(
        key_id=f"{issuer.name}:{subject}",
        tenant=tenant,
        team=team,
        workloads=frozenset(workloads) if workloads is not None else None,
        deployments=frozenset(),
        default_workload=workloads[0] if workloads else None,
        labels=issuer.labels,
        expires_s=expires_s,
    )


def _name(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= NAME_CHARS_MAX and value.isprintable():
        return value
    raise Unauthenticated(_NOT_OURS)


def _names(value: object) -> list[str]:
    """A list of names, or names in words as `scope` has them."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(name, str) for name in cast("list[object]", value)):
        return cast("list[str]", value)
    raise Unauthenticated(_NOT_OURS)


def _time(claims: dict[str, Any], name: str) -> float | None:
    value: object = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**53) < value < 2**53:
        raise Unauthenticated(_NOT_OURS)
    return value


def _object(part: str) -> dict[str, Any]:
    try:
        found: object = msgspec.json.decode(_decoded(part))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Unauthenticated(_NOT_OURS) from None
    if not isinstance(found, dict):
        raise Unauthenticated(_NOT_OURS)
    return cast("dict[str, Any]", found)


def _decoded(part: str) -> bytes:
    """base64url without padding, in the one spelling that it has."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Unauthenticated(_NOT_OURS) from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii", "replace"):
        raise Unauthenticated(_NOT_OURS)
    return data
