"""Answers that are easily made to look like something else: calls without arguments, refusals, pauses, cut calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.core.hub import (
    Event,
    Finished,
    Part,
    PartDone,
    Refusal,
    RefusalDelta,
    Request,
    Response,
    Started,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolDelta,
    ToolStarted,
)
from signalbox.core.usage import Usage
from signalbox.wire.table import DIALECTS


def whole(api: str, parts: list[Part], finish: str) -> dict[str, Any]:
    return json.loads(DIALECTS[api].write_response(Response("r", "m", tuple(parts), finish), Usage()))


def streamed(api: str, events: list[Event]) -> list[dict[str, Any]]:
    writer = DIALECTS[api].writer(Request(messages=()), "r", 1)
    written = writer.write([Started("r", "m"), *events]) + writer.end(Usage())
    lines = [line[6:] for line in written.decode().split("\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def chat_arguments(events: list[Event]) -> dict[int, str]:
    """What a client that joins the pieces has of each call."""
    told: dict[int, str] = {}
    for chunk in streamed("chat", events):
        for choice in chunk["choices"]:
            for call in choice["delta"].get("tool_calls", ()):
                told[call["index"]] = told.get(call["index"], "") + call["function"]["arguments"]
    return told


def responses_arguments(events: list[Event]) -> tuple[dict[int, str], list[str]]:
    """The joined deltas by output index, and what the final response says."""
    told: dict[int, str] = {}
    final: list[str] = []
    for event in streamed("responses", events):
        if event["type"] == "response.function_call_arguments.delta":
            told[event["output_index"]] = told.get(event["output_index"], "") + event["delta"]
        elif event["type"] in ("response.completed", "response.incomplete"):
            final = [item["arguments"] for item in event["response"]["output"]]
    return told, final


def call(part: int, *pieces: str) -> list[Event]:
    return [ToolStarted(part, f"c{part}", "f"), *(ToolDelta(part, piece) for piece in pieces)]


WHOLE = Finished("tool_calls")
CUT = Finished("length")


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([*call(0), PartDone(0), WHOLE], ["{}"]),
        ([*call(0, ""), PartDone(0), WHOLE], ["{}"]),
        ([*call(0), PartDone(0), *call(1, '{"a"', ":1}"), PartDone(1), WHOLE], ["{}", '{"a":1}']),
        ([*call(0, "{}"), *call(1), PartDone(0), PartDone(1), WHOLE], ["{}", "{}"]),
        ([*call(0), *call(1), ToolDelta(0, '{"a":1}'), PartDone(0), PartDone(1), WHOLE], ['{"a":1}', "{}"]),
        ([*call(0), PartDone(0), TextDelta(1, "x"), PartDone(1), CUT], ["{}"]),
        ([*call(0), PartDone(0), *call(1), PartDone(1), CUT], ["{}", ""]),
        ([*call(0), PartDone(0), CUT], [""]),
        ([*call(0, '{"a"'), PartDone(0), CUT], ['{"a"']),
    ],
)
def test_a_call_without_arguments_is_streamed_as_an_empty_object(events: list[Event], told: list[str]) -> None:
    assert [said for _, said in sorted(chat_arguments(events).items())] == told
    if any(isinstance(event, TextDelta) for event in events):
        return  # not every item of a response has arguments
    pieces, final = responses_arguments(events)
    assert final == told
    assert {position: said for position, said in enumerate(told) if said} == {p: s for p, s in pieces.items() if s}


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
def test_a_call_without_arguments_is_whole_in_a_whole_answer(api: str) -> None:
    answer = whole(api, [ToolCall("c", "f", "")], "tool_calls")
    if api == "chat":
        assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    elif api == "responses":
        assert answer["output"][0]["arguments"] == "{}"
    else:
        assert answer["content"][0]["input"] == {}


@pytest.mark.parametrize(
    ("finish", "part", "status", "reason"),
    [
        ("refusal", Text("I can"), "incomplete", "content_filter"),
        ("refusal", Refusal("no"), "completed", None),
        ("pause", Text("I can"), "incomplete", "max_output_tokens"),
        ("content_filter", Text("I can"), "incomplete", "content_filter"),
        ("stop_sequence", Text("I can"), "completed", None),
    ],
)
def test_only_a_whole_answer_is_a_completed_response(
    finish: str, part: Text | Refusal, status: str, reason: str | None
) -> None:
    delta = TextDelta(0, part.text) if isinstance(part, Text) else RefusalDelta(0, part.text)
    last = streamed("responses", [delta, PartDone(0), Finished(finish)])[-1]
    assert last["type"] == f"response.{status}"
    for answer in (whole("responses", [part], finish), last["response"]):
        assert answer["status"] == status
        assert (answer["incomplete_details"] or {"reason": None})["reason"] == reason
        assert answer["output"][0]["status"] == status


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("arguments", ['{"a": "b', "{", '{"a":'])
def test_a_cut_call_is_not_shown_as_a_call_that_could_be_made(finish: str, arguments: str) -> None:
    answer = whole("messages", [Text("x"), ToolCall("c", "f", '{"a":1}'), ToolCall("d", "g", arguments)], finish)
    assert [block["type"] for block in answer["content"]] == ["text", "tool_use"]
    assert answer["stop_reason"] in ("max_tokens", "refusal")


@pytest.mark.parametrize("arguments", ["nonsense", "[1]", '{"a":'])
def test_arguments_that_no_limit_cut_are_the_upstreams_fault(arguments: str) -> None:
    with pytest.raises(ValueError, match="no JSON object"):
        whole("messages", [ToolCall("c", "f", arguments)], "tool_calls")


def test_foreign_thoughts_that_are_left_out_are_told() -> None:
    for api in ("messages", "completions"):
        response = Response("r", "m", (Thinking("hm"), Text("x")), "stop")
        DIALECTS[api].write_response(response, Usage())
        assert response.dropped == ("thinking",), api
    writer = DIALECTS["messages"].writer(Request(messages=()), "r", 1)
    writer.write([Started("r", "m"), ThinkingDelta(0, "hm"), PartDone(0), TextDelta(1, "x"), Finished("stop")])
    assert b": x-signalbox-dropped: thinking\n\n" in writer.end(Usage())
    signed = Response("r", "m", (Thinking("hm", signature="s", origin="anthropic"),), "stop")
    DIALECTS["messages"].write_response(signed, Usage())
    assert signed.dropped == ()
