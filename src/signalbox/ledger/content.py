"""Captured content on its way to the store: sealed in the process that served the call, one file a call.

    <state>/content/<call id>.sealed    until the shipper has put it into the store

Each is encrypted under a random key, and that under one made of the installation's secret: nothing lies there in
plain. Its hash goes into the journal. The shipper wraps the random key anew, under the keys of whom it is about.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.core.call import ForWhom, Principal
from signalbox.core.content import KEY, SESSION, USER, Content, Said, subject_of

FILES_MAX = 10_000
_SUFFIX = ".sealed"
_NONCE_BYTES = 12
# How many are kept before it is looked again whether there is room.
_LOOK_EVERY = 64

_encode = msgspec.msgpack.encode
_content = msgspec.msgpack.Decoder(Content).decode
_said = msgspec.msgpack.Decoder(Said).decode


def seal(key: bytes, plain: bytes, about: str) -> bytes:
    """about: what it belongs to; it opens for nothing else."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, about.encode())


def unseal(key: bytes, sealed: bytes, about: str) -> bytes | None:
    """None for another key, or for what was changed."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about.encode())
    except (InvalidTag, ValueError):
        return None


def spool_key(secret: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=32, person=b"content spool").digest()


class Spool:
    """Where one process leaves content. secret: the installation's."""

    def __init__(self, folder: Path, secret: bytes) -> None:
        self._folder = folder
        self._secret = secret
        self._key = spool_key(secret)
        self._kept = 0
        self._full = False
        folder.mkdir(mode=0o700, exist_ok=True)

    def subjects(self, principal: Principal, whom: ForWhom) -> tuple[str, ...]:
        """Whom content is about: the user and the session that the caller names, or the key when it names nobody."""
        named = [(kind, name) for kind, name in ((USER, whom.user), (SESSION, whom.session)) if name]
        named = named or [(KEY, principal.key_id)]
        return tuple(subject_of(self._secret, principal.tenant, kind, name) for kind, name in named)

    def keep(self, call_id: str, time_ms: int, subjects: tuple[str, ...], said: Said) -> str | None:
        """The hash for the journal; None when there is no room, because nobody takes to the store what is here already,
        or because the disk is full. A call is never refused for it."""
        if self._kept % _LOOK_EVERY == 0:
            self._full = sum(1 for _ in os.scandir(self._folder)) >= FILES_MAX
        self._kept += 1
        if self._full:
            return None
        key = os.urandom(32)
        sealed = seal(key, _encode(said), call_id)
        digest = hashlib.sha256(sealed).hexdigest()
        content = Content(call_id, time_ms, subjects, digest, seal(self._key, key, call_id), sealed)
        path = self._folder / f"{call_id}{_SUFFIX}"
        partial = path.with_suffix(".partial")
        try:
            fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(_encode(content))
            partial.rename(path)
        except OSError:
            return None
        return digest


def waiting(folder: Path, limit: int) -> Iterator[tuple[Path, Content | None]]:
    """What is to be taken to the store; None for a file that cannot be read as such."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry, _ in zip(entries, range(10 * limit), strict=False)]
    except FileNotFoundError:
        return
    for name in sorted(name for name in names if name.endswith(_SUFFIX))[:limit]:
        path = folder / name
        try:
            yield path, _content(path.read_bytes())
        except FileNotFoundError:
            continue
        except msgspec.MsgspecError:
            yield path, None


def rewrapped(content: Content, secret: bytes, keys: list[bytes]) -> Content | None:
    """As it goes into the store: under the keys of its subjects, in their order. None for what another installation
    sealed."""
    key = unseal(spool_key(secret), content.wrapped, content.call_id)
    if key is None:
        return None
    for one in keys:
        key = seal(one, key, content.call_id)
    return msgspec.structs.replace(content, wrapped=key)


def opened(content: Content, keys: list[bytes]) -> Said | None:
    """None when it cannot be opened with these keys, or is not what it was."""
    key: bytes | None = content.wrapped
    for one in reversed(keys):
        key = unseal(one, key, content.call_id) if key is not None else None
    plain = unseal(key, content.sealed, content.call_id) if key is not None else None
    if plain is None or hashlib.sha256(content.sealed).hexdigest() != content.hash:
        return None
    return _said(plain)
