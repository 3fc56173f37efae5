"""The shapes of chat and text completions answers, whole or in chunks, as a typed decoder reads them."""

from __future__ import annotations

from typing import Any

import msgspec

from signalbox.wire.openai_usage import PlainUsage


class Function(msgspec.Struct, gc=False):
    name: str | None = None
    arguments: str | None = None


class Custom(msgspec.Struct, gc=False):
    input: str | None = None


class Called(msgspec.Struct, gc=False):
    """A tool call, or a piece of one: only the first piece is sure to have id and name."""

    index: int | None = None
    id: str | None = None
    function: Function | None = None
    custom: Custom | None = None


class Answered(msgspec.Struct, gc=False):
    """A delta of a stream or the message of a whole answer. Mistral writes content as a list when it thinks."""

    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[Called] | None = None
    function_call: Function | None = None
    audio: dict[str, Any] | None = None


class Choice(msgspec.Struct, gc=False):
    """stop_reason: vLLM's word for the stop sequence that was met, among other things."""

    index: int = 0
    delta: Answered | None = None
    message: Answered | None = None
    text: str | None = None
    finish_reason: str | None = None
    stop_reason: Any = None


# What a usage that is absent or null looks like in JSON text.
NO_USAGE = msgspec.Raw(b"null")


class Answer(msgspec.Struct, gc=False):
    """A chunk or a whole answer. usage stays undecoded: it is null in most chunks of a stream. Groq tells its usage,
    and why it stopped early, in x_groq."""

    id: str | None = None
    choices: list[Choice] | None = None
    usage: msgspec.Raw = NO_USAGE
    model: str | None = None
    error: Any = None
    x_groq: Any = None
    object: Any = None
    created: Any = None


class WholeAnswer(msgspec.Struct, gc=False):
    """A whole answer whose usage has the plain shape, read in one go."""

    choices: list[Choice]
    id: str | None = None
    usage: PlainUsage | None = None
    model: str | None = None
    error: Any = None
    x_groq: Any = None
    object: Any = None
    created: Any = None
    service_tier: Any = None


class OddAnswer(msgspec.Struct):
    """The same without a word on types, for servers that spell one of them in their own way."""

    id: Any = None
    choices: Any = None
    usage: msgspec.Raw = NO_USAGE
    model: Any = None
    error: Any = None
    x_groq: Any = None
    object: Any = None
    created: Any = None


decode_answer = msgspec.json.Decoder(Answer).decode
decode_whole = msgspec.json.Decoder(WholeAnswer).decode
decode_odd = msgspec.json.Decoder(OddAnswer).decode
decode_any = msgspec.json.Decoder().decode
BAD_JSON = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def is_utf8(data: bytes) -> bool:
    """The typed decoder skips over unknown fields without looking at their encoding; clients do not."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
