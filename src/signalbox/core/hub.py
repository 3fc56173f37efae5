"""The hub that every wire dialect maps to and from: one request, one response, one stream of events.

Used only when client and upstream speak different APIs; between equals the bytes pass through untouched.
Every type keeps what it means, not how one vendor spells it.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Text(msgspec.Struct, frozen=True, tag=True):
    text: str
    cache: bool = False


class Image(msgspec.Struct, frozen=True, tag=True):
    """Either url (http(s) reference) or data (base64) with media_type; detail is a hint (low, high, auto)."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None


class File(msgspec.Struct, frozen=True, tag=True):
    """A document: inline base64 data with media_type, a url, or plain text."""

    media_type: str | None = None
    data: str | None = None
    url: str | None = None
    text: str | None = None
    filename: str | None = None


class ToolCall(msgspec.Struct, frozen=True, tag=True):
    """arguments: JSON text exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


class ToolResult(msgspec.Struct, frozen=True, tag=True):
    id: str
    parts: tuple[Text | Image | File, ...]
    is_error: bool = False


class Thinking(msgspec.Struct, frozen=True, tag=True):
    """Visible reasoning. signature/redacted bind it to the provider that made it: foreign ones are dropped by rule.
    origin: the dialect family whose signature it is (`anthropic`, `openai`), None when nobody signed it."""

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None
    origin: str | None = None


class Refusal(msgspec.Struct, frozen=True, tag=True):
    text: str


Part = Text | Image | File | ToolCall | ToolResult | Thinking | Refusal


class Message(msgspec.Struct, frozen=True):
    """role: user or assistant. System text lives in Request.system; tool results are parts of a user message."""

    role: str
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(msgspec.Struct, frozen=True):
    """freeform: the client declared it as taking plain text; parameters then wrap that text as one string, `input`,
    and the client's dialect unwraps it again."""

    name: str
    description: str | None
    parameters: dict[str, Any]
    strict: bool | None = None
    freeform: bool = False


class ToolChoice(msgspec.Struct, frozen=True):
    """mode: auto, none, required (any tool) or named (exactly `name`)."""

    mode: str
    name: str | None = None


class OutputFormat(msgspec.Struct, frozen=True):
    """kind: json_object or json_schema."""

    kind: str
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    description: str | None = None


class Request(msgspec.Struct):
    """What a client asks for, in no dialect. None always means: the client did not say.

    dropped: names of parameters in the client's body that the hub cannot carry and that only tune the answer;
    the gateway reports them in `x-signalbox-dropped` (strict mode refuses). A contract parameter that cannot be
    carried is never put here: the reader or writer raises core.errors.Unsupported.

    expected_in: about how many input tokens it is, for a dialect that tells them before the answer; 0 where unasked.
    """

    messages: tuple[Message, ...]
    system: tuple[Text, ...] = ()
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    output_format: OutputFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    thinking_budget: int | None = None
    reasoning_effort: str | None = None
    verbosity: str | None = None
    user: str | None = None
    stream: bool = False
    include_usage: bool = False
    service_tier: str | None = None
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None
    dropped: list[str] = msgspec.field(default_factory=list)
    expected_in: int = 0


class Response(msgspec.Struct):
    """One finished answer. parts: Text, Thinking, ToolCall, Refusal in order. created_s: Unix seconds.
    finish: why generation stopped, in no dialect: stop, length, tool_calls, content_filter, stop_sequence, refusal,
    pause or error.
    freeform: names of the request's freeform tools, for dialects that write calls of those differently.
    dropped: what the dialect that wrote it for the client had no place for; that writer sets it."""

    id: str
    model: str
    parts: tuple[Part, ...]
    finish: str
    stop_sequence: str | None = None
    created_s: int = 0
    freeform: frozenset[str] = frozenset()
    dropped: tuple[str, ...] = ()


# --- stream events (cross-protocol streams only) ---


class Started(msgspec.Struct, frozen=True, tag=True, gc=False):
    """First event. model is the upstream's own name for it."""

    id: str
    model: str
    created_s: int = 0


class TextDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    """index numbers the parts of the answer from 0 in order of appearance, over text, thinking and tools alike."""

    index: int
    text: str


class RefusalDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    index: int
    text: str


class ThinkingDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    index: int
    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    origin: str | None = None


class ToolStarted(msgspec.Struct, frozen=True, tag=True, gc=False):
    index: int
    id: str
    name: str


class ToolDelta(msgspec.Struct, frozen=True, tag=True, gc=False):
    index: int
    arguments: str


class PartDone(msgspec.Struct, frozen=True, tag=True, gc=False):
    index: int


class Finished(msgspec.Struct, frozen=True, tag=True, gc=False):
    """The answer's content is over. Usage may still follow; the reader's `observe` tells it separately."""

    reason: str
    stop_sequence: str | None = None


Event = Started | TextDelta | RefusalDelta | ThinkingDelta | ToolStarted | ToolDelta | PartDone | Finished
