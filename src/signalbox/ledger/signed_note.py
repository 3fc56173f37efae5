"""Signed notes over an append-only tree: its root (RFC 6962, section 2.1), the keys, and who signed what."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from signalbox.core.errors import LedgerError

KEY, PUBLIC = "key", "key.pub"
ORIGIN_PREFIX = "signalbox.ledger"
_ED25519 = b"\x01"
_DASH = "\u2014"


class Tree:
    """The root of an append-only tree, from the complete subtrees on its right edge."""

    def __init__(self) -> None:
        self.size = 0
        self._edge: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        node = hashlib.sha256(b"\x00" + leaf).digest()
        size = self.size
        while size & 1:
            node = hashlib.sha256(b"\x01" + self._edge.pop() + node).digest()
            size >>= 1
        self._edge.append(node)
        self.size += 1

    def root(self) -> bytes:
        if not self._edge:
            return hashlib.sha256(b"").digest()
        node = self._edge[-1]
        for left in reversed(self._edge[:-1]):
            node = hashlib.sha256(b"\x01" + left + node).digest()
        return node


class Note(msgspec.Struct, frozen=True):
    """What a note says whose signature was checked: a tree of this size has this root."""

    origin: str
    size: int
    root: bytes


class PublicKey:
    """The key that notes are checked with, in the form of c2sp.org/signed-note: `name+id+base64`."""

    def __init__(self, name: str, raw: bytes) -> None:
        self.name = name
        self._raw = raw
        self.id = hashlib.sha256(name.encode() + b"\n" + _ED25519 + raw).digest()[:4]

    @classmethod
    def read(cls, text: str) -> PublicKey:
        """Raises ValueError when it is none."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        key = cls(name, raw[1:])
        if not name or len(raw) != 33 or raw[:1] != _ED25519 or key.id.hex() != identity:
            raise ValueError("this is no public key of checkpoints (name+id+base64)")
        return key

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(_ED25519 + self._raw).decode()}"

    def open(self, note: str) -> Note | None:
        """What a note says, or None unless this very key signed it."""
        text, blank, signatures = note.partition("\n\n")
        if not blank:
            return None
        signed = f"{text}\n".encode()
        for line in signatures.splitlines():
            parts = line.split(" ")
            if len(parts) == 3 and parts[0] == _DASH and parts[1] == self.name and self._made(parts[2], signed):
                return _read_text(text, self.name)
        return None

    def _made(self, encoded: str, signed: bytes) -> bool:
        try:
            raw = base64.b64decode(encoded, validate=True)
            if raw[:4] != self.id:
                return False
            Ed25519PublicKey.from_public_bytes(self._raw).verify(raw[4:], signed)
        except (binascii.Error, InvalidSignature, ValueError):
            return False
        return True


def _read_text(text: str, origin: str) -> Note | None:
    lines = text.split("\n")
    if len(lines) < 3 or lines[0] != origin or not lines[1].isdecimal() or (lines[1][0] == "0" and lines[1] != "0"):
        return None
    try:
        root = base64.b64decode(lines[2], validate=True)
    except binascii.Error:
        return None
    return Note(origin, int(lines[1]), root) if len(root) == 32 else None


class Signer:
    """The private half, kept in a file that only its owner may read."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes_raw()
        self.public = PublicKey(f"{ORIGIN_PREFIX}/{hashlib.sha256(raw).hexdigest()[:16]}", raw)

    @classmethod
    def of(cls, directory: Path) -> Signer:
        """The key of a directory, made when there is none."""
        path = directory / KEY
        if not path.exists():
            _create_private(path, Ed25519PrivateKey.generate())
        key = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(key, Ed25519PrivateKey):
            raise LedgerError(f"{path} holds no Ed25519 key")
        signer = cls(key)
        public = directory / PUBLIC
        if not public.exists():
            public.write_text(f"{signer.public}\n", encoding="ascii")
        return signer

    def sign(self, size: int, root: bytes) -> str:
        text = f"{self.public.name}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.public.id + self._key.sign(text.encode())).decode()
        return f"{text}\n{_DASH} {self.public.name} {signature}\n"


def _create_private(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    # When another process made one first, that one holds.
    with contextlib.suppress(FileExistsError):
        os.link(fresh, path)
    os.unlink(fresh)
