"""Captured content: taken from the spool to the store, read, and erased by destroying the key of whom it is about.

Keys of subjects stand in the store, each encrypted under the installation's secret: neither the store nor the secret
alone opens anything.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from signalbox.core.content import SESSION, USER, Content, Said, subject_of
from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.ledger.content import opened, rewrapped, seal, unseal, waiting

TAKEN_AT_ONCE = 200
KEY_BYTES = 32
NAME_CHARS_MAX = 128


class Erasure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whose content shall be unreadable: of a user, of a session, or of both. tenant: theirs."""

    user: str = ""
    session: str = ""
    tenant: str = "default"

    def named(self) -> list[tuple[str, str]]:
        """Raises ConfigError."""
        named = [(kind, name) for kind, name in ((USER, self.user), (SESSION, self.session)) if name]
        if not named or any(len(name) > NAME_CHARS_MAX for _, name in named):
            raise ConfigError([f"user: name a user or a session, by up to {NAME_CHARS_MAX} characters."])
        return named


class KeptContent(msgspec.Struct, frozen=True):
    """What is kept of one call. said: None once it was erased."""

    call_id: str
    time_ms: int
    hash: str
    said: Said | None


def content_dict(kept: KeptContent) -> dict[str, object]:
    """As the API and the command line show it: text, with what is no UTF-8 escaped."""
    said = kept.said
    shown: dict[str, object] = {"call_id": kept.call_id, "hash": kept.hash, "erased": said is None}
    if said is not None:
        shown["request"] = said.request.decode(errors="backslashreplace")
        shown["answer"] = said.answer.decode(errors="backslashreplace")
        shown["cut"] = said.cut
    return shown


class Contents:
    """secret: the installation's."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._root = hashlib.blake2b(secret, digest_size=32, person=b"content keys").digest()

    def take(self, store: Store, folder: Path) -> bool:
        """From the spool to the store; True when there may be more. Raises StoreError; what was not taken stays."""
        count = 0
        for path, content in waiting(folder, TAKEN_AT_ONCE):
            count += 1
            if content is not None:
                self._take(store, content)
            path.unlink(missing_ok=True)
        return count == TAKEN_AT_ONCE

    def _take(self, store: Store, content: Content) -> None:
        keys = [self._key_of(store, subject, content.time_ms) for subject in content.subjects]
        known = [key for key in keys if key is not None]
        if len(known) == len(keys):
            kept = rewrapped(content, self._secret, known)
            if kept is not None:
                store.add_content(kept)

    def _key_of(self, store: Store, subject: str, time_ms: int) -> bytes | None:
        fresh = os.urandom(KEY_BYTES)
        wrapped = store.subject_key(subject, seal(self._root, fresh, subject), time_ms)
        return None if wrapped is None else unseal(self._root, wrapped, subject)

    def read(self, store: Store, call_id: str) -> KeptContent | None:
        """None when nothing is kept of this call."""
        found = store.content_of(call_id)
        if found is None:
            return None
        content, wrapped = found
        keys = [
            unseal(self._root, key, subject) if key is not None else None
            for subject, key in zip(content.subjects, wrapped, strict=True)
        ]
        known = [key for key in keys if key is not None]
        said = opened(content, known) if len(known) == len(keys) else None
        return KeptContent(content.call_id, content.time_ms, content.hash, said)

    def subjects(self, asked: Erasure) -> list[str]:
        """The names that the ledger and the store know them by. Raises ConfigError."""
        return [subject_of(self._secret, asked.tenant, kind, name) for kind, name in asked.named()]

    def erase(self, store: Store, asked: Erasure, time_ms: int) -> int:
        """How many keys there were to destroy. Also holds for what the store does not have yet."""
        return sum(store.erase_subject(subject, time_ms) for subject in self.subjects(asked))
