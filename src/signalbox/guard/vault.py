"""Where conversations keep their pseudonyms: one encrypted file each, the same for all processes of an installation.

What one worker has appended before it sent a call is what every other worker reads from then on, and it outlives the
processes (not a power cut, unless it is made to sync). A file's name and key come from the installation's secret and
the conversation's identity; without both nobody can tell whose it is, or what it holds. A file that was not used for a
lifetime counts as empty, and is removed when somebody comes by.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.core.errors import ConfigError, Overloaded

# Conversations whose entries this process keeps in memory, and what one conversation may have.
REMEMBERED_MAX = 2048
ENTRIES_MAX = 10_000
VALUE_BYTES_MAX = 4096
# Old files of one of so many folders are looked for at every so manieth new file.
_FOLDERS = 256
_SWEEP_EVERY = 32
# The time of last use is written anew only when so much of the lifetime is over.
_REFRESH = 8
_NONCE_BYTES = 12

Entry = tuple[str, str]
_encode = msgspec.json.encode
_decode = msgspec.json.Decoder(tuple[str, str]).decode


class FileVault:
    """Implements guard.contract.Vault in one folder. key: a secret. now_s: Unix seconds. Every method raises Overloaded
    when the files cannot be used: then nothing may be sent that relies on them."""

    def __init__(
        self, folder: Path, key: bytes, *, durable: bool = False, now_s: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._root = str(folder)
        self._key = hashlib.blake2b(key, digest_size=32, person=b"pseudonyms").digest()
        self._durable = durable
        self._now_s = now_s
        self._known: OrderedDict[bytes, tuple[bytes, str, int, int, list[Entry]]] = OrderedDict()
        self._made = 0
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError([f"{folder}: cannot be used ({error.strerror}). Check the state directory."]) from None

    def recall(self, scope: bytes, lifetime_s: int) -> list[Entry]:
        """The entries of a conversation, oldest first; it is in use again."""
        key, path, inode, read, entries = self._of(scope)
        try:
            found = os.stat(path)
        except FileNotFoundError:
            self._known.pop(scope, None)
            return []
        except OSError as error:
            raise _unusable(error) from None
        now_s = self._now_s()
        if found.st_mtime + lifetime_s <= now_s:
            self._known.pop(scope, None)
            return []
        if found.st_ino == inode and found.st_size == read:
            known = entries
        else:
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as error:
                raise _unusable(error) from None
            try:
                fcntl.flock(file, fcntl.LOCK_SH)
                known = self._read(scope, file, key or self._cipher(scope), path, inode, read, entries)
            except OSError as error:
                raise _unusable(error) from None
            finally:
                os.close(file)
        if now_s - found.st_mtime > lifetime_s / _REFRESH:
            _touch(path, now_s)
        return known

    def keep(self, scope: bytes, entries: Sequence[Entry], lifetime_s: int) -> list[Entry]:
        """Adds (token, value) entries; returns all that hold. A value that another process was first with keeps that
        one's token."""
        key, path, inode, read, known = self._of(scope)
        key = key or self._cipher(scope)
        try:
            os.makedirs(path.rpartition("/")[0], mode=0o700, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                found = os.fstat(file)
                if found.st_size and found.st_mtime + lifetime_s <= self._now_s():
                    os.ftruncate(file, 0)
                    inode = -1
                elif not found.st_size:
                    self._sweep(lifetime_s)
                known = self._read(scope, file, key, path, inode, read, known)
                self._append(scope, file, key, path, known, entries)
            finally:
                os.close(file)
            _touch(path, self._now_s())
        except OSError as error:
            raise _unusable(error) from None
        return self._known[scope][4]

    def _append(
        self, scope: bytes, file: int, key: bytes, path: str, known: list[Entry], entries: Sequence[Entry]
    ) -> None:
        values = {value for _, value in known}
        tokens = {token for token, _ in known}
        new = [one for one in entries if one[1] not in values and one[0] not in tokens]
        if len(known) + len(new) > ENTRIES_MAX:
            raise Overloaded("The conversation holds more values than can be kept, so nothing is sent.")
        data = b"".join([_framed(sealed(key, scope, one)) for one in new])
        if data:
            size = os.fstat(file).st_size
            if os.pwrite(file, data, size) != len(data):
                os.ftruncate(file, size)
                raise OSError(0, "a write was cut short")
            if self._durable:
                os.fsync(file)
        self._remember(scope, key, path, os.fstat(file), [*known, *new])

    def _of(self, scope: bytes) -> tuple[bytes, str, int, int, list[Entry]]:
        """(key, path, inode, bytes read, entries). The key is empty for what is not known: mostly there is no file."""
        known = self._known.get(scope)
        if known is not None:
            self._known.move_to_end(scope)
            return known
        name = hashlib.blake2b(scope, digest_size=16, key=self._key, person=b"name").hexdigest()
        return b"", f"{self._root}/{name[:2]}/{name[2:]}", -1, 0, []

    def _cipher(self, scope: bytes) -> bytes:
        return hashlib.blake2b(scope, digest_size=32, key=self._key, person=b"cipher").digest()

    def _read(
        self, scope: bytes, file: int, key: bytes, path: str, inode: int, read: int, entries: list[Entry]
    ) -> list[Entry]:
        """What the file holds, of which `read` bytes are known."""
        found = os.fstat(file)
        if found.st_ino != inode or found.st_size < read:
            read, entries = 0, []
        data = os.pread(file, found.st_size - read, read)
        if len(data) != found.st_size - read:
            raise OSError(0, "the file was cut")
        new = list(entries)
        at = 0
        while at < len(data):
            size = int.from_bytes(data[at : at + 4], "little")
            new.append(opened(key, scope, data[at + 4 : at + 4 + size]))
            at += 4 + size
        self._remember(scope, key, path, found, new)
        return new

    def _remember(self, scope: bytes, key: bytes, path: str, found: os.stat_result, entries: list[Entry]) -> None:
        self._known[scope] = (key, path, found.st_ino, found.st_size, entries)
        self._known.move_to_end(scope)
        if len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)

    def _sweep(self, lifetime_s: int) -> None:
        """Removes what nobody has used for long, a folder at a time."""
        self._made += 1
        if self._made % _SWEEP_EVERY:
            return
        folder = self._folder / f"{secrets.randbelow(_FOLDERS):02x}"
        if not folder.is_dir():
            return
        too_old = self._now_s() - max(lifetime_s, 3600) * 2
        for one in folder.iterdir():
            if one.stat().st_mtime < too_old:
                one.unlink(missing_ok=True)


def sealed(key: bytes, scope: bytes, entry: Entry) -> bytes:
    """An entry as it is kept anywhere. Raises Overloaded for one that is too long."""
    if len(entry[1].encode("utf-8", "replace")) > VALUE_BYTES_MAX:
        raise Overloaded("A value is too long to be kept, so nothing is sent.")
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, _encode(entry), scope)


def opened(key: bytes, scope: bytes, found: bytes) -> Entry:
    """Raises Overloaded for what was not sealed like this."""
    try:
        return _decode(AESGCM(key).decrypt(found[:_NONCE_BYTES], found[_NONCE_BYTES:], scope))
    except (InvalidTag, ValueError, msgspec.DecodeError):
        raise _unusable(OSError(0, "what is kept is damaged")) from None


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _touch(path: str, now_s: float) -> None:
    try:
        os.utime(path, (now_s, now_s))
    except OSError as error:
        raise _unusable(error) from None


def _unusable(error: OSError) -> Overloaded:
    return Overloaded(f"Pseudonyms cannot be kept ({error.strerror}), so nothing is sent.", retry_after_s=5)
