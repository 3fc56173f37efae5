"""Signed tokens (JWS and JWT in compact form, RFC 7515 and 7519): taken apart strictly, and held against known keys.

The key decides how a signature is checked; what a token says of that is only compared with it. Nothing that a token
names is ever fetched or opened.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from typing import Any, cast

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from signalbox.core.issuers import PublicKey

TOKEN_CHARS_MAX = 16_384
NAME_CHARS_MAX = 128
# Headers by which a token would bring or name its own key, or ask for rules that are not kept here.
_FOREIGN = ("jku", "jwk", "x5u", "x5c", "crit", "b64", "zip")
_VERIFIERS = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class BadToken(Exception):
    """The token is none, or does not hold. What is said is for logs and records, not for whoever sent it."""


class UnknownKeyId(BadToken):
    """Its key is not among those that are known; it may be a newer one."""


class Signed(msgspec.Struct, frozen=True):
    """A token taken apart, of which nothing is believed yet. said: what the signature is over."""

    head: dict[str, Any]
    claims: dict[str, Any]
    said: bytes
    signature: bytes


def taken_apart(token: str) -> Signed:
    """Raises BadToken."""
    parts = token.split(".", 3)
    if len(token) > TOKEN_CHARS_MAX or len(parts) != 3:
        raise BadToken("it is not a signed token")
    head, claims = _object(parts[0]), _object(parts[1])
    return Signed(head, claims, f"{parts[0]}.{parts[1]}".encode("ascii"), decoded(parts[2]))


class VerifyingKeys:
    """The public keys of one issuer, ready for use."""

    __slots__ = ("_keys",)

    def __init__(self, keys: Collection[PublicKey]) -> None:
        self._keys = {key.kid: (key.algorithm, load_der_public_key(key.der)) for key in keys}

    def check(self, signed: Signed, types: Collection[str], algorithms: Collection[str] | None = None) -> None:
        """Raises BadToken unless one of these keys signed it. types: what its `typ` may be, in lower case."""
        if any(name in signed.head for name in _FOREIGN):
            raise BadToken("its head asks for what is not taken")
        kind = signed.head.get("typ", "jwt")
        if not isinstance(kind, str) or kind.lower() not in types:
            raise BadToken("it is a token of another type")
        algorithm, key = self._key(signed.head.get("kid"))
        if signed.head.get("alg") != algorithm or (algorithms is not None and algorithm not in algorithms):
            raise BadToken("its algorithm is not taken")
        if not _verifies(cast("_VERIFIERS", key), signed.said, signed.signature):
            raise BadToken("its signature is wrong")

    def _key(self, kid: object) -> tuple[str, object]:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if not isinstance(kid, str):
            raise BadToken("it does not say which key signed it")
        found = self._keys.get(kid)
        if found is None:
            raise UnknownKeyId("the key that signed it is not known")
        return found


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


def expiry(claims: dict[str, Any], now_s: float, leeway_s: float, lifetime_s_max: float) -> float:
    """When it expires, in Unix seconds. Raises BadToken for one that does not hold now or holds for too long."""
    expires, begins, made = (_time(claims, name) for name in ("exp", "nbf", "iat"))
    if expires is None or now_s >= expires + leeway_s:
        raise BadToken("it has expired")
    if expires - now_s > lifetime_s_max:
        raise BadToken("it holds for too long")
    if any(moment is not None and moment > now_s + leeway_s for moment in (begins, made)):
        raise BadToken("it does not hold yet")
    return expires


def issued_at(claims: dict[str, Any]) -> float | None:
    """Raises BadToken for a time that is none."""
    return _time(claims, "iat")


def audiences(claims: dict[str, Any]) -> list[str]:
    """Those that it was made for."""
    heard: object = claims.get("aud")
    named = cast("list[object]", heard) if isinstance(heard, list) else [heard]
    return [name for name in named if isinstance(name, str)]


def name_in(value: object) -> str:
    """A printable name of a bearable length. Raises BadToken."""
    if isinstance(value, str) and 0 < len(value) <= NAME_CHARS_MAX and value.isprintable():
        return value
    raise BadToken("a name in it is none")


def names_in(value: object) -> list[str]:
    """A list of names, or names in words as `scope` has them. Raises BadToken."""
    if isinstance(value, str):
        return value.split()
    if isinstance(value, list) and all(isinstance(name, str) for name in cast("list[object]", value)):
        return cast("list[str]", value)
    raise BadToken("a list of names in it is none")


def _time(claims: dict[str, Any], name: str) -> float | None:
    value: object = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not -(2**53) < value < 2**53:
        raise BadToken("a time in it is none")
    return value


def _object(part: str) -> dict[str, Any]:
    try:
        found: object = msgspec.json.decode(decoded(part))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise BadToken("it does not hold JSON") from None
    if not isinstance(found, dict):
        raise BadToken("it does not hold JSON objects")
    return cast("dict[str, Any]", found)


def decoded(part: str) -> bytes:
    """base64url without padding, in the one spelling that it has. Raises BadToken."""
    try:
        data = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise BadToken("it is not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=") != part.encode("ascii", "replace"):
        raise BadToken("it is not base64url in its one spelling")
    return data
