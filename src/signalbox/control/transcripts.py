"""What a client received, read without the gateway's own readers: which answer it shows, and how it ended.

Used to judge faults from the outside, so it shares no code with `wire`.
"""

from __future__ import annotations

import json
from typing import Any, Literal, cast

import msgspec

# How an answer ended for its client. whole: complete, and said so. status: an error status with an error body. cut:
# begun, then ended by the protocol's own error event. silent: ended like a success though it is none, or not at all.
# garbage: something in it is not of the protocol.
End = Literal["whole", "status", "cut", "silent", "garbage"]
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}


class Transcript(msgspec.Struct):
    """text: visible text. arguments: of tool calls, in order of appearance. model, tokens_out: as told, None when not.
    comments: comment lines of the stream."""

    end: End
    status: int
    text: str = ""
    arguments: tuple[str, ...] = ()
    model: str | None = None
    tokens_out: int | None = None
    comments: tuple[str, ...] = ()
    error: str = ""


def read(api: str, status: int, body: bytes, *, stream: bool) -> Transcript:
    """One answer of chat, responses or messages. body: without the framing of HTTP."""
    if status != 200:
        error = _error_of(_loads(body))
        return Transcript("status" if error is not None else "garbage", status, error=error or "")
    if not stream:
        doc = _loads(body)
        told = _Told()
        ok = doc is not None and _UNARY[api](doc, told)
        return told.transcript("whole" if ok else "garbage", status)
    return _stream(api, status, body)


def unchunked(data: bytes) -> bytes | None:
    """The body without HTTP's chunked framing; None when that is cut."""
    out: list[bytes] = []
    while data:
        size, _, rest = data.partition(b"\r\n")
        try:
            count = int(size, 16)
        except ValueError:
            return None
        if count == 0:
            return b"".join(out)
        out.append(rest[:count])
        data = rest[count + 2 :]
    return None


class _Told:
    """What was told so far. calls: arguments by the index of their tool call or block."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.calls: dict[int, list[str]] = {}
        self.model: str | None = None
        self.tokens_out: int | None = None
        self.comments: list[str] = []
        self.error = ""
        self.ended = False
        self.finished = False

    def transcript(self, end: End, status: int) -> Transcript:
        arguments = tuple("".join(pieces) for pieces in self.calls.values())
        return Transcript(
            end, status, "".join(self.text), arguments, self.model, self.tokens_out, tuple(self.comments), self.error
        )

    def usage(self, doc: dict[str, Any], name: str) -> None:
        count = _dict(doc.get("usage")).get(name)
        if isinstance(count, int):
            self.tokens_out = count


def _stream(api: str, status: int, body: bytes) -> Transcript:
    told = _Told()
    text = body.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff")
    for block in text.split("\n\n"):
        data: list[str] = []
        for line in block.split("\n"):
            if line.startswith(":"):
                told.comments.append(line[1:].strip())
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if not data:
            continue
        if data == ["[DONE]"]:
            told.ended = True
            continue
        doc = _loads("\n".join(data).encode())
        if doc is None:
            return told.transcript("garbage", status)
        if (error := _error_of(doc)) is not None or doc.get("type") == "response.failed":
            told.error = error or "response.failed"
            continue
        _EVENTS[api](doc, told)
    if told.error:
        # A terminator beside an error would make the error pass for a success.
        return told.transcript("garbage" if told.ended else "cut", status)
    whole = told.ended and (api != "chat" or told.finished)
    return told.transcript("whole" if whole else "silent", status)


def _loads(data: bytes) -> dict[str, Any] | None:
    try:
        doc = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", doc) if isinstance(doc, dict) else None


def _dict(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _error_of(doc: dict[str, Any] | None) -> str | None:
    """The message of an error body or event; None for anything else."""
    if doc is None:
        return None
    if doc.get("type") == "error" and isinstance(doc.get("message"), str):
        return str(doc["message"])
    error = _dict(doc.get("error"))
    return str(error.get("message", "")) if error else None


def _chat_event(doc: dict[str, Any], told: _Told) -> None:
    told.model = doc.get("model") or told.model
    told.usage(doc, "completion_tokens")
    for choice in doc.get("choices") or ():
        delta = _dict(choice.get("delta"))
        told.text.append(delta.get("content") or "")
        for call in delta.get("tool_calls") or ():
            pieces = told.calls.setdefault(call.get("index", 0), [])
            pieces.append(_dict(call.get("function")).get("arguments") or "")
        told.finished = told.finished or bool(choice.get("finish_reason"))


def _messages_event(doc: dict[str, Any], told: _Told) -> None:
    match doc.get("type"):
        case "message_start":
            told.model = doc["message"].get("model") or told.model
            told.usage(doc["message"], "output_tokens")
        case "content_block_start":
            block = doc["content_block"]
            told.text.append(block.get("text") or "")
            if block["type"] == "tool_use":
                told.calls[doc["index"]] = []
        case "content_block_delta":
            delta = doc["delta"]
            told.text.append(delta.get("text") or "")
            if "partial_json" in delta:
                told.calls.setdefault(doc["index"], []).append(delta["partial_json"])
        case "message_delta":
            told.usage(doc, "output_tokens")
        case "message_stop":
            told.ended = True
        case _:
            pass


def _responses_event(doc: dict[str, Any], told: _Told) -> None:
    match doc.get("type"):
        case "response.created":
            told.model = doc["response"].get("model") or told.model
        case "response.output_text.delta":
            told.text.append(doc["delta"])
        case "response.function_call_arguments.delta":
            told.calls.setdefault(doc["output_index"], []).append(doc["delta"])
        case "response.completed" | "response.incomplete":
            told.ended = True
            told.usage(doc["response"], "output_tokens")
        case _:
            pass


def _chat(doc: dict[str, Any], told: _Told) -> bool:
    told.model = doc.get("model")
    told.usage(doc, "completion_tokens")
    for choice in doc.get("choices") or ():
        message = _dict(choice.get("message"))
        told.text.append(message.get("content") or "")
        for call in message.get("tool_calls") or ():
            told.calls[len(told.calls)] = [call["function"]["arguments"]]
        told.finished = bool(choice.get("finish_reason"))
    return told.finished


def _messages(doc: dict[str, Any], told: _Told) -> bool:
    told.model = doc.get("model")
    told.usage(doc, "output_tokens")
    for block in doc.get("content") or ():
        told.text.append(block.get("text") or "")
        if block.get("type") == "tool_use":
            told.calls[len(told.calls)] = [json.dumps(block["input"])]
    return doc.get("type") == "message" and bool(doc.get("stop_reason"))


def _responses(doc: dict[str, Any], told: _Told) -> bool:
    told.model = doc.get("model")
    told.usage(doc, "output_tokens")
    for item in doc.get("output") or ():
        for part in item.get("content") or ():
            told.text.append(part.get("text") or "")
        if item.get("type") == "function_call":
            told.calls[len(told.calls)] = [item["arguments"]]
    return doc.get("status") in ("completed", "incomplete")


_EVENTS = {"chat": _chat_event, "messages": _messages_event, "responses": _responses_event}
_UNARY = {"chat": _chat, "messages": _messages, "responses": _responses}
