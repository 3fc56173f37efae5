"""The state directory: where journal, store and secrets of one installation lie, readable by their owner only."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from signalbox.core.errors import ConfigError
from signalbox.core.ports import Store
from signalbox.core.secret import Secret

PEPPER_BYTES = 32
ADMIN_FACT = "admin-secret-sha256"


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
        self.owners = root / "owners"
        self.repeats = root / "repeats"
        try:
            root.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)
            self.journal.mkdir(exist_ok=True)
        except OSError as error:
            raise ConfigError(
                [
                    f"{root}: cannot be used as state directory ({error.strerror}). "
                    "Pass --state-dir with a directory this user may write."
                ]
            ) from None

    def pepper(self) -> bytes:
        """The key of every virtual key's HMAC, made at first use. Without this file all keys stop working."""
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
    stated = environ.get("SIGNALBOX_ADMIN_SECRET")
    path = environ.get("SIGNALBOX_ADMIN_SECRET_FILE")
    if stated is None and path:
        try:
            stated = Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise ConfigError([f"SIGNALBOX_ADMIN_SECRET_FILE: {path} cannot be read ({error.strerror})."]) from None
    if stated is not None:
        if len(stated) < 16:
            raise ConfigError(["SIGNALBOX_ADMIN_SECRET: too short. Use at least 16 characters."])
        return AdminSecret(hashlib.sha256(stated.encode()).digest(), None)
    made = secrets.token_urlsafe(24)
    digest = hashlib.sha256(made.encode()).digest()
    kept = store.settle_fact(ADMIN_FACT, digest)
    return AdminSecret(kept, Secret(made) if kept == digest else None)
