"""The embeddings endpoint: hashed bags of words, so that similar texts get similar vectors."""

from __future__ import annotations

import array
import base64
import math
import sys
import zlib
from collections.abc import Iterator
from typing import Any

from signalbox.simulator import openai_errors, tokens
from signalbox.simulator.model import Ask, Face, Json, Reply, Step, as_list, bad, encode, need_model, opt_int

_INPUTS_MAX = 2_048
_DIMENSIONS_MAX = 8_192


def read(doc: Json) -> Ask:
    given = doc.get("input")
    inputs = _inputs(given)
    if not inputs or len(inputs) > _INPUTS_MAX or any(not text for text in inputs):
        raise bad(f"'input' must be text or token ids, 1 to {_INPUTS_MAX} of them, none empty", "input")
    dimensions = opt_int(doc, "dimensions") or 0
    if dimensions > _DIMENSIONS_MAX:
        raise bad(f"'dimensions' must be at most {_DIMENSIONS_MAX}", "dimensions")
    return Ask(
        endpoint="embeddings",
        model=need_model(doc),
        tokens_in=sum(tokens.of_text(text) for text in inputs),
        inputs=inputs,
        dimensions=dimensions,
        base64=doc.get("encoding_format") == "base64",
        max_tokens=0,
    )


def _inputs(given: Any) -> tuple[str, ...]:
    """Token ids are read as words of their numbers."""
    if isinstance(given, str):
        return (given,)
    items = as_list(given)
    if items and all(isinstance(item, int) for item in items):
        return (" ".join(map(str, items)),)
    found: list[str] = []
    for item in items:
        if isinstance(item, str):
            found.append(item)
        else:
            found.append(" ".join(map(str, as_list(item))))
    return tuple(found)


def vector(text: str, dimensions: int) -> list[float]:
    """Unit length."""
    values = [0.0] * dimensions
    for word in text.lower().split() or [text]:
        hashed = zlib.crc32(word.encode("utf-8", "replace"))
        values[hashed % dimensions] += 1.0 if hashed & 0x8000_0000 else -1.0
    norm = math.sqrt(sum(value * value for value in values))
    if not norm:
        values[0] = norm = 1.0
    return [value / norm for value in values]


def unary(reply: Reply) -> bytes:
    ask = reply.ask
    doc: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": _form(vector(text, max(1, ask.dimensions)), ask.base64),
            }
            for index, text in enumerate(ask.inputs)
        ],
        "model": ask.model,
    }
    if reply.reported is not None:
        doc["usage"] = {"prompt_tokens": reply.reported.input_total, "total_tokens": reply.reported.input_total}
    return encode(doc)


def _form(values: list[float], as_base64: bool) -> list[float] | str:
    if not as_base64:
        return values
    packed = array.array("f", values)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()


def stream(reply: Reply) -> Iterator[Step]:
    """Embeddings are never streamed."""
    return iter(())


EMBEDDINGS = Face(read, unary, stream, openai_errors.error_body, openai_errors.error_event)
