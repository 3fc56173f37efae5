"""The Embeddings dialect: `POST /v1/embeddings`, which passes through and is never translated."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.stream import Seen
from signalbox.wire.fields import wrong
from signalbox.wire.openai_chat_model import BAD_JSON, NO_USAGE, is_utf8
from signalbox.wire.openai_chat_watch import read_error
from signalbox.wire.openai_usage import decode_usage
from signalbox.wire.pass_through import PassThrough

INPUTS_MAX = 1 << 16


class _Vectors(msgspec.Struct):
    """The vectors themselves stay undecoded."""

    data: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = NO_USAGE
    model: str | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Vectors).decode


class EmbeddingsDialect(PassThrough):
    """See wire/dialect.py for the contract of every method."""

    api = "embeddings"
    path = "/v1/embeddings"
    needs = "Embeddings need a deployment that serves the embeddings API and never stream."
    no_hub = "an embeddings answer has no hub form"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        """Token arrays are opaque: no detector reads them."""
        opaque = _is_opaque(doc.get("input"), "input")
        return Envelope(stream=False, opaque=opaque, media=opaque)

    def seen(self, body: bytes) -> Seen:
        try:
            answer = _decode(body)
        except BAD_JSON:
            return Seen(ok=False)
        if answer.error is not None or answer.data is None or not is_utf8(body):
            return Seen(ok=False, error=None if answer.error is None else read_error(answer.error))
        return Seen(content=True, finished=True, end=True, usage=decode_usage(answer.usage), model=answer.model)


def _is_opaque(value: object, where: str) -> bool:
    """Whether the input holds token ids or anything else that is not text. Raises BadRequest when it is missing."""
    if isinstance(value, str):
        return False
    if isinstance(value, dict):  # multimodal servers take objects
        return True
    if not isinstance(value, list) or not value:
        raise wrong(where, "a string or an array that is not empty")
    items = cast(list[object], value)
    if len(items) > INPUTS_MAX:
        raise wrong(where, f"an array of at most {INPUTS_MAX} items")
    return not all(isinstance(item, str) for item in items)


EMBEDDINGS = EmbeddingsDialect()
