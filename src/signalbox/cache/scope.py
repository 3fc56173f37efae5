"""Who may get a kept answer: the scope of a call and its name in the cache, or why the call is none of its business.

Everything that could make another answer right is part of the name: who asks (as far as the workload shares), the
workload with its guards and deployments, the data class, the whole body apart from what no model reads, headers that
switch a provider's features, and what a caller lets tools do. There is no partial match.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from signalbox.cache import question
from signalbox.core.caching import Caching
from signalbox.core.call import Call
from signalbox.core.snapshot import ANSWERING

# Who is billed or to be found by whom: no model reads it. `model` is the workload or the deployment, which are named;
# so is what silence about `store` means.
UNREAD = frozenset(
    ("model", "user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention", "store")
)
# Beside `store`, what carries content further makes an answer depend on more than the call.
_HARMLESS = ("store",)
# A caller's own part of the scope, and what it lets a model do.
_SCOPE_HEADERS = frozenset((b"x-signalbox-cache-scope", b"x-signalbox-approve-tools"))
_CACHE_HEADERS = frozenset((b"cache-control", b"x-signalbox-cache"))
_FEATURES = (b"anthropic-", b"openai-beta")
_encode = msgspec.json.Encoder().encode


class Name(msgspec.Struct, frozen=True, gc=False):
    """key: under which the answer is found. seal: what it is encrypted with on the disk; nobody who has not the whole
    question can compute either. refresh: the caller wants a new answer, kept in place of the old one. scope: what the
    name was made from, besides the body."""

    key: bytes
    seal: bytes
    refresh: bool = False
    scope: tuple[bytes, ...] = ()


def name(call: Call, caching: Caching, secret: bytes) -> Name | str:
    """The name of a call whose labels are known, or why it is not looked up: a word for metrics."""
    envelope = call.envelope
    if call.api not in ANSWERING:
        return "api"
    if call.labels.level > caching.level_max:
        return "class"
    if envelope.n > 1:
        return "choices"
    if envelope.stateful or any(each not in _HARMLESS for each in envelope.onward):
        return "state"
    refresh = False
    features: list[bytes] = []
    for header, value in call.headers:
        if header in _CACHE_HEADERS:
            said = value.lower()
            if b"no-store" in said or said.strip() == b"off":
                return "caller"
            refresh = refresh or b"no-cache" in said or said.strip() == b"refresh"
        elif header in _SCOPE_HEADERS or header.startswith(_FEATURES):
            features += (header, value)
    parts = (*scope(call, caching), call.query, b"stored" if _stored(call) else b"", *features)
    try:
        digest = _digest(parts, call.doc, secret, b"cache exact")
    except (ValueError, TypeError):
        return "body"
    return Name(digest[:32], digest[32:], refresh, parts)


def _stored(call: Call) -> bool:
    """Whether the provider is to keep the answer: who asks for that goes on from it by its id."""
    said = call.doc.get("store")
    return call.api == "responses" if said is None else said is not False


def partition(call: Call, caching: Caching, name: Name, secret: bytes, encoder: str) -> tuple[bytes, str] | None:
    """The scope of a question's last words, and these words; None where they cannot be told from the rest. A data class
    that was found is part of it, and so is the encoder."""
    assert caching.semantic is not None
    found = question.parted(call.doc)
    if found is None or not 0 < len(found[1].strip()) <= caching.semantic.embed_chars_max:
        return None
    return _digest((*name.scope, encoder.encode()), found[0], secret, b"cache meaning"), found[1]


def _digest(parts: tuple[bytes, ...], doc: dict[str, Any], secret: bytes, person: bytes) -> bytes:
    asked = _encode({field: doc[field] for field in sorted(doc) if field not in UNREAD})
    hashed = blake2b(digest_size=64, key=secret, person=person)
    for part in parts:
        hashed.update(b"%d:" % len(part) + part)
    hashed.update(asked)
    return hashed.digest()


def scope(call: Call, caching: Caching) -> tuple[bytes, ...]:
    """Everything but the question itself. A pinned deployment is a scope of its own."""
    principal, labels = call.principal, call.labels
    texts = (
        call.api,
        principal.tenant,
        *_whom(call, caching),
        call.workload.name,
        caching.about,
        call.pinned.name if call.pinned is not None else "",
        f"{labels.level} {labels.tags}",
    )
    return tuple([text.encode("utf-8", "surrogatepass") for text in texts])


def _whom(call: Call, caching: Caching) -> tuple[str, ...]:
    """A key sees what it may see: where answers are shared more widely, what it may name still tells it apart."""
    principal = call.principal
    match caching.share:
        case "tenant":
            return ("tenant", *_rights(call))
        case "team":
            return ("team", principal.team, *_rights(call))
        case "key":
            return ("key", principal.key_id)
        case _:
            return ("user", principal.key_id, call.for_whom.user)


def _rights(call: Call) -> tuple[str, ...]:
    principal = call.principal
    models = "*" if principal.models is None else ",".join(sorted(principal.models))
    return (models, f"{principal.labels.level} {principal.labels.tags}")


def tags(call: Call, caching: Caching, deployment: str, model: str) -> tuple[str, ...]:
    """By which names an entry of this call can be invalidated."""
    principal = call.principal
    own = {f"tag:{tag}" for tag in (*caching.tags, *call.for_whom.tags)}
    places = (f"workload:{call.workload.name}", f"deployment:{deployment}", f"model:{model}")
    return (*places, f"tenant:{principal.tenant}", f"key:{principal.key_id}", *sorted(own))
