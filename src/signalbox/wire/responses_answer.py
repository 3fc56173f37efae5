"""Whole answers of the Responses API, to and from the hub, and the items that streams are made of too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from signalbox.core.hub import Part, Refusal, Request, Response, Text, Thinking, ToolCall
from signalbox.core.usage import Usage
from signalbox.wire.responses_items import reasoning_text, seal, unwrap_freeform, wrap_freeform
from signalbox.wire.responses_usage import write_usage

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_FINISH = {"max_output_tokens": "length", "content_filter": "content_filter", "steered": "pause"}
# Finish reasons of an answer that stopped before the model meant it to: its last item is not whole.
CUT = frozenset((*_INCOMPLETE, "error"))
_PREFIX = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}


def read_response(body: bytes) -> Response:
    """Raises ValueError when the body is no response object."""
    try:
        doc = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError("the response is not valid JSON") from error
    if not isinstance(doc, dict):
        raise ValueError("the response is not an object")
    fields = cast("dict[str, Any]", doc)
    output = fields.get("output")
    if not isinstance(output, list):
        raise ValueError("the response has no output")
    parts = [part for item in cast("list[Any]", output) for part in read_item(item)]
    return Response(
        id=_text(fields, "id"),
        model=_text(fields, "model"),
        parts=tuple(parts),
        finish=read_finish(fields, parts),
        created_s=read_created(fields.get("created_at")),
    )


def read_item(value: object) -> list[Part]:
    """The parts that one output item holds. Items of provider-side tools hold none: we never ask for those."""
    if not isinstance(value, dict):
        raise ValueError("an output item is not an object")
    item = cast("dict[str, Any]", value)
    match item.get("type"):
        case "message":
            content = item.get("content")
            entries = cast("list[Any]", content) if isinstance(content, list) else []
            return [part for entry in entries if (part := _content(entry)) is not None]
        case "reasoning":
            text = reasoning_text(item)
            return [Thinking(text=text)] if text else []
        case "function_call":
            return [ToolCall(_text(item, "call_id"), _text(item, "name"), _text(item, "arguments"))]
        case "custom_tool_call":
            return [ToolCall(_text(item, "call_id"), _text(item, "name"), wrap_freeform(_text(item, "input")))]
        case _:
            return []


def _content(value: object) -> Part | None:
    if not isinstance(value, dict):
        raise ValueError("a content part is not an object")
    entry = cast("dict[str, Any]", value)
    match entry.get("type"):
        case "output_text":
            return Text(_text(entry, "text"))
        case "refusal":
            return Refusal(_text(entry, "refusal"))
        case _:
            return None


def read_finish(fields: dict[str, Any], parts: Sequence[Part]) -> str:
    """Why generation stopped, from `status` and `incomplete_details` of a response object."""
    status = fields.get("status")
    if status in ("failed", "cancelled"):
        return "error"
    if status == "incomplete":
        details = fields.get("incomplete_details")
        reason = cast("dict[str, Any]", details).get("reason") if isinstance(details, dict) else None
        # Every reason that this version does not know is some limit that cut the answer.
        return _FINISH.get(reason, "length") if isinstance(reason, str) else "length"
    if any(isinstance(part, ToolCall) for part in parts):
        return "tool_calls"
    if any(isinstance(part, Refusal) for part in parts):
        return "refusal"
    return "stop"


def read_created(value: object) -> int:
    """`created_at` in Unix seconds; servers write it as an integer or as a float."""
    return int(value) if isinstance(value, int | float) else 0


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise ValueError(f"'{name}' is not a string")
    return value


def write_response(response: Response, usage: Usage) -> bytes:
    finish = finish_here(response.finish, refused=any(isinstance(part, Refusal) for part in response.parts))
    last = len(response.parts) - 1 if finish in CUT else -1
    items = [
        write_item(
            part,
            item_id(item_type(part, response.freeform), response.id, index),
            response.freeform,
            status="incomplete" if index == last else "completed",
        )
        for index, part in enumerate(response.parts)
    ]
    shell = response_object(response.id, response.model, response.created_s)
    return msgspec.json.encode(ended(shell, finish, items, usage))


def finish_here(finish: str, *, refused: bool) -> str:
    """The finish reason as this API can tell it. A refusal without words of its own is a filtered answer, and one
    that paused is not whole either: neither ever passes for a completed answer."""
    if finish == "refusal" and not refused:
        return "content_filter"
    return "length" if finish == "pause" else finish


def response_id(name: str) -> str:
    """An id of this API's form, whatever the upstream's looks like."""
    return name if name.startswith("resp_") else f"resp_{name}"


def item_id(kind: str, response_name: str, index: int) -> str:
    """Ids of items carry the prefix of their kind: clients send them back, and the API checks the prefix."""
    return f"{_PREFIX[kind]}_{response_name.removeprefix('resp_')}_{index}"


def item_type(part: Part, freeform: frozenset[str]) -> str:
    if isinstance(part, ToolCall):
        return "custom_tool_call" if part.name in freeform else "function_call"
    return "reasoning" if isinstance(part, Thinking) else "message"


def response_object(name: str, model: str, created_s: int, request: Request | None = None) -> dict[str, Any]:
    """A response with every field that the API always sends, still in progress. Tools and instructions are not
    repeated: the client knows them, and in agents they are most of the body."""
    return {
        "id": response_id(name),
        "object": "response",
        "created_at": created_s,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": request.max_tokens if request is not None else None,
        "model": model,
        "output": [],
        "parallel_tool_calls": request is None or request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "store": False,
        "temperature": request.temperature if request is not None else None,
        "tool_choice": "auto",
        "tools": [],
        "top_p": request.top_p if request is not None else None,
        "usage": None,
        "metadata": {},
    }


def ended(shell: dict[str, Any], finish: str, items: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
    """The response object at its end, in the status that the finish reason stands for."""
    done = {**shell, "output": items, "usage": write_usage(usage), "status": "completed"}
    if finish in _INCOMPLETE:
        done["status"] = "incomplete"
        done["incomplete_details"] = {"reason": _INCOMPLETE[finish]}
    elif finish == "error":
        done["status"] = "failed"
        done["error"] = {"code": "server_error", "message": "The model failed before its answer was complete."}
    return done


def write_item(part: Part, name: str, freeform: frozenset[str], *, status: str) -> dict[str, Any]:
    """One output item at its end. status: `completed`, or `incomplete` for one that was cut."""
    match part:
        case Text(text=text):
            return message_item(name, status, [text_part(text)])
        case Refusal(text=text):
            return message_item(name, status, [refusal_part(text)])
        case ToolCall():
            whole = ToolCall(part.id, part.name, arguments_of(part.arguments, status))
            return call_item(name, status, whole, freeform)
        case Thinking():
            return reasoning_item(name, part, cut=status == "incomplete")
        case _:
            raise ValueError(f"an answer cannot hold a part of type {type(part).__name__}")


def arguments_of(told: str, status: str) -> str:
    """A whole call's arguments are JSON: none at all are an empty object."""
    return "{}" if not told and status == "completed" else told


def text_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def refusal_part(text: str) -> dict[str, Any]:
    return {"type": "refusal", "refusal": text}


def message_item(name: str, status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}


def reasoning_item(name: str, thinking: Thinking, *, cut: bool = False) -> dict[str, Any]:
    """A thought under way or done. The API leaves out the status of whole ones; a cut one says so."""
    summary = [{"type": "summary_text", "text": thinking.text}] if thinking.text else []
    item: dict[str, Any] = {"id": name, "type": "reasoning", "summary": summary}
    sealed = seal(thinking)
    if sealed is not None:
        item["encrypted_content"] = sealed
    if cut:
        item["status"] = "incomplete"
    return item


def call_item(name: str, status: str, call: ToolCall, freeform: frozenset[str]) -> dict[str, Any]:
    """A tool call under way (no arguments yet) or done, in the form in which the client declared the tool."""
    item: dict[str, Any] = {"id": name, "type": "function_call", "status": status, "call_id": call.id}
    item["name"] = call.name
    if call.name in freeform:
        item["type"] = "custom_tool_call"
        item["input"] = unwrap_freeform(call.arguments) if call.arguments else ""
    else:
        item["arguments"] = call.arguments
    return item
