"""The words that the simulator's parts share: a request read (Ask), an answer planned (Answer), an error (Refusal)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

Json = dict[str, Any]

# A step of a stream: the bytes of one SSE event (or none) and what was generated for it.
FRAME, TOKEN, REASONING = 0, 1, 2
Step = tuple[bytes, int]


class Refusal(Exception):
    """The request ends with an error in the provider's own shape; nothing was generated, so nothing is billed."""

    def __init__(
        self, status: int, code: str, message: str, param: str | None = None, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = headers


class Tokens(msgspec.Struct, gc=False):
    """Disjoint classes: tokens_in is uncached input, tokens_out is output without reasoning."""

    tokens_in: int = 0
    cache_read: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    tokens_out: int = 0
    reasoning: int = 0

    @property
    def input_total(self) -> int:
        return self.tokens_in + self.cache_read + self.cache_write + self.cache_write_1h

    @property
    def output_total(self) -> int:
        return self.tokens_out + self.reasoning

    def cut(self, tokens_out: int, reasoning: int) -> Tokens:
        """The same input with the output that was generated until the answer broke off."""
        return Tokens(self.tokens_in, self.cache_read, self.cache_write, self.cache_write_1h, tokens_out, reasoning)


class ToolSpec(msgspec.Struct, frozen=True):
    name: str
    schema: Json


class Ask(msgspec.Struct):
    """What a request wants, whichever protocol it came in.

    text: the last user message when it is the last one, else '' (so that a directive fires once per turn).
    forced_tool: a tool that the request insists on, '*' for any. json_schema: {} for any JSON object.
    """

    endpoint: str
    model: str
    tokens_in: int
    stream: bool = False
    text: str = ""
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    n: int = 1
    tools: tuple[ToolSpec, ...] = ()
    forced_tool: str = ""
    json_schema: Json | None = None
    include_usage: bool = False
    thinking_tokens: int = 0
    prefill: bool = False
    inputs: tuple[str, ...] = ()
    dimensions: int = 0
    base64: bool = False
    echo: Json = msgspec.field(default_factory=dict[str, Any])


class Part(msgspec.Struct):
    """A piece of an answer. kind: text, thinking or tool; tokens joined are its text or its JSON arguments."""

    kind: str
    tokens: list[str]
    id: str = ""
    name: str = ""

    @property
    def text(self) -> str:
        return "".join(self.tokens)


class Choice(msgspec.Struct):
    """finish: stop, length, tool or stop_sequence."""

    parts: list[Part]
    finish: str
    stop_sequence: str | None = None


class Answer(msgspec.Struct):
    """delay_ms/ttft_ms: scripted pace, or None for the provider's profile."""

    choices: list[Choice]
    usage: Tokens
    delay_ms: float | None = None
    ttft_ms: float | None = None


class Reply(msgspec.Struct):
    """All that a protocol's writer needs. reported: the usage it tells, which a fault may have falsified or removed."""

    id: str
    created_s: int
    ask: Ask
    answer: Answer
    reported: Tokens | None
    visible_reasoning: bool = False


class Face(msgspec.Struct, frozen=True):
    """One endpoint's wire form."""

    read: Callable[[Json], Ask]
    unary: Callable[[Reply], bytes]
    stream: Callable[[Reply], Iterator[Step]]
    error_body: Callable[[Refusal, str], bytes]
    error_event: Callable[[Refusal, str], bytes]


encode = msgspec.json.encode


def sse(data: bytes, event: str = "") -> bytes:
    if event:
        return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"
    return b"data: " + data + b"\n\n"


# --- reading JSON that may be of any shape ---


def bad(message: str, param: str | None = None) -> Refusal:
    return Refusal(400, "invalid_request", message, param)


def as_doc(value: Any) -> Json:
    return cast("Json", value) if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []


def need_list(doc: Json, key: str) -> list[Any]:
    value = as_list(doc.get(key))
    if not value:
        raise bad(f"'{key}' must be a non-empty array", key)
    return value


def need_model(doc: Json) -> str:
    value = doc.get("model")
    if not isinstance(value, str) or not value:
        raise bad("you must provide a model parameter", "model")
    return value


def opt_int(doc: Json, key: str, low: int = 1) -> int | None:
    value = doc.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise bad(f"'{key}' must be an integer of at least {low}", key)
    return value


def opt_bool(doc: Json, key: str) -> bool:
    value = doc.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise bad(f"'{key}' must be a boolean", key)
    return value


def stops(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(item for item in as_list(value) if isinstance(item, str) and item)


def text_of(content: Any) -> str:
    """The readable text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    found: list[str] = []
    for part in as_list(content):
        doc = as_doc(part)
        text = doc.get("text")
        if isinstance(text, str) and doc.get("type") in ("text", "input_text"):
            found.append(text)
    return "\n".join(found)
