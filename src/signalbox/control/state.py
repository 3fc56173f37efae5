"""The state directory: where journal, store and secrets of one installation lie, readable by their owner only."""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.core.secret import Secret

PEPPER_BYTES = 32
ADMIN_FACT = "admin-secret-sha256"
PEPPER_FACT = "pepper-check"


JOURNAL = "journal"
CHECKPOINTS = "checkpoints"
CACHE = "cache.db"


class StateDir:
    """Paths under one root. Creating it twice is fine; a root that cannot be written is a ConfigError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / JOURNAL
        self.checkpoints = root / CHECKPOINTS
        self.database = root / "signalbox.db"
        self.idempotency = root / "idempotency"
        self.conversations = root / "conversations"
        self.pseudonyms = root / "pseudonyms"
        self.cache = root / CACHE
        self.labels = root / "labels.db"
        self.owners = root / "owners"
        self.repeats = root / "repeats"
        self.content = root / "content"
        self.key_sets = root / "key-sets.json"
        self.doorbell = root / "doorbell"
        self._held_fd = -1
        try:
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)
            self.journal.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                [
                    f"{root}: cannot be used as state directory ({error.strerror}). "
                    "Pass --state-dir with a directory this user may write."
                ]
            ) from None

    def hold(self) -> None:
        """Keeps every other installation out for as long as this process lives. Raises ConfigError when one is in: two
        would answer each other's door, and keys that are revoked at one would live on at the other for a while."""
        fd = os.open(self.root / "serving", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            raise ConfigError(
                [
                    f"{self.root}: another gateway{f' (process {holder})' if holder.isdigit() else ''} serves from "
                    "this state directory. Stop it, or pass --state-dir with a directory of this one's own; several "
                    "may share one PostgreSQL store."
                ]
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        self._held_fd = fd

    def pepper(self) -> bytes:
        """The key of every virtual key's HMAC: what SIGNALBOX_PEPPER or SIGNALBOX_PEPPER_FILE say, which several
        installations over one store share, else a file made at first use. Without it all keys stop working."""
        stated = _stated(os.environ, "SIGNALBOX_PEPPER")
        if stated is not None:
            if len(stated) < PEPPER_BYTES:
                raise ConfigError([f"SIGNALBOX_PEPPER: too short. Use at least {PEPPER_BYTES} random characters."])
            return hashlib.sha256(b"signalbox pepper\0" + stated.encode()).digest()
        path = self.root / "pepper"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pepper = path.read_bytes()
            if len(pepper) != PEPPER_BYTES:
                raise ConfigError([f"{path}: must hold {PEPPER_BYTES} bytes. Restore it from a backup."]) from None
            return pepper
        pepper = secrets.token_bytes(PEPPER_BYTES)
        with os.fdopen(fd, "wb") as file:
            file.write(pepper)
            file.flush()
            os.fsync(file.fileno())
        return pepper


class AdminSecret:
    """Checks the admin secret without holding it. made: the secret itself when this start generated it, to be shown
    once."""

    def __init__(self, digest: bytes, made: Secret | None) -> None:
        self._digest = digest
        self.made = made

    def matches(self, candidate: str) -> bool:
        return hmac.compare_digest(hashlib.sha256(candidate.encode()).digest(), self._digest)


def admin_secret(store: Store, environ: dict[str, str]) -> AdminSecret:
    """From SIGNALBOX_ADMIN_SECRET or SIGNALBOX_ADMIN_SECRET_FILE, else generated at first start and kept as a hash."""
    stated = stated_admin_secret(environ)
    if stated is not None:
        return AdminSecret(hashlib.sha256(stated.encode()).digest(), None)
    made = secrets.token_urlsafe(24)
    digest = hashlib.sha256(made.encode()).digest()
    kept = store.settle_fact(ADMIN_FACT, digest)
    return AdminSecret(kept, Secret(made) if kept == digest else None)


def stated_admin_secret(environ: dict[str, str]) -> str | None:
    """None when it is left out. Raises ConfigError when it cannot be used."""
    stated = _stated(environ, "SIGNALBOX_ADMIN_SECRET")
    if stated is not None and len(stated) < 16:
        raise ConfigError(["SIGNALBOX_ADMIN_SECRET: too short. Use at least 16 characters."])
    return stated


def confirm_pepper(store: Store, pepper: bytes) -> None:
    """Raises ConfigError when the keys in this store were made under another pepper: none of them would work here, and
    none made here anywhere else."""
    check = hmac.new(pepper, b"signalbox pepper check", hashlib.sha256).digest()
    if not hmac.compare_digest(store.settle_fact(PEPPER_FACT, check), check):
        raise ConfigError(
            [
                "pepper: the keys in this store were made under another one. Several installations over one store need "
                "the same SIGNALBOX_PEPPER_FILE; otherwise restore `pepper` in the state directory from a backup."
            ]
        )


def _stated(environ: Mapping[str, str], name: str) -> str | None:
    """A secret from a variable, or from the file that its `_FILE` names. Raises ConfigError."""
    path = environ.get(f"{name}_FILE")
    if name in environ or not path:
        return environ.get(name)
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError([f"{name}_FILE: {path} cannot be read ({why})."]) from None
