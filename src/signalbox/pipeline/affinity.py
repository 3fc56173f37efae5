"""What makes two calls belong together: the same conversation, or the same beginning of a prompt."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, cast

import msgspec

from signalbox.core.call import Call
from signalbox.policy.sticky import named
from signalbox.routing.prefixes import BLOCK_BYTES, blocks_of

# So much of each part of a beginning is looked at: enough to tell prompts apart, and the same work for all of them.
PART_CHARS = 512
OPENING_BYTES_MAX = 1024
_PROMPTS = frozenset(("chat", "responses", "messages", "completions"))
_encode = msgspec.json.Encoder().encode
_RESPONSE_ID = re.compile(rb'"id"\s*:\s*"(resp_[A-Za-z0-9_-]{1,128})"')


def conversation_key(call: Call) -> int:
    """A number above 0, the same for calls of one conversation and for calls whose prompts begin alike, in every
    process; calls of two tenants never share one. By what headers name, else by the beginning of the prompt."""
    found = blake2b(call.principal.tenant.encode(), digest_size=8)
    if call.sessions:
        found.update(call.sessions[0].encode())
    else:
        doc = call.doc
        for part in (doc.get("system"), doc.get("instructions"), *_first(doc.get("messages") or doc.get("input"))):
            found.update(b"\0")
            found.update(_beginning(part))
        found.update(_beginning(doc.get("prompt")))
    return int.from_bytes(found.digest(), "big") | 1


def conversation_scope(call: Call) -> bytes:
    """What identifies a conversation of one caller, however long it has become: what names it, else its system prompt
    and the first message of its user, by their texts alone. Two keys never share one."""
    principal = call.principal
    names = named(call)
    parts = [principal.tenant, principal.key_id, *(("name", names[0]) if names else ("text", *_origin(call.doc)))]
    # Lengths first, so that no two lists of parts are one text.
    whole = f"{','.join(map(str, map(len, parts)))};{''.join(parts)}"
    return blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=32).digest()


def _origin(doc: dict[str, Any]) -> list[str]:
    texts: list[str] = []
    for key in ("system", "instructions", "prompt"):
        if key in doc:
            _texts(doc[key], texts)
    turns: object = doc.get("messages") or doc.get("input")
    if not isinstance(turns, list):
        _texts(turns, texts)
        return texts
    for turn in cast("list[Any]", turns):
        if turn.__class__ is not dict:
            _texts(turn, texts)
            continue
        said = turn.get("content")
        if said.__class__ is str and said:
            texts.append(said)
        else:
            _texts(turn, texts)
        if turn.get("role") == "user":
            break
    return texts


def _texts(part: object, texts: list[str]) -> None:
    """What is said in a part of a body; marks that clients move about from turn to turn are no part of it."""
    if isinstance(part, str):
        texts.append(part)
    elif isinstance(part, list):
        for inner in cast("list[object]", part):
            _texts(inner, texts)
    elif isinstance(part, dict):
        fields = cast("dict[str, Any]", part)
        _texts(fields.get("content") or fields.get("text"), texts)


def prompt_blocks(call: Call) -> list[int]:
    """The blocks of a call's prompt in the order in which models read it: tools, instructions, turns. Empty for what
    has no beginning worth keeping, and for a prompt shorter than a block."""
    if call.api not in _PROMPTS or len(call.body) < BLOCK_BYTES:
        return []
    doc = call.doc
    told = [doc[name] for name in ("tools", "system", "instructions", "messages", "input", "prompt") if name in doc]
    return blocks_of(_encode(told), hash((call.principal.tenant, call.model)))


def response_id(opening: bytes) -> str:
    """The id by which a later call may name this answer, from the first bytes of it or of its stream; empty when there
    is none within reach."""
    found = _RESPONSE_ID.search(opening, 0, OPENING_BYTES_MAX)
    return found.group(1).decode("ascii") if found is not None else ""


def _first(messages: object) -> list[object]:
    """The first turns: instructions, and what the conversation began with."""
    if isinstance(messages, list):
        return cast("list[object]", messages)[:2]
    return [messages]


def _beginning(part: object) -> bytes:
    """The first characters of a text, of a message, or of the first text in a list of parts."""
    for _ in range(4):
        if isinstance(part, str):
            return part[:PART_CHARS].encode("utf-8", "replace")
        if isinstance(part, dict):
            fields = cast("dict[str, Any]", part)
            part = fields.get("content") or fields.get("text")
        elif isinstance(part, list) and part:
            part = cast("list[object]", part)[0]
        else:
            return b""
    return b""
