"""Virtual keys: `sb-<public id>-<secret><checksum>`, how they are made, taken apart and compared.

Only HMAC-SHA256(pepper, secret and checksum) is ever stored. The checksum lets a typing error, or a scanner that found
something key-like, be told from a real key without looking anything up.
"""

from __future__ import annotations

import hashlib
import zlib

# Who may do what on the admin API; a key with a role calls no models.
ROLES = ("admin", "operator", "auditor", "developer")
PREFIX = "sb-"
PUBLIC_CHARS = 12
SECRET_CHARS = 40
CHECKSUM_CHARS = 6
KEY_CHARS_MAX = len(PREFIX) + PUBLIC_CHARS + 1 + SECRET_CHARS + CHECKSUM_CHARS
_BLOCK_BYTES = 64
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def _base32(value: int, chars: int) -> str:
    out: list[str] = []
    for _ in range(chars):
        value, digit = divmod(value, 32)
        out.append(_ALPHABET[digit])
    return "".join(reversed(out))


def checksum(public_id: str, secret: str) -> str:
    return _base32(zlib.crc32(f"{public_id}-{secret}".encode("ascii")), CHECKSUM_CHARS)


def mint(random_public: int, random_secret: int) -> tuple[str, str, str]:
    """(key, public id, secret) from chance that the caller brings: 60 and 200 bits of it."""
    public_id = _base32(random_public, PUBLIC_CHARS)
    secret = _base32(random_secret, SECRET_CHARS)
    return f"{PREFIX}{public_id}-{secret}{checksum(public_id, secret)}", public_id, secret


def split(key: str) -> tuple[str, str] | None:
    """(public id, secret with its checksum) of a key of the right shape, or None."""
    if len(key) != KEY_CHARS_MAX or not key.isascii() or not key.startswith(PREFIX):
        return None
    public_end = len(PREFIX) + PUBLIC_CHARS
    if key[public_end] != "-":
        return None
    return key[len(PREFIX) : public_end], key[public_end + 1 :]


class Digester:
    """HMAC-SHA256 under one pepper, with both padded key blocks hashed once instead of once a request."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, pepper: bytes) -> None:
        if len(pepper) > _BLOCK_BYTES:
            raise ValueError(f"the pepper must have at most {_BLOCK_BYTES} bytes")
        block = pepper.ljust(_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def digest(self, secret: str) -> bytes:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(secret.encode("ascii"))
        outer.update(inner.digest())
        return outer.digest()
