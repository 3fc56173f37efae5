"""What metering and completion need to know of chat completions answers that pass through, and nothing more."""

from __future__ import annotations

from typing import Any, cast

import msgspec

from signalbox.core.stream import Seen, SseEvent
from signalbox.wire.openai_chat_model import (
    BAD_JSON,
    NO_USAGE,
    Answer,
    Answered,
    Choice,
    decode_answer,
    decode_any,
    decode_odd,
    decode_whole,
    is_utf8,
)
from signalbox.wire.openai_usage import decode_usage, read_usage, usage_of
from signalbox.wire.tiers import tier_in, tier_of

# More choices than any call may ask for: beyond this an index is an attack on our memory.
CHOICES_MAX = 4096


class ChatObserver:
    """Watches one stream. n: how many choices the client asked for; the answer is finished when that many, and each
    that appeared, have their finish reason."""

    __slots__ = ("_done", "_finished", "_n", "_open")

    def __init__(self, n: int = 1) -> None:
        self._n = n
        self._open: set[int] = set()
        self._done: set[int] = set()
        self._finished = False

    def observe(self, event: SseEvent) -> Seen:
        data = event.data
        try:
            answer = decode_answer(data)
        except msgspec.ValidationError:
            # `[DONE]` starts like a JSON array, which is enough for the decoder to call it the wrong type.
            answer = _read_odd(data)
            if answer is None:
                return self.not_json(event)
        except BAD_JSON:
            return self.not_json(event)
        if not (data.isascii() or is_utf8(data)):
            return Seen(ok=False)
        return self.note(answer, event)

    def text(self, data: bytes) -> int:
        try:
            answer = decode_answer(data)
        except BAD_JSON:
            return 0
        choices = answer.choices
        if not choices or len(choices) > 1 or answer.usage != NO_USAGE or answer.object == "error":
            return 0
        choice = choices[0]
        delta = choice.delta
        if delta is None or choice.finish_reason or choice.text or choice.index not in self._open:
            return 0
        content = delta.content
        if (
            content.__class__ is not str
            or delta.refusal
            or delta.reasoning_content
            or delta.reasoning
            or delta.tool_calls
            or delta.function_call is not None
            or delta.audio is not None
            or answer.error is not None
            or answer.x_groq is not None
            or not (data.isascii() or is_utf8(data))
        ):
            return 0
        return len(cast(str, content))

    def note(self, answer: Answer, event: SseEvent) -> Seen:
        """Takes note of an event that is already decoded."""
        seen = Seen(model=answer.model)
        choices = answer.choices
        if choices:
            for choice in choices:
                if not self._choice(choice, seen):
                    return Seen(ok=False)
        if answer.usage != NO_USAGE:
            seen.usage = decode_usage(answer.usage, tier_in(event.data))
            seen.usage_only = not choices
        if answer.error is not None or event.event == "error" or answer.object == "error":
            seen.error = read_error(answer.error if answer.error is not None else decode_any(event.data))
        if answer.x_groq is not None:
            _see_groq(answer.x_groq, seen)
        seen.finished = self._finished
        return seen

    def _choice(self, choice: Choice, seen: Seen) -> bool:
        """Takes note of one choice; False when its index is absurd."""
        delta = choice.delta
        if delta is not None:
            _see_content(delta, seen)
        if choice.text:
            seen.content = True
            seen.content_chars += len(choice.text)
        index = choice.index
        if choice.finish_reason:
            if choice.finish_reason == "error":
                seen.error = ("upstream_error", "the upstream ended its answer with an error")
            if not 0 <= index < CHOICES_MAX:
                return False
            self._open.discard(index)
            self._done.add(index)
            self._finished = not self._open and len(self._done) >= self._n
        elif index not in self._open and index not in self._done:
            if not 0 <= index < CHOICES_MAX:
                return False
            self._open.add(index)
            self._finished = False
        return True

    def not_json(self, event: SseEvent) -> Seen:
        """An event whose data is no JSON: the terminator, a comment, or an event that must not go on."""
        if event.data.strip() == b"[DONE]":
            return Seen(end=True, finished=self._finished)
        return Seen(ok=event.comment, finished=self._finished)


def see_answer(body: bytes) -> Seen:
    """A whole answer: usage and whether it is one at all."""
    return _see_plain_answer(body) or _see_any_answer(body)


def _see_plain_answer(body: bytes) -> Seen | None:
    """The usual answer, one choice with a message, in a third of the time; None for every other one."""
    try:
        answer = decode_whole(body)
    except BAD_JSON:
        return None
    choices = answer.choices
    if len(choices) != 1 or answer.error is not None or not (body.isascii() or is_utf8(body)):
        return None
    message, usage, tier = choices[0].message, answer.usage, answer.service_tier
    if message is None:
        return None
    told = usage_of(usage, tier_of(tier) if tier is not None else "") if usage is not None else None
    if usage is not None and told is None:
        return None
    if (
        message.content.__class__ is str
        and not (message.tool_calls or message.reasoning_content or message.reasoning or message.refusal)
        and message.function_call is None
        and message.audio is None
    ):
        chars = len(message.content or "")
        return Seen(True, chars > 0, chars, bool(choices[0].finish_reason), True, told, False, None, answer.model)
    seen = Seen(True, False, 0, bool(choices[0].finish_reason), True, told, False, None, answer.model)
    _see_content(message, seen)
    return seen


