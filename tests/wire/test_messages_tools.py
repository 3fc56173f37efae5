"""Round trips through the hub: names, ids, arguments, order, errors and images of tool calls survive both ways."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signalbox.core.errors import BadRequest, Unsupported
from signalbox.core.hub import Image, Message, Request, Response, Text, Tool, ToolCall, ToolChoice, ToolResult
from signalbox.core.usage import Usage
from signalbox.wire.anthropic_messages import COUNT_TOKENS, MESSAGES
from signalbox.wire.dialect import Target

TARGET = Target("claude-sonnet-4-5")
_text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_ids = st.from_regex(r"\A[A-Za-z0-9_-]{1,40}\Z")
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_arguments = st.dictionaries(_text, _json, max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False, indent=1)
)
_result_parts = st.lists(
    st.builds(Text, _text) | st.just(Image(media_type="image/png", data="iVBORw0KGgo=")), max_size=3
).map(tuple)
_calls = st.lists(st.tuples(_ids, _ids, _arguments, _result_parts, st.booleans()), min_size=1, max_size=4)


def _conversation(calls: list[tuple[str, str, str, Any, bool]]) -> Request:
    return Request(
        messages=(
            Message("user", (Text("go"),)),
            Message("assistant", tuple(ToolCall(call_id, name, arguments) for call_id, name, arguments, _, _ in calls)),
            *(Message("user", (ToolResult(call_id, parts, failed),)) for call_id, _, _, parts, failed in calls),
        )
    )


@given(_calls)
def test_tool_conversations_survive_writing_and_reading(calls: list[tuple[str, str, str, Any, bool]]) -> None:
    request = _conversation(calls)
    body = MESSAGES.write_request(request, TARGET)
    for _, _, arguments, _, _ in calls:
        assert arguments.encode() in body
    back = MESSAGES.read_request(json.loads(body))
    assert request.dropped == []
    assert [message.role for message in back.messages] == ["user", "assistant", "user"]
    asked = [part for part in back.messages[1].parts if isinstance(part, ToolCall)]
    assert [(call.id, call.name) for call in asked] == [(call[0], call[1]) for call in calls]
    assert [json.loads(call.arguments) for call in asked] == [json.loads(call[2]) for call in calls]
    results = [part for part in back.messages[2].parts if isinstance(part, ToolResult)]
    assert [(result.id, result.parts, result.is_error) for result in results] == [
        (call[0], call[3], call[4]) for call in calls
    ]


@given(_calls)
def test_tool_answers_survive_writing_and_reading(calls: list[tuple[str, str, str, Any, bool]]) -> None:
    parts = tuple(ToolCall(call_id, name, arguments) for call_id, name, arguments, _, _ in calls)
    body = MESSAGES.write_response(Response("m", "x", parts, "tool_calls"), Usage())
    assert MESSAGES.read_response(body).parts == parts


@given(st.lists(_text, min_size=2, max_size=2, unique=True))
def test_ids_that_anthropic_refuses_still_match_their_results(ids: list[str]) -> None:
    calls = tuple(ToolCall(call_id, "f", "{}") for call_id in ids)
    results = tuple(ToolResult(call_id, ()) for call_id in ids)
    request = Request(messages=(Message("assistant", calls), Message("user", results)))
    first, second = json.loads(MESSAGES.write_request(request, TARGET))["messages"]
    written = [block["id"] for block in first["content"]]
    assert written == [block["tool_use_id"] for block in second["content"]]
    assert len(set(written)) == 2
    assert all(re.fullmatch("[a-zA-Z0-9_-]+", call_id) for call_id in written)


def test_numbers_and_spelling_of_arguments_reach_the_model_untouched() -> None:
    arguments = '{ "n": 1.50, "big": 123456789012345678901234567890, "e": 1e400 }'
    request = Request(messages=(Message("assistant", (ToolCall("c", "f", arguments),)),))
    assert arguments.encode() in MESSAGES.write_request(request, TARGET)


@pytest.mark.parametrize("arguments", ['{"a":', "[1]", '"x"', "1", "{}{}", '{"a":NaN}', "[" * 5000])
def test_arguments_that_are_no_object_are_refused_not_guessed(arguments: str) -> None:
    request = Request(messages=(Message("assistant", (ToolCall("c", "f", arguments),)),))
    with pytest.raises(Unsupported):
        MESSAGES.write_request(request, TARGET)


def _ask(**extra: Any) -> Request:
    return Request(messages=(Message("user", (Text("x"),)),), **extra)


TOOL = Tool("f", None, {"type": "object"})


@pytest.mark.parametrize(
    ("choice", "parallel", "written"),
    [
        (None, None, None),
        (None, True, None),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice("auto"), None, {"type": "auto"}),
        (ToolChoice("none"), False, {"type": "none"}),
        (ToolChoice("required"), False, {"type": "any", "disable_parallel_tool_use": True}),
        (ToolChoice("named", "f"), True, {"type": "tool", "name": "f"}),
    ],
)
def test_tool_choice_both_ways(choice: ToolChoice | None, parallel: bool | None, written: Any) -> None:
    request = _ask(tools=(TOOL,), tool_choice=choice, parallel_tool_calls=parallel)
    body = json.loads(MESSAGES.write_request(request, TARGET))
    assert body.get("tool_choice") == written
    if choice is not None:
        assert MESSAGES.read_request(body).tool_choice == choice


@pytest.mark.parametrize(
    ("request_", "target", "error"),
    [
        (_ask(n=2), TARGET, Unsupported),
        (_ask(tools=(TOOL,)), Target("m", tools=False), Unsupported),
        (_ask(tool_choice=ToolChoice("required")), TARGET, BadRequest),
        (Request(messages=()), TARGET, BadRequest),
        (Request(messages=(Message("user", (Text(""),)),)), TARGET, BadRequest),
        (Request(messages=(Message("user", (Image(url="https://e.com/a"),)),)), Target("m", images=False), Unsupported),
        (
            Request(messages=(Message("user", (Image(media_type="image/tiff", data="x"),)),)),
            TARGET,
            Unsupported,
        ),
        (Request(messages=(Message("user", (Image(),)),)), TARGET, BadRequest),
    ],
)
def test_what_cannot_be_carried_is_refused(request_: Request, target: Target, error: type[BadRequest]) -> None:
    with pytest.raises(error):
        MESSAGES.write_request(request_, target)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": 1.5}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_k": -1}, "top_k"),
        ({"stop_sequences": "END"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences"),
        ({"thinking": {"type": "enabled"}}, "thinking"),
        ({"thinking": "yes"}, "thinking"),
        ({"output_config": []}, "output_config"),
        ({"output_config": {"format": {"type": "yaml"}}}, "output_config"),
        ({"tool_choice": {"type": "maybe"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
        ({"metadata": "me"}, "metadata"),
        ({"tools": [{"name": "f"}]}, "tools.0.input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools.0.name"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages.0.content.0.text"),
        ({"system": [{"type": "text", "text": 1}]}, "system.0.text"),
        ({"inference_geo": "us"}, "inference_geo"),
        ({"thread": {"type": "create"}}, "thread"),
    ],
)
def test_wrong_bodies_name_the_parameter(change: dict[str, Any], param: str) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "x"}]} | change
    with pytest.raises(BadRequest) as raised:
        MESSAGES.read_request(body)
    assert raised.value.param == param


def test_a_count_body_has_neither_limits_nor_sampling() -> None:
    body = {"model": "m", "system": "s", "messages": [{"role": "user", "content": "x"}], "stream": True}
    request = COUNT_TOKENS.read_request(body)
    assert json.loads(COUNT_TOKENS.write_request(request, TARGET)) == {
        "model": "claude-sonnet-4-5",
        "system": [{"type": "text", "text": "s"}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    }
