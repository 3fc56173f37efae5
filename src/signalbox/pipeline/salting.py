"""A secret word for each tenant that engines mix into their prompt cache, so that nobody can tell by time what another
tenant has asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

from signalbox.core.call import Call
from signalbox.core.snapshot import Deployment
from signalbox.wire.body import Edit

FIELD = "cache_salt"
# Where engines take it (vLLM, https://docs.vllm.ai, "cache isolation").
APIS = frozenset(("chat", "completions", "responses"))
Salt = Callable[[str, str], str]


def salt_from(pepper: bytes) -> Salt:
    """Salts of one installation, the same in all its processes."""
    return partial(_salt, hashlib.blake2b(pepper, digest_size=32, person=b"prompt caches").digest())


def _salt(key: bytes, tenant: str, own: str) -> str:
    """own: what the client asks for itself, which then holds within its tenant."""
    parts = f"{len(tenant)} {tenant} {own}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(parts, digest_size=16, key=key).hexdigest()


def salted(call: Call, deployment: Deployment, api: str, salt: Salt) -> list[Edit]:
    """The edit that a body for this deployment needs; none where its engine takes no salt."""
    if not deployment.cache_salt or api not in APIS:
        return []
    own: object = call.doc.get(FIELD)
    return [Edit(FIELD, salt(call.principal.tenant, own if isinstance(own, str) else ""))]
