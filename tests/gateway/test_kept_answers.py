"""Which answers are kept, by how they end and what they call: every protocol, streaming and not."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from canned_upstream import CannedUpstream, http

from conversations import PATHS
from harness import running

CACHE = {"exact_ttl_s": 60, "safe_tools": ["look"]}
USAGE = {
    "chat": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "messages": {"input_tokens": 3, "output_tokens": 2},
    "responses": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
}
TEXT = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
SAID = {**TEXT, "content": [{"type": "output_text", "text": "done", "annotations": []}]}
# What an answer holds, how it ends, and whether it is kept. `look` is a safe tool.
CHAT: dict[str, tuple[dict[str, Any], str, bool]] = {
    "text": ({"content": "done"}, "stop", True),
    "safe": ({"tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
             "tool_calls", True),
    "unsafe": ({"tool_calls": [{"id": "c", "type": "function", "function": {"name": "pay", "arguments": "{}"}}]},
               "tool_calls", False),
    "unsafe-that-ends-as-text": (
        {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "pay", "arguments": "{}"}}]},
        "stop", False),
    "legacy": ({"function_call": {"name": "pay", "arguments": "{}"}}, "function_call", False),
    "refusal": ({"refusal": "no"}, "stop", False),
    "cut": ({"content": "do"}, "length", False),
    "filtered": ({"content": "do"}, "content_filter", False),
    "unknown": ({"content": "do"}, "weary", False),
}  # fmt: skip
MESSAGES: dict[str, tuple[dict[str, Any], str, bool]] = {
    "text": ({"type": "text", "text": "done"}, "end_turn", True),
    "sequence": ({"type": "text", "text": "done"}, "stop_sequence", True),
    "safe": ({"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}, "tool_use", True),
    "unsafe": ({"type": "tool_use", "id": "toolu_1", "name": "pay", "input": {}}, "tool_use", False),
    "cut": ({"type": "text", "text": "do"}, "max_tokens", False),
    "window": ({"type": "text", "text": "do"}, "model_context_window_exceeded", False),
    "pause": ({"type": "text", "text": "do"}, "pause_turn", False),
    "refusal": ({"type": "text", "text": "do"}, "refusal", False),
    "unknown": ({"type": "text", "text": "do"}, "weary", False),
}
RESPONSES: dict[str, tuple[dict[str, Any], str, bool]] = {
    "text": (SAID, "completed", True),
    "safe": ({"type": "function_call", "id": "f", "call_id": "c", "name": "look", "arguments": "{}"},
             "completed", True),
    "unsafe": ({"type": "function_call", "id": "f", "call_id": "c", "name": "pay", "arguments": "{}"},
               "completed", False),
    "custom": ({"type": "custom_tool_call", "id": "f", "call_id": "c", "name": "pay", "input": ""}, "completed", False),
    "local-shell": ({"type": "local_shell_call", "id": "f", "call_id": "c", "status": "completed",
                     "action": {"type": "exec", "command": ["rm"], "env": {}}}, "completed", False),
    "shell": ({"type": "shell_call", "id": "f", "call_id": "c", "status": "completed",
               "action": {"commands": ["rm"]}}, "completed", False),
    "patch": ({"type": "apply_patch_call", "id": "f", "call_id": "c", "status": "completed",
               "operation": {"type": "delete_file", "path": "a"}}, "completed", False),
    "computer": ({"type": "computer_call", "id": "f", "call_id": "c", "action": {"type": "click"}}, "completed", False),
    "unknown": ({"type": "telephone_call", "id": "f"}, "completed", False),
    "refusal": ({**TEXT, "content": [{"type": "refusal", "refusal": "no"}]}, "completed", False),
    "cut": (SAID, "incomplete", False),
}  # fmt: skip
ANSWERS = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}


def whole(api: str, part: dict[str, Any], end: str) -> dict[str, Any]:
    if api == "chat":
        message = {"role": "assistant", "content": None, **part}
        choice = {"index": 0, "message": message, "finish_reason": end}
        return {"id": "a", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                "usage": USAGE[api]}  # fmt: skip
    if api == "messages":
        return {"id": "a", "type": "message", "role": "assistant", "model": "m", "content": [part],
                "stop_reason": end, "stop_sequence": None, "usage": USAGE[api]}  # fmt: skip
    details = {"reason": "max_output_tokens"} if end == "incomplete" else None
    return {"id": "resp_a", "object": "response", "created_at": 1, "model": "m", "status": end, "output": [part],
            "incomplete_details": details, "usage": USAGE[api]}  # fmt: skip


def streamed(api: str, part: dict[str, Any], end: str) -> bytes:
    answer = whole(api, part, end)
    if api == "chat":
        calls = [{"index": 0, **call} for call in part.get("tool_calls", [])]
        delta = {"role": "assistant", **part, **({"tool_calls": calls} if calls else {})}
        shell = {"id": "a", "object": "chat.completion.chunk", "created": 1, "model": "m"}
        events = [
            {**shell, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            {**shell, "choices": [{"index": 0, "delta": {}, "finish_reason": end}]},
            {**shell, "choices": [], "usage": USAGE[api]},
        ]
        return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in events) + b"data: [DONE]\n\n"
    if api == "messages":
        empty = {**part, **({"text": ""} if "text" in part else {})}
        delta = {"type": "text_delta", "text": part["text"]} if "text" in part else {"type": "input_json_delta",
                 "partial_json": "{}"}  # fmt: skip
        events = [
            {"type": "message_start", "message": {**answer, "content": [], "stop_reason": None}},
            {"type": "content_block_start", "index": 0, "content_block": empty},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": end, "stop_sequence": None}, "usage": USAGE[api]},
            {"type": "message_stop"},
        ]
    else:
        events = [
            {"type": "response.created", "response": {**answer, "status": "in_progress", "output": []}},
            {"type": "response.output_item.added", "output_index": 0, "item": part},
            {"type": "response.output_item.done", "output_index": 0, "item": part},
            {"type": f"response.{end}", "response": answer},
        ]
    told = [(each["type"].encode(), json.dumps(each).encode()) for each in events]
    return b"".join(b"event: %b\ndata: %b\n\n" % each for each in told)


def asked(api: str, stream: bool) -> dict[str, Any]:
    turns = [{"role": "user", "content": "Do it."}]
    tools = [{"type": "local_shell"}, {"type": "apply_patch"}] if api == "responses" else []
    content = {"input": turns, "tools": tools} if api == "responses" else {"messages": turns, "max_tokens": 64}
    return {"model": f"kept-{api}", "stream": stream, **content}


@pytest.mark.parametrize(("api", "stream"), list(product(PATHS, [False, True])))
async def test_what_is_whole_and_calls_nothing_is_kept(tmp_path: Path, api: str, stream: bool) -> None:
    protocol = "anthropic" if api == "messages" else "openai"
    async with CannedUpstream() as upstream:
        config = {
            "deployments": {"told": upstream.deployment(protocol, [api])},
            "workloads": {
                f"kept-{api}": {"placements": ["told"], "cache": {"exact_ttl_s": 60, "safe_tools": ["look"]}}
            },
        }
        kept: dict[str, bool] = {}
        async with running(tmp_path / "state", config) as box:
            for name, (part, end, _) in ANSWERS[api].items():
                body = streamed(api, part, end) if stream else json.dumps(whole(api, part, end)).encode()
                kind = b"text/event-stream" if stream else b"application/json"
                upstream.answer = http(200, body, b"content-type: %b\r\n" % kind)
                scope = {"x-signalbox-cache-scope": name}
                answers = [await box.request(PATHS[api], asked(api, stream), headers=scope) for _ in range(2)]
                kept[name] = "kind=exact" in answers[1].headers.get("x-signalbox-cache", "")
    assert kept == {name: wanted for name, (_, _, wanted) in ANSWERS[api].items()}
