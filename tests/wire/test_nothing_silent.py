"""Every field of a translated request is carried, refused or reported: taking it out changes what is sent or told."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from signalbox.core.errors import BadRequest, CallError
from signalbox.wire.dialect import Target
from signalbox.wire.table import DIALECTS

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
# Say nothing that the other protocol does not know anyway.
MEANINGLESS = frozenset({"type", "parameters", "source.type"})


def translated(api: str, doc: dict[str, Any], target: str, model: str) -> tuple[Any, list[str]]:
    request = DIALECTS[api].read_request(copy.deepcopy(doc))
    body = json.loads(DIALECTS[target].write_request(request, Target(model)))
    return body, request.dropped


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of the optional fields: keys of objects, from the outside in."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*path, name)
            yield from leaves(inner, (*path, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from leaves(inner, (*path, position))


def without(doc: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    changed = copy.deepcopy(doc)
    holder: Any = changed
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return changed


def reported_whole(path: tuple[Any, ...], dropped: list[str]) -> bool:
    """Whether the field stands inside one that is reported by its own name."""
    return any(str(step) == name.rpartition(".")[2] for step in path[:-1] for name in dropped)


@pytest.mark.parametrize("api", BASE)
def test_what_a_field_says_is_carried_or_reported(api: str) -> None:
    cases = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}[api]
    silent: list[str] = []
    for case in cases:
        doc = {"model": "m", **BASE[api], **case}
        for target, models in TARGETS.items():
            for model in models if target != api else ():
                told = translated(api, doc, target, model)
                for path in leaves(case):
                    if path[-1] in MEANINGLESS or reported_whole(path, told[1]):
                        continue
                    try:
                        if translated(api, without(doc, path), target, model) == told:
                            silent.append(f"{'.'.join(map(str, path))} -> {target} {model}")
                    except CallError:
                        continue  # a field that must be there
    assert not silent


def test_thinking_that_is_switched_off_asks_for_no_effort() -> None:
    doc = {**BASE["messages"], "thinking": {"type": "disabled"}}
    for target in ("chat", "responses"):
        for model in TARGETS[target]:
            body, dropped = translated("messages", doc, target, model)
            assert "reasoning" not in body
            assert "reasoning_effort" not in body
            assert not dropped


@pytest.mark.parametrize(("model", "sent"), [("gpt-4o", False), ("gpt-5", True), ("o3", True), ("llama-70b", True)])
def test_an_effort_goes_only_to_models_that_think(model: str, sent: bool) -> None:
    body, dropped = translated("chat", {**BASE["chat"], "reasoning_effort": "low"}, "responses", model)
    assert (body.get("reasoning") == {"effort": "low"}) is sent
    assert ("reasoning_effort" in dropped) is not sent


@pytest.mark.parametrize(("model", "taken"), [("gpt-4o", True), ("gpt-5", False), ("o3", False), ("llama-70b", True)])
def test_sampling_is_left_out_where_a_responses_model_refuses_it(model: str, taken: bool) -> None:
    body, dropped = translated("chat", {**BASE["chat"], "temperature": 0.5, "top_p": 1}, "responses", model)
    assert (body.get("temperature") == 0.5) is taken
    assert dropped == ([] if taken else ["temperature"])


def test_a_tool_that_is_demanded_but_not_given_is_refused() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        with pytest.raises(BadRequest, match="there are no tools"):
            translated("chat", {**BASE["chat"], "tool_choice": choice}, "responses", "gpt-5")


@pytest.mark.parametrize(
    ("said", "sent"), [("image/jpg", "image/jpeg"), ("IMAGE/PNG", "image/png"), ("image/gif", "image/gif")]
)
def test_an_image_whose_type_is_misspelled_as_usual_is_carried(said: str, sent: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:{said};base64,AAAA"}}
    body, _ = translated("chat", {"messages": [{"role": "user", "content": [part]}]}, "messages", "claude-sonnet-4-5")
    assert body["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": sent, "data": "AAAA"}
