"""What a workload lets its answers be kept for, compiled."""

from __future__ import annotations

import msgspec

from signalbox.core.labels import INTERNAL
from signalbox.core.secret import Secret

# Who may be given an answer that somebody else asked for: nobody but the same end user, key, team or tenant.
SHARES = ("user", "key", "team", "tenant")


class Semantic(msgspec.Struct, frozen=True):
    """Answers for questions that mean the same. max_error: bound on the share of wrong ones among those that are given,
    at 95 % confidence. embedding: the deployment that turns texts into vectors, empty for the built-in encoder.
    audit_share: of would-be hits that are asked anyway, to know. embed_chars_max: longer questions are not looked up.
    judge: the deployment that says whether two answers agree, empty for none.
    """

    ttl_s: float
    max_error: float = 0.02
    embedding: str = ""
    audit_share: float = 0.05
    entries_max: int = 50_000
    embed_chars_max: int = 2000
    judge: str = ""


class Caching(msgspec.Struct, frozen=True):
    """exact_ttl_s: how long an answer serves the very same question, 0 for never. level_max: the highest level of
    content that is kept. tags: by which its entries may be invalidated besides the built-in ones. safe_tools: names of
    tools whose calls have no side effect, so that an answer calling them may be kept. time_dependent: whether questions
    about now are answered from it as well. single_flight: equal calls at the same time are asked once. about: a hash
    of what else of the configuration shapes its answers."""

    exact_ttl_s: float = 0.0
    share: str = "key"
    level_max: int = INTERNAL
    tags: tuple[str, ...] = ()
    safe_tools: frozenset[str] = frozenset()
    time_dependent: bool = False
    single_flight: bool = True
    semantic: Semantic | None = None
    about: str = ""


class SharedCache(msgspec.Struct, frozen=True):
    """Where the kept answers of many machines lie: a Valkey or Redis server. path: of its Unix socket, instead of host
    and port. ca_file: what its certificate must chain to, empty for what the system trusts. timeout_s: how long a call
    waits for it at most. bytes_max: of all entries of this installation there."""

    host: str = ""
    port: int = 6379
    path: str = ""
    tls: bool = False
    ca_file: str = ""
    user: str = ""
    password: Secret | None = None
    database: int = 0
    timeout_s: float = 0.02
    bytes_max: int = 1 << 30
