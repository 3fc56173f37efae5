"""What was asked and answered, as it is kept where a workload wants it: sealed, under the keys of whom it is about."""

from __future__ import annotations

import hashlib
import hmac

import msgspec


class Content(msgspec.Struct, frozen=True):
    """One call's content as stored. subjects: whom it is about, by names that say nothing without the installation's
    secret. sealed: encrypted under a key of its own; hash: of it, as the ledger has it. wrapped: that key, encrypted
    under the key of each subject, the last one outermost: without any one of them it is lost."""

    call_id: str
    time_ms: int
    subjects: tuple[str, ...]
    hash: str
    wrapped: bytes
    sealed: bytes


class Said(msgspec.Struct, frozen=True):
    """The content itself. request: as the client sent it; answer: as it was told, a body, server-sent events, or in
    JSON the events that a translation was made of. cut: not all of it is here."""

    request: bytes
    answer: bytes
    cut: bool


USER, SESSION, KEY = "user", "session", "key"


def subject_of(secret: bytes, tenant: str, kind: str, name: str) -> str:
    """The name under which somebody's key is kept. kind: USER, SESSION or KEY."""
    told = b"\0".join((b"signalbox subject", tenant.encode(), kind.encode(), name.encode("utf-8", "surrogatepass")))
    return hmac.digest(secret, told, hashlib.sha256).hex()[:40]
