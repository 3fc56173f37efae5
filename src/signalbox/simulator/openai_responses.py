"""The responses endpoint as OpenAI speaks it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from signalbox.simulator import openai_errors, tokens
from signalbox.simulator.model import (
    FRAME,
    REASONING,
    TOKEN,
    Ask,
    Face,
    Json,
    Part,
    Refusal,
    Reply,
    Step,
    Tokens,
    ToolSpec,
    as_doc,
    as_list,
    bad,
    encode,
    need_model,
    opt_bool,
    opt_int,
    sse,
    text_of,
)

_REASONING_TOKENS = 16
_ECHOED = (
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
)
_DEFAULTS: Json = {
    "background": False,
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def read(doc: Json) -> Ask:
    if doc.get("prompt") is not None:
        raise bad("the simulator keeps no prompts; write it into 'instructions' and 'input'", "prompt")
    given = doc.get("input")
    if isinstance(given, str):
        items: list[Any] = [{"role": "user", "content": given}]
    else:
        items = as_list(given)
    if not items:
        raise bad("'input' must be a string or a non-empty array", "input")
    last = as_doc(items[-1])
    tools, forced = _tools(doc)
    counted = tokens.of_messages(items) + tokens.of_value(doc.get("instructions"))
    if tools:
        counted += tokens.of_value(doc["tools"])
    effort = as_doc(doc.get("reasoning")).get("effort")
    return Ask(
        endpoint="responses",
        model=need_model(doc),
        tokens_in=counted,
        stream=opt_bool(doc, "stream"),
        text=text_of(last.get("content")) if last.get("role") == "user" else "",
        max_tokens=opt_int(doc, "max_output_tokens"),
        tools=tools,
        forced_tool=forced,
        json_schema=_json_schema(doc),
        thinking_tokens=0 if effort in (None, "none") else _REASONING_TOKENS,
        prefill=last.get("role") == "assistant",
        echo={key: doc[key] for key in _ECHOED if doc.get(key) is not None},
    )


def _tools(doc: Json) -> tuple[tuple[ToolSpec, ...], str]:
    found: list[ToolSpec] = []
    for item in as_list(doc.get("tools")):
        tool = as_doc(item)
        name = tool.get("name")
        if tool.get("type") == "function":
            if not isinstance(name, str):
                raise bad("each function tool needs a name", "tools")
            found.append(ToolSpec(name, as_doc(tool.get("parameters"))))
    choice = doc.get("tool_choice")
    if choice == "none":
        return (), ""
    if choice == "required":
        return tuple(found), "*" if found else ""
    name = as_doc(choice).get("name")
    return tuple(found), name if isinstance(name, str) else ""


def _json_schema(doc: Json) -> Json | None:
    wanted = as_doc(as_doc(doc.get("text")).get("format"))
    if wanted.get("type") == "json_object":
        return {}
    return as_doc(wanted.get("schema")) if wanted.get("type") == "json_schema" else None


def _usage(usage: Tokens) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_total,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": usage.output_total,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input_total + usage.output_total,
    }


def _response(reply: Reply, status: str, output: list[Any]) -> dict[str, Any]:
    doc: dict[str, Any] = {
        "id": "resp_" + reply.id,
        "object": "response",
        "created_at": reply.created_s,
        "status": status,
        "model": reply.ask.model,
        "output": output,
        **_DEFAULTS,
        **reply.ask.echo,
        "usage": None,
    }
    if status in ("completed", "incomplete"):
        doc["usage"] = None if reply.reported is None else _usage(reply.reported)
        doc["completed_at"] = reply.created_s
    if status == "incomplete":
        doc["incomplete_details"] = {"reason": "max_output_tokens"}
    return doc


def _item(reply: Reply, index: int, part: Part, status: str) -> dict[str, Any]:
    """An output item: empty while in progress, whole afterwards."""
    done = status != "in_progress"
    if part.kind == "text":
        content = [_text_part(part.text)] if done else []
        identity = f"msg_{reply.id}{index:02d}"
        return {"id": identity, "type": "message", "status": status, "role": "assistant", "content": content}
    if part.kind == "tool":
        return {
            "id": f"fc_{reply.id}{index:02d}",
            "type": "function_call",
            "status": status,
            "call_id": "call_" + part.id,
            "name": part.name,
            "arguments": part.text if done else "",
        }
    summary = [{"type": "summary_text", "text": part.text}] if done else []
    sealed = base64.b64encode(b"sim-reasoning:" + part.text.encode()[:24]).decode()
    return {"id": f"rs_{reply.id}{index:02d}", "type": "reasoning", "summary": summary, "encrypted_content": sealed}


def _text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _status(reply: Reply) -> str:
    return "incomplete" if reply.answer.choices[0].finish == "length" else "completed"


def unary(reply: Reply) -> bytes:
    status = _status(reply)
    parts = reply.answer.choices[0].parts
    last = len(parts) - 1
    output = [_item(reply, index, part, status if index == last else "completed") for index, part in enumerate(parts)]
    return encode(_response(reply, status, output))


class _Events:
    """Numbers the events of one stream."""

    __slots__ = ("_number",)

    def __init__(self) -> None:
        self._number = 0

    def make(self, kind: str, fields: dict[str, Any]) -> bytes:
        data = encode({"type": kind, "sequence_number": self._number, **fields})
        self._number += 1
        return sse(data, kind)

    def delta(self, kind: bytes, middle: bytes, text: str) -> bytes:
        """The hot one, put together from bytes."""
        number = self._number
        self._number += 1
        return b'event: %b\ndata: {"type":"%b","sequence_number":%d,%b,"delta":%b}\n\n' % (
            kind,
            kind,
            number,
            middle,
            encode(text),
        )


def stream(reply: Reply) -> Iterator[Step]:
    events = _Events()
    status = _status(reply)
    parts = reply.answer.choices[0].parts
    yield events.make("response.created", {"response": _response(reply, "in_progress", [])}), FRAME
    yield events.make("response.in_progress", {"response": _response(reply, "in_progress", [])}), FRAME
    output: list[Any] = []
    for index, part in enumerate(parts):
        opened = _item(reply, index, part, "in_progress")
        yield events.make("response.output_item.added", {"output_index": index, "item": opened}), FRAME
        yield from _part(events, index, opened["id"], part)
        done = _item(reply, index, part, status if index == len(parts) - 1 else "completed")
        output.append(done)
        yield events.make("response.output_item.done", {"output_index": index, "item": done}), FRAME
    yield events.make("response." + status, {"response": _response(reply, status, output)}), FRAME


def _part(events: _Events, index: int, item_id: str, part: Part) -> Iterator[Step]:
    if part.kind == "text":
        yield from _text(events, {"item_id": item_id, "output_index": index, "content_index": 0}, part)
    elif part.kind == "tool":
        place: dict[str, Any] = {"item_id": item_id, "output_index": index}
        middle = encode(place)[1:-1]
        for token in part.tokens:
            yield events.delta(b"response.function_call_arguments.delta", middle, token), TOKEN
        yield events.make("response.function_call_arguments.done", place | {"arguments": part.text}), FRAME
    else:
        yield from _summary(events, {"item_id": item_id, "output_index": index, "summary_index": 0}, part)


def _text(events: _Events, place: dict[str, Any], part: Part) -> Iterator[Step]:
    yield events.make("response.content_part.added", place | {"part": _text_part("")}), FRAME
    middle = encode(place | {"logprobs": []})[1:-1]
    for token in part.tokens:
        yield events.delta(b"response.output_text.delta", middle, token), TOKEN
    yield events.make("response.output_text.done", place | {"text": part.text, "logprobs": []}), FRAME
    yield events.make("response.content_part.done", place | {"part": _text_part(part.text)}), FRAME


def _summary(events: _Events, place: dict[str, Any], part: Part) -> Iterator[Step]:
    empty = {"part": {"type": "summary_text", "text": ""}}
    whole = {"part": {"type": "summary_text", "text": part.text}}
    yield events.make("response.reasoning_summary_part.added", place | empty), FRAME
    middle = encode(place)[1:-1]
    for token in part.tokens:
        yield events.delta(b"response.reasoning_summary_text.delta", middle, token), REASONING
    yield events.make("response.reasoning_summary_text.done", place | {"text": part.text}), FRAME
    yield events.make("response.reasoning_summary_part.done", place | whole), FRAME


def error_event(refusal: Refusal, request_id: str) -> bytes:
    doc = {
        "type": "error",
        "sequence_number": 0,
        "code": refusal.code,
        "message": refusal.message,
        "param": refusal.param,
    }
    return sse(encode(doc), "error")


RESPONSES = Face(read, unary, stream, openai_errors.error_body, error_event)
