"""The messages and count_tokens endpoints as Anthropic speaks them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from signalbox.simulator import tokens
from signalbox.simulator.model import (
    FRAME,
    REASONING,
    TOKEN,
    Ask,
    Choice,
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
    need_list,
    need_model,
    opt_bool,
    opt_int,
    sse,
    stops,
    text_of,
)

_FINISH = {"stop": "end_turn", "stop_sequence": "stop_sequence", "length": "max_tokens", "tool": "tool_use"}
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_THINKING_TOKENS = 16
_PING = sse(b'{"type":"ping"}', "ping")


def read(doc: Json) -> Ask:
    ask = _read_common(doc)
    ask.max_tokens = opt_int(doc, "max_tokens")
    if ask.max_tokens is None:
        raise bad("max_tokens: Field required", "max_tokens")
    ask.stream = opt_bool(doc, "stream")
    ask.stop = stops(doc.get("stop_sequences"))
    thinking = as_doc(doc.get("thinking"))
    if thinking.get("type") == "enabled":
        ask.thinking_tokens = _THINKING_TOKENS
    wanted = as_doc(as_doc(doc.get("output_config")).get("format")) or as_doc(doc.get("output_format"))
    if wanted.get("type") == "json_schema":
        ask.json_schema = as_doc(wanted.get("schema"))
    return ask


def _read_common(doc: Json) -> Ask:
    messages = need_list(doc, "messages")
    for message in messages:
        if as_doc(message).get("role") not in ("user", "assistant", "system"):
            raise bad("messages: each needs a role, 'user' or 'assistant'", "messages")
    # Agents put instructions, as `system` messages, behind the turn that they belong to.
    turns = [message for message in messages if as_doc(message).get("role") != "system"]
    last = as_doc(turns[-1]) if turns else {}
    counted = tokens.of_messages(messages) + tokens.of_value(doc.get("system"))
    tools, forced = _tools(doc)
    if tools:
        counted += tokens.of_value(doc["tools"])
    return Ask(
        endpoint="messages",
        model=need_model(doc),
        tokens_in=counted,
        text=text_of(last.get("content")) if last.get("role") == "user" else "",
        tools=tools,
        forced_tool=forced,
        prefill=last.get("role") == "assistant",
    )


def _tools(doc: Json) -> tuple[tuple[ToolSpec, ...], str]:
    found: list[ToolSpec] = []
    for item in as_list(doc.get("tools")):
        tool = as_doc(item)
        name = tool.get("name")
        if not isinstance(name, str):
            raise bad("tools: each needs a name", "tools")
        found.append(ToolSpec(name, as_doc(tool.get("input_schema"))))
    choice = as_doc(doc.get("tool_choice"))
    kind, name = choice.get("type"), choice.get("name")
    if kind == "none":
        return (), ""
    if kind == "any":
        return tuple(found), "*"
    return tuple(found), name if kind == "tool" and isinstance(name, str) else ""


def _usage(usage: Tokens, output: int) -> dict[str, Any]:
    return {
        "input_tokens": usage.tokens_in,
        "cache_creation_input_tokens": usage.cache_write + usage.cache_write_1h,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_write,
            "ephemeral_1h_input_tokens": usage.cache_write_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    }


def _final_usage(usage: Tokens) -> dict[str, Any]:
    return _usage(usage, usage.output_total) | {"output_tokens_details": {"thinking_tokens": usage.reasoning}}


def _block(part: Part, whole: bool) -> dict[str, Any]:
    """A content block: whole, or as content_block_start shows it."""
    if part.kind == "text":
        return {"type": "text", "text": part.text if whole else ""}
    if part.kind == "thinking":
        return {
            "type": "thinking",
            "thinking": part.text if whole else "",
            "signature": _signature(part) if whole else "",
        }
    return {
        "type": "tool_use",
        "id": "toolu_" + part.id,
        "name": part.name,
        "input": _arguments(part) if whole else {},
    }


def _arguments(part: Part) -> Any:
    """Arguments cut off by the token limit are no JSON any more; a real answer shows what was closed until then."""
    try:
        return as_doc(msgspec.json.decode(part.text))
    except msgspec.DecodeError:
        return {}


def _signature(part: Part) -> str:
    return base64.b64encode(b"sim-thinking:" + part.text.encode()[:24]).decode()


def unary(reply: Reply) -> bytes:
    choice = reply.answer.choices[0]
    doc = _message(reply) | {
        "content": [_block(part, True) for part in choice.parts],
        "stop_reason": _FINISH[choice.finish],
        "stop_sequence": choice.stop_sequence,
    }
    if reply.reported is not None:
        doc["usage"] = _final_usage(reply.reported)
    return encode(doc)


def _message(reply: Reply) -> dict[str, Any]:
    return {
        "id": "msg_" + reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def stream(reply: Reply) -> Iterator[Step]:
    choice: Choice = reply.answer.choices[0]
    message = _message(reply)
    if reply.reported is not None:
        message["usage"] = _usage(reply.reported, 1 if reply.reported.output_total else 0)
    yield sse(encode({"type": "message_start", "message": message}), "message_start"), FRAME
    for index, part in enumerate(choice.parts):
        start = {"type": "content_block_start", "index": index, "content_block": _block(part, False)}
        yield sse(encode(start), "content_block_start"), FRAME
        if index == 0:
            yield _PING, FRAME
        yield from _deltas(index, part)
        yield sse(b'{"type":"content_block_stop","index":%d}' % index, "content_block_stop"), FRAME
    delta = {"stop_reason": _FINISH[choice.finish], "stop_sequence": choice.stop_sequence}
    closing: dict[str, Any] = {"type": "message_delta", "delta": delta}
    if reply.reported is not None:
        closing["usage"] = _final_usage(reply.reported)
    yield sse(encode(closing), "message_delta"), FRAME
    yield sse(b'{"type":"message_stop"}', "message_stop"), FRAME


def _deltas(index: int, part: Part) -> Iterator[Step]:
    head = b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":' % index
    if part.kind == "text":
        head += b'{"type":"text_delta","text":'
    elif part.kind == "tool":
        head += b'{"type":"input_json_delta","partial_json":'
        yield head + b'""}}\n\n', FRAME
    else:
        for token in part.tokens:
            yield head + b'{"type":"thinking_delta","thinking":' + encode(token) + b"}}\n\n", REASONING
        yield head + b'{"type":"signature_delta","signature":' + encode(_signature(part)) + b"}}\n\n", FRAME
        return
    for token in part.tokens:
        yield head + encode(token) + b"}}\n\n", TOKEN


def _error(refusal: Refusal, request_id: str) -> dict[str, Any]:
    kind = _TYPES.get(refusal.status, "api_error" if refusal.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message}, "request_id": request_id}


def error_body(refusal: Refusal, request_id: str) -> bytes:
    return encode(_error(refusal, request_id))


def error_event(refusal: Refusal, request_id: str) -> bytes:
    return sse(encode(_error(refusal, request_id)), "error")


# --- count_tokens ---


def read_count(doc: Json) -> Ask:
    ask = _read_common(doc)
    ask.endpoint = "count_tokens"
    return ask


def unary_count(reply: Reply) -> bytes:
    return encode({"input_tokens": reply.ask.tokens_in})


def stream_count(reply: Reply) -> Iterator[Step]:
    """A count is never streamed."""
    return iter(())


MESSAGES = Face(read, unary, stream, error_body, error_event)
COUNT_TOKENS = Face(read_count, unary_count, stream_count, error_body, error_event)
