"""One body for each field of the three conversations' APIs, and the models that they are translated for."""

from __future__ import annotations

from typing import Any

IMAGE = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64,JVBERi0="
MARK = {"cache_control": {"type": "ephemeral"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}

# One body for each field that could hide another's absence: a name is reported once, wherever it stands.
CHAT: list[dict[str, Any]] = [
    {"messages": [{"role": "system", "name": "s", "content": "x"}, {"role": "user", "content": "x"}]},
    {"messages": [{"role": "user", "name": "bob", "content": "x"}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"} | MARK]}]},
    {
        "messages": [
            {"role": "system", "content": [{"type": "text", "text": "x"} | MARK]},
            {"role": "user", "content": "x"},
        ]
    },
    {"messages": [{"role": "user", "content": "x"} | MARK]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE}} | MARK]}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}]}]},
    {"messages": [{"role": "user", "content": [{"type": "file", "file": {"filename": "a", "file_data": PDF}}]}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "prefix": True}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "name": "a"}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "reasoning_content": "t"}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "annotations": [1]}]},
    {"messages": [{"role": "user", "content": "x"}, {"role": "developer", "content": "y"}]},
    {
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "f", "arguments": '{"a":1}'},
                        "extra_content": {"google": 1},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "r"} | MARK,
        ]
    },
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA, "odd": 1}}]},
    {"tools": [{"type": "function", "function": {"name": "f", "parameters": SCHEMA}} | MARK]},
    {"metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "logprobs": True, "logit_bias": {"1": 1}},
    {"temperature": 0.5, "top_p": 0.5, "seed": 1, "presence_penalty": 0.1, "frequency_penalty": 0.1, "stop": "a"},
    {"reasoning_effort": "high", "verbosity": "low", "store": True, "prediction": {"type": "content", "content": "x"}},
    {"safety_identifier": "u"},
]
RESPONSES: list[dict[str, Any]] = [
    {
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "x", "prompt_cache_breakpoint": {"a": 1}}]}
        ]
    },
    {"input": [{"role": "user", "content": [{"type": "input_file", "file_data": PDF, "detail": "high"}]}]},
    {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": IMAGE, "detail": "low"}]}]},
    {"input": [{"role": "user", "content": "x"}, {"type": "reasoning", "encrypted_content": "e"}]},
    {"input": [{"role": "user", "content": "x"}, {"type": "message", "role": "developer", "content": "y"}]},
    {"input": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "phase": "commentary"}]},
    {"tools": [{"type": "function", "name": "f", "parameters": SCHEMA, "defer_loading": True, "odd": 1}]},
    {"metadata": {"a": "b"}, "user": "u", "service_tier": "auto", "top_logprobs": 2, "max_tool_calls": 2},
    {"safety_identifier": "u", "truncation": "auto", "include": ["reasoning.encrypted_content"]},
    {"reasoning": {"effort": "high", "summary": "auto"}, "text": {"verbosity": "low"}, "prompt_cache_key": "k"},
]
MESSAGES: list[dict[str, Any]] = [
    {"system": [{"type": "text", "text": "x"} | MARK]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"} | MARK]}]},
    {
        "messages": [
            {"role": "user", "content": [{"type": "document", "title": "t", "source": {"type": "text", "data": "p"}}]}
        ]
    },
    {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "is_error": True}]}]},
    {"tools": [{"name": "f", "input_schema": SCHEMA, "odd": 1, "input_examples": [{"a": "b"}]}]},
    {"tools": [{"name": "f", "input_schema": SCHEMA} | MARK]},
    {"metadata": {"user_id": "u"}},
    {"metadata": {"tenant": "t"}},
    {"thinking": {"type": "adaptive"}},
    {"thinking": {"type": "enabled", "budget_tokens": 9000}},
    {"output_config": {"effort": "low", "task_budget": {"type": "tokens"}}},
    {"top_k": 3, "stop_sequences": ["a"], "service_tier": "auto", "speed": "fast"},
    MARK,
]
BASE: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "x"}]},
    "responses": {"input": "x"},
    "messages": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 9},
}
TARGETS = {
    "chat": ("gpt-4o", "gpt-5", "llama-70b"),
    "responses": ("gpt-4o", "gpt-5", "llama-70b"),
    "messages": ("claude-opus-4-8", "claude-sonnet-4-5", "claude-3-haiku"),
}
CASES = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
