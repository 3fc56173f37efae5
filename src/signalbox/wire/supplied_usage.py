"""The usage chunk that a client asked for and its provider did not send."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.usage import Usage
from signalbox.wire.openai_usage import usage_chunk

# A comment: clients pass it over, whoever looks for it is told whose figures these are.
COMMENT = b": signalbox: the provider told no usage; this one is estimated\n\n"
_KEPT = ("id", "object", "created", "model", "system_fingerprint")


def supplied(like: bytes, usage: Usage) -> bytes:
    """The chunk as OpenAI sends it before `[DONE]`, behind a comment. like: raw event of the same stream, whose
    identifiers go on."""
    try:
        doc: object = msgspec.json.decode(like.partition(b"data:")[2])
    except msgspec.DecodeError:
        doc = {}
    fields = cast("dict[str, Any]", doc) if isinstance(doc, dict) else {}
    identity = {name: fields[name] for name in _KEPT if name in fields}
    return COMMENT + usage_chunk(identity, usage)
