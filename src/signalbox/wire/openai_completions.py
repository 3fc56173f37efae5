"""The legacy Completions dialect: `POST /v1/completions`, passed through, or translated as one user message."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.call import Envelope
from signalbox.core.errors import BadRequest, CallError, Unsupported
from signalbox.core.hub import Message, Request, Response, Text, Thinking
from signalbox.core.stream import Seen
from signalbox.core.usage import Usage
from signalbox.wire import openai_errors
from signalbox.wire.dialect import Target
from signalbox.wire.fields import Fields, flag, integer, number, obj, text, wrong
from signalbox.wire.openai_chat_answer import finish_reason_of, read_response
from signalbox.wire.openai_chat_envelope import N_MAX, TOKENS_MAX
from signalbox.wire.openai_chat_read import read_stop
from signalbox.wire.openai_chat_stream import ChatReader
from signalbox.wire.openai_chat_watch import CHOICES_MAX, ChatObserver, see_answer
from signalbox.wire.openai_completions_stream import CompletionsWriter, completion_id
from signalbox.wire.openai_usage import unnamed, usage_chunk, write_usage
from signalbox.wire.responses_items import note

PROMPTS_MAX = 1024

_READ = frozenset(
    {"model", "prompt", "stream", "stream_options", "max_tokens", "temperature", "top_p", "top_k", "seed", "stop",
     "presence_penalty", "frequency_penalty", "user", "n", "best_of"}
)  # fmt: skip
_CONTRACT = ("suffix", "echo", "guided_json", "guided_regex", "guided_choice", "guided_grammar", "structured_outputs")


class CompletionsDialect:
    """See wire/dialect.py for the contract of every method."""

    api = "completions"
    path = "/v1/completions"

    def envelope(self, doc: dict[str, Any]) -> Envelope:
        """n counts every text that is generated: several prompts, choices of each, and candidates never shown."""
        prompts, opaque = _prompts(doc)
        options = obj(doc, "stream_options")
        choices = integer(doc, "n", 1, N_MAX) or 1
        stream = flag(doc, "stream") is True
        best_of = integer(doc, "best_of", 1, N_MAX) or 1
        if prompts * choices > CHOICES_MAX:
            raise BadRequest(f"'n' times the prompts must be at most {CHOICES_MAX}.", param="n")
        return Envelope(
            stream=stream,
            max_tokens=integer(doc, "max_tokens", 0, TOKENS_MAX),
            n=prompts * (choices if stream else max(choices, best_of)),
            include_usage=options is not None and flag(options, "include_usage", "stream_options.") is True,
            onward=("store",) if flag(doc, "store") else (),
            opaque=opaque,
            media=opaque,
        )

    def read_request(self, doc: dict[str, Any]) -> Request:
        return _read_request(doc)

    def write_request(self, request: Request, target: Target) -> bytes:
        """A conversation has no one form as a bare prompt: every model has its own template, known to its server."""
        raise Unsupported("A deployment that serves text completions only cannot take a conversation.")

    def read_response(self, body: bytes) -> Response:
        return read_response(body)

    def write_response(self, response: Response, usage: Usage) -> bytes:
        """Only text: thoughts have no place here, and tools cannot be asked for."""
        said = "".join(part.text for part in response.parts if isinstance(part, Text))
        if any(isinstance(part, Thinking) for part in response.parts):
            response.dropped = ("thinking",)
        answer: dict[str, Any] = {
            "id": completion_id(response.id),
            "object": "text_completion",
            "created": response.created_s,
            "model": response.model,
            "choices": [
                {
                    "index": 0,
                    "text": said,
                    "logprobs": None,
                    "finish_reason": finish_reason_of(response.finish, refused=False),
                }
            ],
            "usage": write_usage(usage),
        }
        return msgspec.json.encode(answer)

    def seen(self, body: bytes) -> Seen:
        return see_answer(body)

    def observer(self, n: int = 1) -> ChatObserver:
        return ChatObserver(n)

    def reader(self) -> ChatReader:
        return ChatReader()

    def writer(self, request: Request, response_id: str, created_s: int) -> CompletionsWriter:
        return CompletionsWriter(request, response_id, created_s)

    def supply_end(self, usage: Usage | None, include_usage: bool) -> bytes:
        """`[DONE]`, after the usage chunk if the client asked for it and was not told yet (`usage` is then given)."""
        if usage is None or not include_usage:
            return openai_errors.DONE
        return usage_chunk(unnamed("text_completion"), usage) + openai_errors.DONE

    def error_body(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_body(error)

    def error_event(self, error: CallError, request_id: str) -> bytes:
        return openai_errors.error_event(error)

    def heartbeat(self) -> bytes:
        return openai_errors.KEEPALIVE


def _prompts(doc: Fields) -> tuple[int, bool]:
    """How many prompts there are, and whether any is made of token ids, which no detector reads."""
    value = doc.get("prompt")
    if value is None or isinstance(value, str):
        return 1, doc.get("prompt_embeds") is not None
    if not isinstance(value, list) or not value:
        raise wrong("prompt", "a string or an array that is not empty")
    items = cast(list[object], value)
    if all(type(item) is int for item in items):
        return 1, True
    if len(items) > PROMPTS_MAX:
        raise wrong("prompt", f"at most {PROMPTS_MAX} prompts")
    if all(isinstance(item, str) for item in items):
        return len(items), False
    if all(isinstance(item, list) for item in items):
        return len(items), True
    raise wrong("prompt", "a string, an array of strings, of token ids, or of arrays of them")


def _read_request(doc: Fields) -> Request:
    for name in _CONTRACT:
        if doc.get(name):
            raise Unsupported(f"'{name}' is not available on the deployments this call may use.", param=name)
    for name in ("n", "best_of"):
        if (integer(doc, name, 1, N_MAX) or 1) > 1:
            raise Unsupported(f"'{name}' above 1 is not available on the deployments this call may use.", param=name)
    prompts, opaque = _prompts(doc)
    if prompts > 1 or opaque:
        raise Unsupported("Only one prompt, as text, can be carried to another protocol.", param="prompt")
    value = doc.get("prompt")
    prompt = cast(list[str], value)[0] if isinstance(value, list) else value
    if not prompt:
        raise BadRequest("'prompt' must not be empty.", param="prompt")
    dropped: list[str] = []
    for name, given in doc.items():
        if name not in _READ and name not in _CONTRACT and given is not None and given is not False:
            note(dropped, name if name.isidentifier() and name.isascii() and len(name) <= 64 else "other")
    options = obj(doc, "stream_options") or {}
    return Request(
        messages=(Message("user", (Text(prompt),)),),
        max_tokens=integer(doc, "max_tokens", 1, TOKENS_MAX),
        temperature=number(doc, "temperature", 0, 2),
        top_p=number(doc, "top_p", 0, 1),
        top_k=integer(doc, "top_k", -1, 1 << 31),
        seed=integer(doc, "seed", -(1 << 63), (1 << 63) - 1),
        presence_penalty=number(doc, "presence_penalty", -2, 2),
        frequency_penalty=number(doc, "frequency_penalty", -2, 2),
        stop=read_stop(doc),
        user=text(doc, "user"),
        stream=flag(doc, "stream") is True,
        include_usage=flag(options, "include_usage", "stream_options.") is True,
        dropped=dropped,
    )


COMPLETIONS = CompletionsDialect()
