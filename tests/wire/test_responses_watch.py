"""Pass-through of the Responses dialect: what is seen of bodies and events, without touching them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from signalbox.core.errors import BadRequest, UpstreamTimeout
from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.wire.openai_responses import RESPONSES

USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 20},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 130,
}


def sse(data: bytes | dict[str, Any], name: str | None = None) -> SseEvent:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    kind = name if name is not None else (data.get("type", "") if isinstance(data, dict) else "")
    return SseEvent(raw=b"", event=kind, data=raw)


def observe(*events: bytes | dict[str, Any]) -> list[Seen]:
    observer = RESPONSES.observer()
    return [observer.observe(sse(event)) for event in events]


def terminal(kind: str, **fields: Any) -> dict[str, Any]:
    response = {"id": "resp_1", "object": "response", "model": "gpt-5", "output": [], **fields}
    return {"type": f"response.{kind}", "sequence_number": 9, "response": response}


@pytest.mark.parametrize(
    "kind",
    [
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_text.delta",
        "response.reasoning_summary_text.delta",
        "response.audio.delta",
        "response.audio.transcript.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
        "response.invented_tomorrow.delta",
    ],
)
def test_every_delta_is_content(kind: str) -> None:
    (told,) = observe({"type": kind, "delta": "héllo", "item_id": "x", "sequence_number": 3})
    assert (told.ok, told.content, told.content_chars, told.end) == (True, True, 5, False)


def test_shell_output_deltas_are_counted_though_they_are_objects() -> None:
    (told,) = observe({"type": "response.shell_call_output_content.delta", "delta": {"stdout": "abc", "stderr": "d"}})
    assert (told.content, told.content_chars) == (True, 4)


def test_type_may_stand_in_the_event_name_alone() -> None:
    assert RESPONSES.observer().observe(sse(b'{"delta":"ab"}', "response.output_text.delta")).content_chars == 2


def test_completed_ends_with_usage_in_disjoint_classes() -> None:
    (told,) = observe(terminal("completed", status="completed", usage=USAGE))
    assert (told.ok, told.end, told.finished, told.error, told.model) == (True, True, True, None, "gpt-5")
    assert told.usage == Usage(tokens_in=40, cache_read=40, cache_write_5m=20, tokens_out=18, reasoning=12)


def test_incomplete_is_a_complete_answer() -> None:
    (told,) = observe(terminal("incomplete", status="incomplete", usage=USAGE))
    assert (told.end, told.finished, told.error) == (True, True, None)


def test_failed_is_an_end_and_an_error() -> None:
    (told,) = observe(terminal("failed", error={"code": "rate_limit_exceeded", "message": "slow"}, usage=USAGE))
    assert (told.end, told.finished, told.error) == (True, False, ("rate_limit_exceeded", "slow"))
    assert told.usage is not None


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "server_error", "message": "boom", "param": None, "sequence_number": 4},
        {"type": "error", "error": {"type": "x", "code": "server_error", "message": "boom"}, "sequence_number": 4},
        {"type": "error", "error": {"type": "server_error", "message": "boom"}},
    ],
)
def test_error_events_flat_and_nested(event: dict[str, Any]) -> None:
    (told,) = observe(event)
    assert (told.ok, told.end, told.error) == (True, False, ("server_error", "boom"))


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"nope",
        b"[]",
        b"null",
        b'{"delta":"x"}',
        b'{"type":3}',
        b'{"type":"response.output_text.delta","delta":NaN}',
        b'{"type":"response.output_text.delta","delta":"x","item_id":"\xff"}',
        b'{"type":"response.completed"}',
        b'{"type":"response.completed","response":[]}',
        b'{"type":"response.created","response":"x"}',
        b'{"type":"x","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b"[DONE]",
    ],
)
def test_what_is_no_event_of_this_api_is_never_forwarded(data: bytes) -> None:
    assert RESPONSES.observer().observe(SseEvent(raw=b"", event="", data=data)).ok is False


def test_a_named_event_without_data_is_not_json_but_comments_are_harmless() -> None:
    observer = RESPONSES.observer()
    assert observer.observe(SseEvent(raw=b": hi\n\n", event="", data=b"", comment=True)) == Seen()
    assert observer.observe(SseEvent(raw=b"id: 3\n\n", event="", data=b"")).ok
    assert not observer.observe(SseEvent(raw=b"event: ping\n\n", event="ping", data=b"")).ok


def test_chat_terminator_says_nothing_after_the_end() -> None:
    assert observe(terminal("completed", usage=USAGE), b"[DONE]")[1] == Seen()


def test_unknown_and_early_events_are_forwarded_and_are_no_content() -> None:
    early = {"type": "response.created", "response": {"id": "r", "model": "m", "output": []}}
    told = observe(early, {"type": "keepalive", "sequence_number": 3}, {"type": "response.web_search_call.searching"})
    assert told == [Seen(model="m"), Seen(), Seen()]


def test_announced_items_are_content_only_when_they_say_something() -> None:
    kinds = ("message", "reasoning", "function_call", "custom_tool_call")
    told = observe(*({"type": "response.output_item.added", "item": {"type": kind}} for kind in kinds))
    assert [t.content for t in told] == [False, False, True, True]
    assert observe({"type": "response.output_item.added", "item": None}) == [Seen()]


def test_a_part_told_only_whole_is_counted_once() -> None:
    delta = {"type": "response.output_text.delta", "delta": "abc"}
    done = {"type": "response.output_text.done", "text": "abcde"}
    assert [t.content_chars for t in observe(delta, done, done)] == [3, 2, 5]
    assert observe({"type": "response.output_item.done", "item": {"type": "reasoning"}})[0].content


@pytest.mark.parametrize("usage", [None, {}, [], "x", {"input_tokens": 3}, {"input_tokens": -1, "output_tokens": 2}])
def test_usage_that_cannot_be_billed_from_is_none_and_not_zero(usage: Any) -> None:
    assert observe(terminal("completed", usage=usage))[0].usage is None


def usage_of(usage: dict[str, Any], **fields: Any) -> Usage:
    told = RESPONSES.seen(json.dumps({"object": "response", "output": [], "usage": usage, **fields}).encode()).usage
    assert told is not None
    return told


def test_unknown_usage_fields_raise_an_alert_and_known_ones_do_not() -> None:
    vllm = {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0, "input_tokens_per_turn": [10], "cached_tokens_per_turn": [0]},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0, "tool_output_tokens": 1, "output_tokens_per_turn": [5]},
        "total_tokens": 15,
    }
    assert usage_of(vllm) == Usage(tokens_in=10, tokens_out=5)
    assert usage_of({**USAGE, "tomorrow_tokens": 0}).unknown == ()
    assert usage_of({**USAGE, "tomorrow_tokens": 7}).unknown == ("tomorrow_tokens",)
    details = {**USAGE["input_tokens_details"], "gold_tokens": 2}  # type: ignore[dict-item]
    assert usage_of({**USAGE, "input_tokens_details": details}).unknown == ("input_tokens_details.gold_tokens",)


def test_long_cache_writes_and_audio_have_their_own_classes() -> None:
    inputs = {
        "cached_tokens": 10,
        "cache_write_tokens": 30,
        "cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 10},
        "audio_tokens": 5,
    }
    told = usage_of({"input_tokens": 60, "input_tokens_details": inputs, "output_tokens": 1})
    assert told == Usage(tokens_in=15, cache_read=10, cache_write_5m=20, cache_write_1h=10, audio_in=5, tokens_out=1)


@pytest.mark.parametrize(
    ("usage", "name"),
    [
        ({"input_tokens": 1, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 5}}, "input_tokens<details"),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"reasoning_tokens": 5}},
            "output_tokens<details",
        ),
        ({"input_tokens": 1, "output_tokens": 2, "input_tokens_details": {"cached_tokens": "5"}}, "cached_tokens"),
        ({"input_tokens": 1, "output_tokens": 2, "input_tokens_details": 7}, "input_tokens_details"),
    ],
)
def test_counts_that_contradict_each_other_raise_an_alert(usage: dict[str, Any], name: str) -> None:
    assert usage_of(usage).unknown == (name,)


def test_hosted_tools_are_billed_outside_of_usage_and_therefore_alert() -> None:
    idle = {"image_gen": {"input_tokens": 0}, "web_search": {"num_requests": 0}}
    assert usage_of(USAGE, tool_usage=idle).unknown == ()
    busy = {"image_gen": {"input_tokens": 0}, "web_search": {"num_requests": 2}}
    assert usage_of(USAGE, tool_usage=busy).unknown == ()
    assert usage_of(USAGE, tool_usage=busy).rare == (("web_search", 2),)
    drawn = {"image_gen": {"input_tokens": 7}, "web_search": {"num_requests": 2, "new": 1}}
    assert usage_of(USAGE, tool_usage=drawn).unknown == ("tool_usage.image_gen", "tool_usage.web_search")


def test_seen_of_a_whole_answer() -> None:
    output = [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "hello"}]},
        {"type": "function_call", "arguments": "{}"},
    ]
    answer = {"object": "response", "status": "completed", "model": "m", "output": output, "usage": USAGE}
    told = RESPONSES.seen(json.dumps(answer).encode())
    assert (told.ok, told.end, told.finished, told.content_chars, told.model) == (True, True, True, 9, "m")
    failed = {**answer, "status": "failed", "error": {"code": "server_error", "message": "boom"}}
    assert RESPONSES.seen(json.dumps(failed).encode()).error == ("server_error", "boom")
    queued = {**answer, "status": "queued", "output": [], "usage": None}
    told = RESPONSES.seen(json.dumps(queued).encode())
    assert (told.ok, told.end, told.finished, told.usage, told.error) == (True, True, False, None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"[]", b"{}", b'{"object":"list","output":[]}', b'{"error":{"message":"x"}}', b'{"output":1}'],
)
def test_seen_refuses_what_is_no_answer(body: bytes) -> None:
    assert RESPONSES.seen(body).ok is False


def test_errors_in_the_callers_dialect() -> None:
    error = BadRequest("No.", param="input")
    assert json.loads(RESPONSES.error_body(error, "req_1")) == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": "input", "code": "invalid_request"}
    }
    event = RESPONSES.error_event(UpstreamTimeout("Too slow."), "req_1")
    assert event.startswith(b"event: error\ndata: {")
    assert event.endswith(b"}\n\n")
    assert event.count(b"\n") == 3
    told = RESPONSES.observer().observe(sse(event[len(b"event: error\ndata: ") : -2], "error"))
    assert told.error == ("upstream_timeout", "Too slow.")
    assert RESPONSES.supply_end(None, False) == b""
    assert RESPONSES.heartbeat() == b": keepalive\n\n"
