"""Whole answers of the Chat Completions API, to and from the hub."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from signalbox.core.hub import Part, Refusal, Response, Text, Thinking, ToolCall
from signalbox.core.usage import Usage
from signalbox.wire.openai_chat_model import BAD_JSON, Answered, Called, Choice, decode_answer
from signalbox.wire.openai_usage import write_usage
from signalbox.wire.responses_items import unwrap_freeform

_FINISH = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop_sequence",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "refusal": "refusal",
}
_FINISH_REASON = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "stop_sequence": "stop",
    # A paused or failed answer is not whole; `length` is this API's only way to say so.
    "pause": "length",
    "error": "length",
}


def read_response(body: bytes) -> Response:
    """Raises ValueError when the body is no answer, or one with several choices."""
    try:
        answer = decode_answer(body)
    except BAD_JSON as error:
        raise ValueError("the answer is not of the API's shape") from error
    choices = answer.choices
    if answer.error is not None or not choices:
        raise ValueError("the answer has no choices")
    if len(choices) > 1:
        raise ValueError("the answer has more choices than were asked for")
    choice = choices[0]
    if choice.message is None:
        if choice.text is None:
            raise ValueError("the answer has no message")
        choice.message = Answered(content=choice.text)
    parts = _parts(choice.message, answer.id or "")
    finish, sequence = read_finish(
        choice,
        tools=any(isinstance(part, ToolCall) for part in parts),
        refused=any(isinstance(part, Refusal) for part in parts),
    )
    return Response(
        id=answer.id or "",
        model=answer.model or "",
        parts=tuple(parts),
        finish=finish,
        stop_sequence=sequence,
        created_s=read_created(answer.created),
    )


def read_finish(choice: Choice, *, tools: bool, refused: bool) -> tuple[str, str | None]:
    """The hub's finish reason and the stop sequence that was met, if told. Servers disagree on how an answer with
    tool calls or a refusal ends, so what it holds counts. A reason this version does not know is `error`: never a
    success that nobody vouched for."""
    reason = choice.finish_reason
    finish = _FINISH.get(reason, "error") if reason else "stop"
    if finish in ("stop", "tool_calls"):
        if tools:
            return "tool_calls", None
        if refused:
            return "refusal", None
        if isinstance(choice.stop_reason, str) and finish == "stop":
            return "stop_sequence", choice.stop_reason
        return "stop", None
    return finish, None


def read_created(value: object) -> int:
    """`created` in Unix seconds; servers write it as an integer or as a float."""
    return int(value) if isinstance(value, int | float) and 0 <= value < 1 << 40 else 0


def read_content(content: str | list[Any] | None) -> list[Text | Thinking]:
    """Content as most servers write it, a string, or as Mistral does when it thinks: an array of typed chunks."""
    if isinstance(content, str):
        return [Text(content)] if content else []
    found: list[Text | Thinking] = []
    for item in content or ():
        fields = cast(dict[str, Any], item) if isinstance(item, dict) else {}
        match fields.get("type"):
            case "text" if isinstance(fields.get("text"), str):
                found.append(Text(fields["text"]))
            case "thinking":
                found.append(Thinking(_thought(fields.get("thinking"))))
            case "reference":
                pass
            case _:
                raise ValueError("a part of the content is of an unknown type")
    return found


def _thought(value: object) -> str:
    """A thought as a string, or as an array of text chunks."""
    if isinstance(value, str):
        return value
    chunks = cast(list[Any], value) if isinstance(value, list) else []
    texts = [cast(dict[str, Any], chunk).get("text") for chunk in chunks if isinstance(chunk, dict)]
    return "".join(text for text in texts if isinstance(text, str))


def _parts(message: Answered, answer_id: str) -> list[Part]:
    if message.function_call is not None or message.audio is not None:
        raise ValueError("the answer holds what was not asked for")
    parts: list[Part] = []
    thought = message.reasoning_content or message.reasoning
    if thought:
        parts.append(Thinking(thought))
    parts += read_content(message.content)
    if message.refusal:
        parts.append(Refusal(message.refusal))
    for position, call in enumerate(message.tool_calls or ()):
        parts.append(_tool_call(call, answer_id, position))
    return parts


def _tool_call(call: Called, answer_id: str, position: int) -> ToolCall:
    function = call.function
    if function is None or not function.name:
        raise ValueError("a tool call has no name")
    return ToolCall(call.id or made_up_id(answer_id, position), function.name, function.arguments or "")


def made_up_id(answer_id: str, position: int) -> str:
    """The id of a tool call whose server gave it none."""
    return f"call_{answer_id.removeprefix('chatcmpl-')[-40:]}_{position}"


def write_response(response: Response, usage: Usage) -> bytes:
    """Thoughts go where most servers and clients look for them; what signs them has no place here."""
    if any(isinstance(part, Thinking) and part.redacted is not None for part in response.parts):
        response.dropped = ("thinking",)
    message = _message(response.parts, response.freeform)
    reason = finish_reason_of(response.finish, refused="refusal" in message and message["refusal"] is not None)
    answer: dict[str, Any] = {
        "id": answer_id(response.id),
        "object": "chat.completion",
        "created": response.created_s,
        "model": response.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": reason}],
        "usage": write_usage(usage),
    }
    return msgspec.json.encode(answer)


def answer_id(name: str) -> str:
    """An id of this API's form, whatever the upstream's looks like."""
    return name if name.startswith("chatcmpl-") else f"chatcmpl-{name}"


def finish_reason_of(finish: str, *, refused: bool) -> str:
    """A refusal told in words ends as any answer; one without words is a filtered answer."""
    if finish == "refusal":
        return "stop" if refused else "content_filter"
    return _FINISH_REASON.get(finish, "length")


def _message(parts: Sequence[Part], freeform: frozenset[str]) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    refusals: list[str] = []
    calls: list[dict[str, Any]] = []
    for part in parts:
        match part:
            case Text(text=said):
                texts.append(said)
            case Thinking(text=said):
                thoughts.append(said)
            case Refusal(text=said):
                refusals.append(said)
            case ToolCall():
                calls.append(write_call(part, freeform))
            case _:
                raise ValueError(f"an answer cannot hold a part of type {type(part).__name__}")
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts) if texts else None,
        "refusal": "".join(refusals) if refusals else None,
    }
    if any(thoughts):
        message["reasoning_content"] = "\n\n".join(thought for thought in thoughts if thought)
    if calls:
        message["tool_calls"] = calls
    return message


def write_call(call: ToolCall, freeform: frozenset[str]) -> dict[str, Any]:
    if call.name in freeform:
        custom = {"name": call.name, "input": unwrap_freeform(call.arguments)}
        return {"id": call.id, "type": "custom", "custom": custom}
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or "{}"}}
