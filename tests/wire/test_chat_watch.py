"""What the gateway sees of chat answers that pass through: content, completion, usage, errors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from signalbox.core.errors import BadRequest
from signalbox.core.stream import Seen, SseEvent
from signalbox.core.usage import Usage
from signalbox.wire.openai_chat import CHAT
from signalbox.wire.openai_chat_watch import ChatObserver
from signalbox.wire.sse import SseDecoder


def event(data: object, name: str = "") -> SseEvent:
    raw = data if isinstance(data, bytes) else json.dumps(data, ensure_ascii=False).encode()
    return SseEvent(b"data: " + raw + b"\n\n", name, raw)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, index: int = 0, **more: Any) -> SseEvent:
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice], **more})


def see(delta: dict[str, Any]) -> Seen:
    return ChatObserver().observe(chunk(delta))


@pytest.mark.parametrize(
    ("delta", "chars"),
    [
        ({"content": "héllo"}, 5),
        ({"refusal": "no"}, 2),
        ({"reasoning_content": "abc"}, 3),
        ({"reasoning": "abc"}, 3),
        ({"reasoning": "abc", "reasoning_content": "abc"}, 3),
        ({"tool_calls": [{"index": 0, "id": "x", "function": {"name": "fn", "arguments": "{}"}}]}, 4),
        ({"tool_calls": [{"index": 0, "custom": {"name": "fn", "input": "abc"}}]}, 3),
        ({"function_call": {"name": "f", "arguments": "{}"}}, 3),
        ({"audio": {"id": "a", "data": "AAAA"}}, 0),
        ({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}, 2),
        ({"content": {"new": "shape"}}, 5),
        ({"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": {"a": "bc"}}}]}, 3),
    ],
)
def test_content_is_seen_wherever_it_is(delta: dict[str, Any], chars: int) -> None:
    seen = see(delta)
    assert (seen.ok, seen.content, seen.content_chars) == (True, True, chars)


@pytest.mark.parametrize("delta", [{}, {"role": "assistant", "content": ""}, {"content": None, "tool_calls": []}])
def test_a_chunk_without_content_is_not_content(delta: dict[str, Any]) -> None:
    seen = see(delta)
    assert (seen.ok, seen.content, seen.model) == (True, False, "m")


def finished_after(events: list[SseEvent], n: int) -> list[bool]:
    observer = CHAT.observer(n)
    return [observer.observe(one).finished for one in events]


def test_one_choice_is_finished_with_its_reason() -> None:
    assert finished_after([chunk({"content": "a"}), chunk({}, "stop"), event(b"[DONE]")], 1) == [False, True, True]


def test_every_choice_that_was_asked_for_must_finish() -> None:
    events = [chunk({"content": "a"}), chunk({}, "stop"), chunk({"content": "b"}, index=1), chunk({}, "stop", 1)]
    assert finished_after(events, 2) == [False, False, False, True]
    assert finished_after(events[:2], 2) == [False, False]
    assert finished_after(events, 1) == [False, True, False, True]


def test_an_empty_finish_reason_is_none() -> None:
    assert finished_after([chunk({"content": "a"}, ""), chunk({}, "")], 1) == [False, False]


def test_done_is_the_end_and_comments_are_nothing() -> None:
    observer = ChatObserver()
    assert observer.observe(SseEvent(b": ping\n\n", "", b"", True)) == Seen()
    assert observer.observe(event(b"[DONE]")).end
    assert observer.observe(event(b" [DONE] ")).end


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b'{"choices":[}', b"[]", b"null", b"7", b'"text"', b"<html>", b'{"a":NaN}', b'{"a":1}x',
     b'{"choices":[{"index":0,"delta":{"content":"\xff"}}]}', b'{"unread":"\xff"}', b'{"unread":"\\ud800"}',
     b'{"choices":[{"index":-1,"delta":{"content":"x"}}]}', b'{"choices":[{"index":9999999,"finish_reason":"stop"}]}',
     b'{"a":' * 100_000],
)  # fmt: skip
def test_what_is_not_a_json_object_is_never_forwarded(data: bytes) -> None:
    assert not ChatObserver().observe(event(data)).ok


def test_usage_in_a_chunk_of_its_own_may_be_withheld() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    seen = ChatObserver().observe(event({"choices": [], "usage": usage}))
    assert (seen.usage, seen.usage_only) == (Usage(tokens_in=3, tokens_out=2), True)
    seen = ChatObserver().observe(chunk({"content": "x"}, "stop", usage=usage))
    assert (seen.usage, seen.usage_only, seen.finished) == (Usage(tokens_in=3, tokens_out=2), False, True)
    seen = ChatObserver().observe(chunk({}, "stop", x_groq={"id": "r", "usage": usage}))
    assert (seen.usage, seen.usage_only) == (Usage(tokens_in=3, tokens_out=2), False)
    assert not ChatObserver().observe(event({"choices": [], "prompt_filter_results": []})).usage_only


@pytest.mark.parametrize(
    ("one", "error"),
    [
        (event({"error": {"message": "boom", "type": "server_error", "code": None}}), ("server_error", "boom")),
        (event({"error": {"message": "boom", "code": 502}, "choices": []}), ("502", "boom")),
        (event({"error": "boom"}), ("error", "boom")),
        (event({"error": {"error": {"message": "boom", "type": "t"}}}), ("t", "boom")),
        (event({"object": "error", "message": "boom", "type": "BadRequestError"}), ("BadRequestError", "boom")),
        (event({"message": "boom", "type": "t"}, "error"), ("t", "boom")),
        (chunk({}, None, x_groq={"error": "stopped early"}), ("error", "stopped early")),
        (chunk({"content": ""}, "error"), ("upstream_error", "the upstream ended its answer with an error")),
        (event({"error": [[]]}), ("error", "")),
    ],
)
def test_errors_in_the_stream_are_seen(one: SseEvent, error: tuple[str, str]) -> None:
    assert ChatObserver().observe(one).error == error


def answer(**more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    return json.dumps({"object": "chat.completion", "model": "m", "choices": [choice], "usage": usage} | more).encode()


def test_a_whole_answer_is_seen() -> None:
    seen = CHAT.seen(answer())
    assert seen == Seen(True, True, 5, True, True, Usage(tokens_in=3, tokens_out=2), False, None, "m")
    assert CHAT.seen(answer(usage=None)).usage is None
    assert CHAT.seen(answer(choices=[{"message": {"content": {"odd": "shape"}}, "finish_reason": "stop"}])).content


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        answer(choices=[]),
        answer(choices=None),
        answer(error={"message": "x"}),
        b'{"error":"x"}',
    ],
)
def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    assert not CHAT.seen(body).ok


def test_the_hot_path_is_cheap() -> None:
    """A guard against accidents, far above the real figure (2 us an event on a free core)."""
    data = b"".join(chunk({"content": " hello"}, None, usage=None, service_tier="default").raw for _ in range(500))
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        observer = ChatObserver()
        for one in SseDecoder().feed(data):
            observer.observe(one)
        best = min(best, time.perf_counter() - started)
    assert best / 500 < 60e-6


# --- envelope ---


def envelope(**more: Any) -> Any:
    return CHAT.envelope({"model": "m", "messages": [{"role": "user", "content": "x"}], **more})


def content(*parts: Any) -> Any:
    return CHAT.envelope({"model": "m", "messages": [{"role": "user", "content": list(parts)}]})


def test_an_ordinary_call_carries_nothing_further() -> None:
    found = envelope(stream=True, max_tokens=10, n=2, stream_options={"include_usage": True}, store=False)
    assert (found.stream, found.max_tokens, found.n, found.include_usage) == (True, 10, 2, True)
    assert (found.onward, found.unknown_tools, found.opaque, found.stateful) == ((), (), False, ())
    assert envelope(max_tokens=10, max_completion_tokens=20).max_tokens == 20
    assert not content({"type": "text", "text": "http://example.com/a.png"}).opaque


@pytest.mark.parametrize(
    ("more", "onward"),
    [
        ({"store": True}, ("store",)),
        ({"web_search_options": {"search_context_size": "low"}}, ("web_search",)),
        ({"tools": [{"type": "function", "function": {"name": "f"}}, {"type": "custom"}]}, ()),
        ({"tools": [{"type": "web_search"}, {"type": "mcp"}, {"type": "web_search_preview"}]}, ("web_search", "mcp")),
        ({"plugins": [{"id": "web"}], "models": ["other"]}, ("fallbacks", "plugins")),
        ({"prompt_cache_retention": "24h"}, ("prompt_cache_retention",)),
    ],
)
def test_what_carries_data_further_is_named(more: dict[str, Any], onward: tuple[str, ...]) -> None:
    assert envelope(**more).onward == onward


def test_unknown_tools_are_named() -> None:
    assert envelope(tools=[{"type": "teleport"}]).unknown_tools == ("teleport",)


@pytest.mark.parametrize(
    ("part", "onward", "stateful"),
    [
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}, (), ()),
        ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, ("image_url",), ()),
        ({"type": "image_url", "image_url": "HTTP://example.com/a.png"}, ("image_url",), ()),
        ({"type": "image_url", "image_url": {"url": "gs://bucket/a.png"}}, ("image_url",), ()),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, ("video_url",), ()),
        ({"type": "file", "file": {"file_id": "file-1"}}, ("file_id",), ("file-1",)),
        ({"type": "file", "file": {"file_data": "data:application/pdf;base64,AA"}}, (), ()),
        ({"type": "input_audio", "input_audio": {"data": "AA", "format": "wav"}}, (), ()),
        ({"type": "hologram"}, (), ()),
        ({"type": []}, (), ()),
    ],
)
def test_unreadable_parts_are_opaque(part: dict[str, Any], onward: tuple[str, ...], stateful: tuple[str, ...]) -> None:
    found = content({"type": "text", "text": "x"}, part)
    assert (found.opaque, found.onward, found.stateful) == (True, onward, stateful)


def test_audio_said_before_is_bound_to_its_provider() -> None:
    found = CHAT.envelope({"messages": [{"role": "assistant", "content": None, "audio": {"id": "audio_1"}}]})
    assert (found.opaque, found.onward, found.stateful) == (True, ("file_id",), ("audio_1",))


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"max_tokens": "10"}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 1 << 40}, "max_completion_tokens"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": "2"}, "n"),
        ({"stream_options": []}, "stream_options"),
        ({"stream_options": {"include_usage": "true"}}, "stream_options.include_usage"),
        ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": []}]}, "tools[0].type"),
        ({"store": "true"}, "store"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    ],
)
def test_wrong_types_are_named(more: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        envelope(**more)
    assert caught.value.param == param
