"""Idempotency keys: the same call twice within a day is answered once and billed once.

    <state>/idempotency/<2 hex>/<name>         a whole answer, encrypted
    <state>/idempotency/<2 hex>/<name>.lock    held (flock) by the worker that is getting the answer

`name` is a hash over the virtual key, the endpoint and the caller's key. The file can only be read with the caller's
key, which is stored nowhere: what lies on the disk tells nobody what was asked or answered. Calls without the header
never come here.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import hmac
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from signalbox.core.call import Call
from signalbox.core.errors import BadRequest, Conflict, Overloaded

LIFETIME_S = 24 * 3600
KEY_CHARS_MAX = 256
ANSWER_BYTES_MAX = 8 << 20
ANSWERS_MAX = 20_000
BYTES_MAX = 512 << 20
JOIN_S_MAX = 900.0
_POLL_S = 0.05
_SWEEP_EVERY = 200
_NONCE_BYTES = 12


class Kept(msgspec.Struct, frozen=True):
    """One answer: whole, as the first caller got it. asked: hash of the body that was sent for it."""

    asked: bytes
    call_id: str
    content_type: bytes
    body: bytes


class Turn:
    """This worker's turn to get the answer for a key. Whoever else asks meanwhile waits for it to end."""

    def __init__(self, answers: Answers, name: str, secret: bytes, asked: bytes, fd: int) -> None:
        self._answers = answers
        self._name = name
        self._secret = secret
        self._asked = asked
        self._fd = fd

    async def keep(self, call_id: str, content_type: bytes, body: bytes) -> None:
        """Ends the turn, once the answer is kept, also when its caller leaves meanwhile. What is too long is not kept,
        and nothing is on a full disk: who asks next gets an answer of its own."""
        kept = Kept(self._asked, call_id, content_type, body)
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, self._keep, kept))

    def _keep(self, kept: Kept) -> None:
        try:
            if len(kept.body) <= ANSWER_BYTES_MAX:
                with contextlib.suppress(OSError):
                    self._answers.write(self._name, self._secret, kept)
        finally:
            self.end()

    def end(self) -> None:
        os.close(self._fd)


class Answers:
    """The answers of one machine, shared by its workers through files; bounded in number and bytes."""

    def __init__(self, directory: Path, now_s: Callable[[], float]) -> None:
        self._directory = directory
        self._now_s = now_s
        self._writes = 0

    async def find(self, call: Call, key: str) -> Kept | Turn:
        """The answer that is there by now, or the turn to get it. Waits while another call is getting it.

        Raises BadRequest for a key that is none, Conflict when another body was sent with it, Overloaded when the
        other call takes too long."""
        if not key or len(key) > KEY_CHARS_MAX or not (key.isascii() and key.isprintable()):
            raise BadRequest(f"idempotency-key takes 1 to {KEY_CHARS_MAX} printable ASCII characters.")
        scope = f"{call.principal.key_id}\0{call.api}\0".encode()
        name = hashlib.sha256(scope + key.encode()).hexdigest()
        secret = hmac.digest(key.encode(), b"signalbox idempotency\0" + scope, "sha256")
        asked = hashlib.sha256(call.body).digest()
        waited_s = 0.0
        while True:
            looking = asyncio.get_running_loop().run_in_executor(None, self._try, name, secret, asked)
            try:
                found = await asyncio.shield(looking)
            except asyncio.CancelledError:
                looking.add_done_callback(_give_back)  # its caller left: the turn that it may get is nobody's
                raise
            if found is not None:
                return found
            if waited_s >= JOIN_S_MAX:
                raise Overloaded("The first call with this idempotency-key is still running.", retry_after_s=5)
            waited_s += _POLL_S
            await asyncio.sleep(_POLL_S)

    def _try(self, name: str, secret: bytes, asked: bytes) -> Kept | Turn | None:
        """One look: the answer, the turn, or None while somebody else has it."""
        kept = self._read(name, secret)
        if kept is not None:
            _same(kept.asked, asked)
            return kept
        path = self._path(name).with_suffix(".lock")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            first = os.pread(fd, len(asked), 0)
            os.close(fd)
            if len(first) == len(asked):
                _same(first, asked)
            return None
        kept = self._read(name, secret)  # it may have come between the look and the lock
        if kept is not None:
            os.close(fd)
            _same(kept.asked, asked)
            return kept
        os.pwrite(fd, asked, 0)
        return Turn(self, name, secret, asked, fd)

    def _read(self, name: str, secret: bytes) -> Kept | None:
        path = self._path(name)
        try:
            if self._now_s() - path.stat().st_mtime >= LIFETIME_S:
                return None
            sealed = path.read_bytes()
            plain = AESGCM(secret).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
            return msgspec.msgpack.decode(plain, type=Kept)
        except (OSError, InvalidTag, ValueError, msgspec.MsgspecError):
            return None  # nothing there, or damaged: then it is asked again

    def write(self, name: str, secret: bytes, kept: Kept) -> None:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + AESGCM(secret).encrypt(nonce, msgspec.msgpack.encode(kept), name.encode())
        path = self._path(name)
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(sealed)
        os.utime(fresh, (self._now_s(), self._now_s()))
        fresh.replace(path)
        self._writes += 1
        if self._writes % _SWEEP_EVERY == 1:
            self.sweep()

    def sweep(self) -> None:
        """Removes what is too old, and the oldest of what is too much. A lock goes with its answer, or when it is as
        old: whoever holds it then has long given up."""
        found: list[tuple[float, int, Path]] = []
        for path in self._directory.glob("*/*"):
            try:
                state = path.stat()
            except OSError:
                continue
            found.append((state.st_mtime, state.st_size, path))
        found.sort(reverse=True)
        total = 0
        for place, (time_s, size, path) in enumerate(found):
            total += size
            if self._now_s() - time_s >= LIFETIME_S or place >= 2 * ANSWERS_MAX or total > BYTES_MAX:
                path.unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._directory / name[:2] / name


def _give_back(looked: asyncio.Future[Kept | Turn | None]) -> None:
    if not looked.cancelled() and looked.exception() is None and isinstance(turn := looked.result(), Turn):
        turn.end()


def _same(first: bytes, asked: bytes) -> None:
    if first != asked:
        raise Conflict("This idempotency-key was used with another body. Use a new one for a new call.")
