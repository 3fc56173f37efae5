"""Public keys out of a JSON Web Key Set (RFC 7517), strictly: what is not certain to be one is refused."""

from __future__ import annotations

import base64
import binascii
from typing import Any, cast

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from signalbox.core.issuers import PublicKey

KEYS_MAX = 100
RSA_BITS_MIN, RSA_BITS_MAX = 2048, 8192
_SECRET = ("d", "p", "q", "k")


def public_keys(text: str | bytes, *, published: bool = False) -> tuple[PublicKey, ...]:
    """Raises ValueError with a sentence. Keys for encryption are passed over; a private or symmetric one is refused.
    published: the issuer's own list, in which kinds of keys that are not taken here may stand besides."""
    try:
        doc = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ValueError("is not a JSON Web Key Set") from None
    listed = cast("dict[str, Any]", doc).get("keys") if isinstance(doc, dict) else None
    if not isinstance(listed, list) or not listed:
        raise ValueError("is not a JSON Web Key Set: it has no list `keys`")
    entries = cast("list[Any]", listed)
    if len(entries) > KEYS_MAX:
        raise ValueError(f"has more than {KEYS_MAX} keys")
    found: list[PublicKey] = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise ValueError("holds a key that is no object")
        key = _public_key(cast("dict[str, Any]", entry), published)
        if key is not None:
            found.append(key)
    if not found:
        raise ValueError("has no key for signatures")
    names = [key.kid for key in found]
    if len(set(names)) != len(names):
        raise ValueError("has two keys of one `kid`, or two without any")
    return tuple(found)


def _public_key(entry: dict[str, Any], published: bool) -> PublicKey | None:
    if any(name in entry for name in _SECRET):
        raise ValueError("holds a private or symmetric key: only public keys belong here")
    if entry.get("use", "sig") != "sig":
        return None
    kid = entry.get("kid", "")
    if not isinstance(kid, str) or len(kid) > 512:
        raise ValueError("holds a key whose `kid` is no text")
    try:
        algorithm, der = _read(entry)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        if published:
            return None
        raise ValueError(f"holds a key {kid[:64]!r} that cannot be read: {error}") from None
    stated = entry.get("alg", algorithm)
    if stated != algorithm and published:
        return None
    if stated != algorithm:
        raise ValueError(f"holds a key {kid[:64]!r} for {str(stated)[:16]!r}; taken are RS256, ES256 and EdDSA")
    return PublicKey(kid, algorithm, der)


def _read(entry: dict[str, Any]) -> tuple[str, bytes]:
    match entry.get("kty"), entry.get("crv"):
        case "RSA", _:
            key = rsa.RSAPublicNumbers(_number(entry["e"]), _number(entry["n"])).public_key()
            if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
                raise ValueError(f"RSA keys have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits")
            return "RS256", key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        case "EC", "P-256":
            numbers = ec.EllipticCurvePublicNumbers(_number(entry["x"]), _number(entry["y"]), ec.SECP256R1())
            return "ES256", numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        case "OKP", "Ed25519":
            key_ = ed25519.Ed25519PublicKey.from_public_bytes(_bytes(entry["x"]))
            return "EdDSA", key_.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        case kind, curve:
            raise ValueError(f"no such kind of key: {str(kind)[:16]} {str(curve or '')[:16]}".rstrip())


def _number(value: object) -> int:
    return int.from_bytes(_bytes(value), "big")


def _bytes(value: object) -> bytes:
    if not isinstance(value, str) or "=" in value:
        raise ValueError("its numbers are base64url without padding")
    try:
        return base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("its numbers are base64url without padding") from None