def _see_any_answer(body: bytes) -> Seen:
    try:
        answer = decode_answer(body)
    except msgspec.ValidationError:
        answer = _read_odd(body)
    except BAD_JSON:
        return Seen(ok=False)
    if answer is None or not (body.isascii() or is_utf8(body)):
        return Seen(ok=False)
    seen = Seen(model=answer.model)
    if answer.error is not None or not answer.choices:
        if answer.error is not None or answer.object == "error":
            seen.error = read_error(answer.error if answer.error is not None else decode_any(body))
        seen.ok = False
        return seen
    seen.finished = True
    for choice in answer.choices:
        if choice.message is not None:
            _see_content(choice.message, seen)
        elif choice.text:
            seen.content = True
            seen.content_chars += len(choice.text)
        if not choice.finish_reason:
            seen.finished = False
    seen.end = True
    seen.usage = decode_usage(answer.usage, tier_in(body))
    return seen


def read_error(error: object) -> tuple[str, str]:
    """(type, message) of an error however a server writes it: an object, a string, or an object in an object."""
    if isinstance(error, dict):
        inner = cast(dict[str, Any], error).get("error")
        if isinstance(inner, (dict, str)):
            error = cast(object, inner)
    if isinstance(error, str):
        return "error", error[:2000]
    if not isinstance(error, dict):
        return "error", ""
    fields = cast(dict[str, Any], error)
    kind = fields.get("type") or fields.get("code")
    message = fields.get("message")
    return (
        str(kind)[:200] if isinstance(kind, (str, int)) and kind else "error",
        message[:2000] if isinstance(message, str) else "",
    )


def _see_content(message: Answered, seen: Seen) -> None:
    chars = 0
    content = message.content
    if content:
        chars = len(content) if isinstance(content, str) else _chars(content)
    if message.refusal:
        chars += len(message.refusal)
    if message.reasoning_content:
        chars += len(message.reasoning_content)
    elif message.reasoning:  # some servers send both, with the same text
        chars += len(message.reasoning)
    if message.tool_calls:
        seen.content = True
        for call in message.tool_calls:
            if call.function is not None:
                chars += len(call.function.name or "") + len(call.function.arguments or "")
            if call.custom is not None:
                chars += len(call.custom.input or "")
    if message.function_call is not None:
        seen.content = True
        chars += len(message.function_call.name or "") + len(message.function_call.arguments or "")
    if message.audio is not None:
        seen.content = True
        chars += _chars(message.audio.get("transcript"))
    if chars:
        seen.content = True
        seen.content_chars += chars


def _see_groq(told: object, seen: Seen) -> None:
    if not isinstance(told, dict):
        return
    fields = cast(dict[str, Any], told)
    if seen.usage is None:
        seen.usage = read_usage(fields.get("usage"))
    if seen.error is None and fields.get("error"):
        seen.error = read_error(fields["error"])


def _read_odd(data: bytes) -> Answer | None:
    """An answer with a field of another type than every known server gives it: read piece by piece, so that a new
    spelling of one field neither hides the others nor breaks the stream. None for what is not a JSON object."""
    try:
        odd = decode_odd(data)
    except BAD_JSON:
        return None
    choices, model = odd.choices, odd.model
    return Answer(
        choices=[_odd_choice(choice) for choice in cast(list[Any], choices)] if isinstance(choices, list) else None,
        usage=odd.usage,
        model=model if isinstance(model, str) else None,
        error=odd.error,
        x_groq=odd.x_groq,
        object=odd.object,
    )


def _odd_choice(value: object) -> Choice:
    fields = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    index: Any = fields.get("index")
    reason: Any = fields.get("finish_reason")
    text: Any = fields.get("text")
    return Choice(
        index=index if isinstance(index, int) else 0,
        delta=_odd_message(fields.get("delta")),
        message=_odd_message(fields.get("message")),
        text=text if isinstance(text, str) else None,
        finish_reason=reason if isinstance(reason, str) else None,
    )


def _odd_message(value: object) -> Answered | None:
    """Everything but the role counts as content: too much rather than too little."""
    if not isinstance(value, dict):
        return None
    fields = cast(dict[str, Any], value)
    return Answered(content=[inner for name, inner in fields.items() if name != "role" and inner])


def _chars(value: object) -> int:
    """Characters of all strings in a value, ids among them, which do no harm to a count of output."""
    chars = 0
    waiting: list[object] = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, str):
            chars += len(inner)
        elif isinstance(inner, list):
            waiting += cast(list[object], inner)
        elif isinstance(inner, dict):
            waiting += [member for name, member in cast(dict[str, object], inner).items() if name != "type"]
    return chars
