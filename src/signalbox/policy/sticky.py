"""Conversations whose labels were raised, remembered for a while by all processes of an installation.

One sparse file of fixed size in the state directory holds them as a hash table, read and written with single small
system calls: what one worker has written before it sent a call is what every other worker reads from then on, and it
outlives the processes (not a power cut, unless the journal's fsync is `always`). It holds keyed hashes, labels and
times; no name, no content. When a new raise finds no room, or the file cannot be used, the call is refused.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.core.errors import ConfigError, Overloaded
from signalbox.core.labels import LEVELS, NONE, TAG_BIT, Labels

# Buckets of sixteen slots: a million conversations in 32 MiB, of which only what is used takes room on the disk.
BUCKETS = 1 << 16
SLOTS = 16
_SLOT_BYTES = 32
_BUCKET_BYTES = SLOTS * _SLOT_BYTES
_HEAD = b"signalbox conversations 1\n".ljust(_BUCKET_BYTES, b"\0")
_FILE_BYTES = _BUCKET_BYTES * (BUCKETS + 1)
_DIGEST_BYTES = 16
# An entry is written anew only once so much of its lifetime is over: most turns only read.
_REFRESH = 8

LIFETIME_S = 24 * 3600

_ALL_TAGS = sum(TAG_BIT.values())
_SESSION_CHARS_MAX = 512
_UUID = r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_NAMES_MAX = 4096
_NAMING = ("prompt_cache_key", "conversation", "metadata")
_IS_UUID = re.compile(_UUID).fullmatch
# Claude Code's `metadata.user_id` ends in its session, in two spellings.
_SESSION_IN_USER = re.compile(rf"session_?(?:id)?\W{{0,4}}_?({_UUID})").search


class Entry(msgspec.Struct, frozen=True, gc=False):
    """What is known of a conversation. expires_s: Unix seconds."""

    labels: Labels
    expires_s: int


class Conversations:
    """The table. Used from one thread; other processes may use the same file at the same time.

    key: a secret that all processes of the installation share. lifetime_s: how long an entry counts after it was last
    written. durable: every write reaches the disk before it counts.
    """

    def __init__(self, path: Path, key: bytes, *, lifetime_s: int = LIFETIME_S, durable: bool = False) -> None:
        self.lifetime_s = lifetime_s
        self._durable = durable
        self._hash = hashlib.blake2b(digest_size=_DIGEST_BYTES, key=key)
        # The identity of a conversation by its name, which every turn of it asks for.
        self.of_name = lru_cache(maxsize=_NAMES_MAX)(self._of_name)
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._prepare(path)
        except OSError as error:
            raise ConfigError([f"{path}: cannot be used ({error.strerror}). Check the state directory."]) from None

    def _prepare(self, path: Path) -> None:
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BUCKET_BYTES, 0)
        try:
            if os.fstat(self._file).st_size == 0:
                os.pwrite(self._file, _HEAD, 0)
                os.ftruncate(self._file, _FILE_BYTES)
            if os.fstat(self._file).st_size != _FILE_BYTES or os.pread(self._file, _BUCKET_BYTES, 0) != _HEAD:
                raise ConfigError([f"{path}: was not written by this version. Move it away while nothing runs."])
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET_BYTES, 0)

    def close(self) -> None:
        os.close(self._file)

    def identity(self, *parts: bytes) -> bytes:
        """The key of a conversation in the table; nobody without the secret can tell what it stands for."""
        hashed = self._hash.copy()
        for part in parts:
            hashed.update(len(part).to_bytes(4, "big") + part)
        return hashed.digest()

    def _of_name(self, tenant: bytes, name: str) -> bytes:
        return self.identity(b"name", tenant, name.encode())

    def recall(self, identity: bytes, now_s: int) -> Entry | None:
        """What is known of a conversation. Raises Overloaded when that cannot be told."""
        try:
            bucket = self._read(_offset(identity))
        except OSError as error:
            raise _unusable(error) from None
        at = _find(bucket, identity)
        if at < 0:
            return None
        entry = _entry(bucket, at)
        return entry if entry.expires_s > now_s else None

    def keep(self, identity: bytes, labels: Labels, now_s: int) -> None:
        """Raises what is known of a conversation to include these labels, for a lifetime from now on.

        When this returns, every process of the installation sees it. Raises Overloaded when it cannot be kept.
        """
        offset = _offset(identity)
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, _BUCKET_BYTES, offset)
            try:
                self._keep(offset, identity, labels, now_s)
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET_BYTES, offset)
        except OSError as error:
            raise _unusable(error) from None

    def _keep(self, offset: int, identity: bytes, labels: Labels, now_s: int) -> None:
        bucket = self._read(offset)
        at = _find(bucket, identity)
        if at >= 0:
            known = _entry(bucket, at)
            if known.expires_s > now_s:
                labels |= known.labels
        else:
            slots = range(0, _BUCKET_BYTES, _SLOT_BYTES)
            at = next((slot for slot in slots if _entry(bucket, slot).expires_s <= now_s), -1)
            if at < 0:
                raise Overloaded(
                    "More conversations carry raised data classes than can be remembered, so nothing is sent.",
                    retry_after_s=60,
                )
        slot = b"%b%b%b%b" % (
            identity,
            (now_s + self.lifetime_s).to_bytes(8, "little"),
            labels.tags.to_bytes(4, "little"),
            labels.level.to_bytes(4, "little"),
        )
        if os.pwrite(self._file, slot, offset + at) != _SLOT_BYTES:
            raise OSError(0, "short write")
        if self._durable:
            os.fdatasync(self._file)

    def _read(self, offset: int) -> bytes:
        bucket = os.pread(self._file, _BUCKET_BYTES, offset)
        if len(bucket) != _BUCKET_BYTES:
            raise OSError(0, "the file was cut")
        return bucket

    def is_fresh(self, entry: Entry, now_s: int) -> bool:
        """Whether an entry need not be written anew yet."""
        return entry.expires_s - now_s > self.lifetime_s - self.lifetime_s // _REFRESH


def key_from(pepper: bytes) -> bytes:
    """The secret of this table, from the one that the installation has."""
    return hashlib.blake2b(pepper, digest_size=32, person=b"conversations").digest()


def named(call: Call) -> list[str]:
    """The names that the client gives its conversation, in headers or in the body; the same on every turn."""
    doc = call.doc
    if not call.sessions and doc.keys().isdisjoint(_NAMING):
        return []
    names = list(call.sessions)
    cached: object = doc.get("prompt_cache_key")
    # Many clients share one cache key over all their users; Codex makes one for each conversation.
    if isinstance(cached, str) and _IS_UUID(cached):
        names.append(cached)
    thread: object = doc.get("conversation")
    if isinstance(thread, dict):
        thread = cast("dict[str, Any]", thread).get("id")
    if isinstance(thread, str) and thread:
        names.append(thread)
    metadata: object = doc.get("metadata")
    if isinstance(metadata, dict):
        user: object = cast("dict[str, Any]", metadata).get("user_id")
        session = _SESSION_IN_USER(user[:2048]) if isinstance(user, str) else None
        if session is not None:
            names.append(session[1])
    return [name[:_SESSION_CHARS_MAX] for name in dict.fromkeys(names)]


def union(entries: Sequence[Entry | None]) -> Labels:
    labels = NONE
    for entry in entries:
        if entry is not None:
            labels |= entry.labels
    return labels


def _offset(identity: bytes) -> int:
    return _BUCKET_BYTES * (1 + int.from_bytes(identity[:4], "little") % BUCKETS)


def _find(bucket: bytes, identity: bytes) -> int:
    at = bucket.find(identity)
    while at >= 0 and at % _SLOT_BYTES:
        at = bucket.find(identity, at + 1)
    return at


def _entry(bucket: bytes, at: int) -> Entry:
    tags = int.from_bytes(bucket[at + 24 : at + 28], "little") & _ALL_TAGS
    level = min(int.from_bytes(bucket[at + 28 : at + 32], "little"), len(LEVELS) - 1)
    return Entry(Labels(level, tags), int.from_bytes(bucket[at + 16 : at + 24], "little"))


def _unusable(error: OSError) -> Overloaded:
    return Overloaded(
        f"Data classes of conversations cannot be kept ({error.strerror}), so nothing is sent.", retry_after_s=5
    )
