"""The chat completions and legacy completions endpoints as OpenAI-style providers speak them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from signalbox.simulator import openai_errors, tokens
from signalbox.simulator.model import (
    FRAME,
    REASONING,
    TOKEN,
    Ask,
    Choice,
    Face,
    Json,
    Part,
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
    stops,
    text_of,
)

_FINISH = {"stop": "stop", "stop_sequence": "stop", "length": "length", "tool": "tool_calls"}
_N_MAX = 16


def read_chat(doc: Json) -> Ask:
    messages = need_list(doc, "messages")
    counted = tokens.of_messages(messages)
    last = as_doc(messages[-1])
    for message in messages:
        if not isinstance(as_doc(message).get("role"), str):
            raise bad("each message needs a role", "messages")
    tools, forced = _tools(doc) if "tools" in doc else ((), "")
    if tools:
        counted += tokens.of_value(doc["tools"])
    return Ask(
        endpoint="chat",
        model=need_model(doc),
        tokens_in=counted,
        stream=opt_bool(doc, "stream"),
        text=text_of(last.get("content")) if last.get("role") == "user" else "",
        max_tokens=opt_int(doc, "max_completion_tokens") or opt_int(doc, "max_tokens"),
        stop=stops(doc.get("stop")),
        n=_n(doc),
        tools=tools,
        forced_tool=forced,
        json_schema=_json_schema(doc) if "response_format" in doc else None,
        include_usage=as_doc(doc.get("stream_options")).get("include_usage") is True,
        prefill=last.get("role") == "assistant",
    )


def _n(doc: Json) -> int:
    n = opt_int(doc, "n") or 1
    if n > _N_MAX:
        raise bad(f"'n' must be at most {_N_MAX}", "n")
    return n


def _tools(doc: Json) -> tuple[tuple[ToolSpec, ...], str]:
    found: list[ToolSpec] = []
    for item in as_list(doc.get("tools")):
        tool = as_doc(item)
        if tool.get("type") == "custom":
            # Taken and never called: what it takes is no JSON, and the simulator writes nothing else.
            if not isinstance(as_doc(tool.get("custom")).get("name"), str):
                raise bad("each custom tool needs custom.name", "tools")
            continue
        function = as_doc(tool.get("function"))
        name = function.get("name")
        if not isinstance(name, str):
            raise bad("each tool needs function.name", "tools")
        found.append(ToolSpec(name, as_doc(function.get("parameters"))))
    choice = doc.get("tool_choice")
    if choice == "none":
        return (), ""
    if choice == "required":
        return tuple(found), "*" if found else ""
    named = as_doc(as_doc(choice).get("function")).get("name")
    return tuple(found), named if isinstance(named, str) else ""


def _json_schema(doc: Json) -> Json | None:
    wanted = as_doc(doc.get("response_format"))
    if wanted.get("type") == "json_object":
        return {}
    if wanted.get("type") == "json_schema":
        return as_doc(as_doc(wanted.get("json_schema")).get("schema"))
    return None


def usage_object(usage: Tokens) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_total,
        "completion_tokens": usage.output_total,
        "total_tokens": usage.input_total + usage.output_total,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def unary_chat(reply: Reply) -> bytes:
    choices = [_chat_choice(i, choice, reply.visible_reasoning) for i, choice in enumerate(reply.answer.choices)]
    doc: dict[str, Any] = {
        "id": "chatcmpl-" + reply.id,
        "object": "chat.completion",
        "created": reply.created_s,
        "model": reply.ask.model,
        "choices": choices,
        "service_tier": "default",
        "system_fingerprint": "fp_simulator",
    }
    if reply.reported is not None:
        doc["usage"] = usage_object(reply.reported)
    return encode(doc)


def _chat_choice(index: int, choice: Choice, visible_reasoning: bool) -> dict[str, Any]:
    text: str | None = None
    calls: list[Any] = []
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    for part in choice.parts:
        if part.kind == "text":
            text = part.text
        elif part.kind == "tool":
            calls.append(
                {"id": "call_" + part.id, "type": "function", "function": {"name": part.name, "arguments": part.text}}
            )
        elif visible_reasoning:
            message["reasoning_content"] = part.text
    message["content"] = text if calls or text else ""
    if calls:
        message["tool_calls"] = calls
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _FINISH[choice.finish]}


def stream_chat(reply: Reply) -> Iterator[Step]:
    head = (
        f'data: {{"id":"chatcmpl-{reply.id}","object":"chat.completion.chunk","created":{reply.created_s},"model":'
    ).encode() + encode(reply.ask.model)
    head += b',"service_tier":"default","system_fingerprint":"fp_simulator","choices":['
    tail = b'],"usage":null}\n\n' if reply.ask.include_usage else b"]}\n\n"
    for index, _ in enumerate(reply.answer.choices):
        role = b'{"index":%d,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,' % index
        yield head + role + b'"finish_reason":null}' + tail, FRAME
    for index, choice in enumerate(reply.answer.choices):
        call_index = 0
        for part in choice.parts:
            yield from _chat_part(head + b'{"index":%d,"delta":{' % index, part, call_index, tail, reply)
            call_index += part.kind == "tool"
        finish = encode(_FINISH[choice.finish])
        yield head + b'{"index":%d,"delta":{},"logprobs":null,"finish_reason":%b}' % (index, finish) + tail, FRAME
    if reply.ask.include_usage and reply.reported is not None:
        yield head + b'],"usage":' + encode(usage_object(reply.reported)) + b"}\n\n", FRAME
    yield b"data: [DONE]\n\n", FRAME


def _chat_part(head: bytes, part: Part, call_index: int, tail: bytes, reply: Reply) -> Iterator[Step]:
    end = b'},"logprobs":null,"finish_reason":null}' + tail
    if part.kind == "thinking":
        head += b'"reasoning_content":'
        for token in part.tokens:
            yield (head + encode(token) + end if reply.visible_reasoning else b""), REASONING
    elif part.kind == "text":
        head += b'"content":'
        for token in part.tokens:
            yield head + encode(token) + end, TOKEN
    else:
        opened = {
            "index": call_index,
            "id": "call_" + part.id,
            "type": "function",
            "function": {"name": part.name, "arguments": ""},
        }
        yield head + b'"tool_calls":[' + encode(opened) + b"]" + end, FRAME
        head += b'"tool_calls":[{"index":%d,"function":{"arguments":' % call_index
        for token in part.tokens:
            yield head + encode(token) + b"}}]" + end, TOKEN


# --- legacy completions ---


def read_completions(doc: Json) -> Ask:
    prompt = doc.get("prompt")
    if isinstance(prompt, list):
        prompt = "\n".join(item for item in as_list(prompt) if isinstance(item, str))
    if not isinstance(prompt, str) or not prompt:
        raise bad("'prompt' must be a non-empty string", "prompt")
    return Ask(
        endpoint="completions",
        model=need_model(doc),
        tokens_in=tokens.of_text(prompt),
        stream=opt_bool(doc, "stream"),
        text=prompt,
        max_tokens=opt_int(doc, "max_tokens") or 16,
        stop=stops(doc.get("stop")),
        n=_n(doc),
        include_usage=as_doc(doc.get("stream_options")).get("include_usage") is True,
    )


def _completion(reply: Reply, choices: list[Any], usage: Tokens | None) -> bytes:
    doc: dict[str, Any] = {
        "id": "cmpl-" + reply.id,
        "object": "text_completion",
        "created": reply.created_s,
        "model": reply.ask.model,
        "choices": choices,
        "system_fingerprint": "fp_simulator",
    }
    if usage is not None:
        doc["usage"] = usage_object(usage)
    return encode(doc)


def _completion_choice(index: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


def unary_completions(reply: Reply) -> bytes:
    choices = [
        _completion_choice(
            index, "".join(part.text for part in choice.parts if part.kind == "text"), _FINISH[choice.finish]
        )
        for index, choice in enumerate(reply.answer.choices)
    ]
    return _completion(reply, choices, reply.reported)


def stream_completions(reply: Reply) -> Iterator[Step]:
    for index, choice in enumerate(reply.answer.choices):
        for part in choice.parts:
            for token in part.tokens:
                if part.kind == "thinking":
                    yield b"", REASONING
                else:
                    piece = _completion(reply, [_completion_choice(index, token, None)], None)
                    yield b"data: " + piece + b"\n\n", TOKEN
        last = _completion(reply, [_completion_choice(index, "", _FINISH[choice.finish])], None)
        yield b"data: " + last + b"\n\n", FRAME
    if reply.ask.include_usage and reply.reported is not None:
        yield b"data: " + _completion(reply, [], reply.reported) + b"\n\n", FRAME
    yield b"data: [DONE]\n\n", FRAME


CHAT = Face(read_chat, unary_chat, stream_chat, openai_errors.error_body, openai_errors.error_event)
COMPLETIONS = Face(
    read_completions, unary_completions, stream_completions, openai_errors.error_body, openai_errors.error_event
)
